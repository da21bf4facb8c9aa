//! Code that begins at a loop, run with frames made by hand.

use crate::checkpoint::Standing;
use crate::extension::Extension;
use crate::instance::instantiate::{Imports, Options};
use crate::limiter::Limiter;
use crate::module::ModuleInner;
use crate::settings::{EngineKind, Settings};
use crate::store::inner::{Embedder, StoreData};
use crate::{Engine, Result};
use ValType::{F32, F64, I32, I64, V128};
use wardian_types::{CodeOffset, DefinedFuncIndex, FuncType, ValType};
use wardian_vm::activation::{self, Outcome};
use wardian_vm::addr::OwnerPtr;
use wardian_vm::code_memory::CodeMemory;
use wardian_vm::interpreted::{FrameLayout, FrameSlot};

/// A value with its type; narrow ones in the low bits.
type Typed = (ValType, u128);

struct Case {
    text: &'static str,
    /// Which loop, in the order of the text.
    number: usize,
    params: &'static [Typed],
    locals: &'static [Typed],
    stack: &'static [Typed],
    results: &'static [Typed],
}

const fn lanes(lane: u32) -> u128 {
    lane as u128 * 0x0000_0001_0000_0001_0000_0001_0000_0001
}

const SUM: &str = "(func (param $n i32) (result i32) (local $acc i32)
  (loop $l (local.set $acc (i32.add (local.get $acc) (local.get $n)))
    (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
  (local.get $acc))";

/// Operands below both loops; that of the inner one is made anew in each round of the outer one.
const NESTED: &str = "(func (param $n i32) (result i32) (local $i i32) (local $acc i32)
  (i32.const 1000)
  (loop $o
    (i32.mul (local.get $n) (i32.const 10))
    (local.set $i (local.get $n))
    (loop $l
      (local.set $acc (i32.add (local.get $acc) (i32.const 1)))
      (br_if $l (local.tee $i (i32.sub (local.get $i) (i32.const 1)))))
    (local.set $acc (i32.add (local.get $acc)))
    (br_if $o (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
  (i32.add (local.get $acc)))";

/// A block that is left before the loop and in it, with operands below and a loop around.
const LEFT: &str = "(func (param $n i32) (result i32) (local $acc i32)
  (i32.const 1)
  (loop $o (param i32) (result i32)
    (i32.const 500)
    (block $b
      (br_if $b (i32.and (local.get $n) (i32.const 1)))
      (loop $l
        (local.set $acc (i32.add (local.get $acc) (i32.const 1)))
        (br_if $b (i32.gt_u (local.get $acc) (i32.const 100)))
        (br_if $l (i32.and (local.get $acc) (i32.const 3)))))
    (local.set $acc (i32.add (local.get $acc)))
    (i32.add (i32.const 2))
    (br_if $o (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
  (i32.add (local.get $acc)))";

/// Loops in both arms, of which one runs after the other.
const ARMS: &str = "(func (param $c i32) (param $n i32) (result i32)
  (i32.const 7)
  (loop $o (param i32) (result i32)
    (i32.const 100)
    (if (param i32) (result i32) (local.get $c)
      (then (loop $l (param i32) (result i32) (i32.add (i32.const 1))
        (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1))))))
      (else (i32.const 6) (loop $m (param i32) (result i32) (i32.add (i32.const 1))
        (br_if $m (local.tee $n (i32.add (local.get $n) (i32.const 1))))) (i32.add)))
    (i32.add)
    (local.set $n (i32.const -2))
    (local.set $c (i32.eqz (local.get $c)))
    (br_if $o (i32.eqz (local.get $c)))))";

const WIDE: &str = "(func (param v128 f32) (result v128 f32 i64) (local f64 v128 i64)
  (local.get 0) (local.get 1)
  (loop $l
    (local.set 3 (i32x4.add (local.get 3) (local.get 0)))
    (local.set 2 (f64.add (local.get 2) (f64.const 1)))
    (br_if $l (f64.lt (local.get 2) (f64.const 3))))
  (f32.add (f32.demote_f64 (local.get 2)))
  (local.set 1) (i32x4.add (local.get 3)) (local.get 1) (local.get 4))";

/// A call in the loop and one in place of returning; memory.
const CALLS: &str = "(func $f (param $n i32) (result i32) (local $sum i32)
  (i32.const 3)
  (loop $l
    (i32.store (local.get $n) (i32.const 1))
    (local.set $sum (i32.add (local.get $sum) (call $g (local.get $n))))
    (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 4)))))
  (return_call $g (i32.add (local.get $sum))))
  (func $g (param i32) (result i32) (i32.add (local.get 0) (i32.load (i32.const 8))))";

const CASES: &[Case] = &[
    Case {
        text: SUM,
        number: 0,
        params: &[(I32, 5)],
        locals: &[(I32, 100)],
        stack: &[],
        results: &[(I32, 115)],
    },
    Case {
        text: NESTED,
        number: 1,
        params: &[(I32, 3)],
        locals: &[(I32, 2), (I32, 7)],
        stack: &[(I32, 5000), (I32, 31)],
        // 7 + 2 + 31, then 2 + 20, then 1 + 10.
        results: &[(I32, 5073)],
    },
    Case {
        text: NESTED,
        number: 0,
        params: &[(I32, 2)],
        locals: &[(I32, 0), (I32, 1)],
        stack: &[(I32, 77)],
        // 1, then 2 + 20, then 1 + 10.
        results: &[(I32, 111)],
    },
    Case {
        text: LEFT,
        number: 1,
        params: &[(I32, 2)],
        locals: &[(I32, 5)],
        stack: &[(I32, 10), (I32, 300)],
        // Up to 8, and 300; then 500, without the loop. 10 and twice 2.
        results: &[(I32, 822)],
    },
    Case {
        text: LEFT,
        number: 1,
        params: &[(I32, 4)],
        locals: &[(I32, 100)],
        stack: &[(I32, 10), (I32, 300)],
        // 101, 401, 901, 902 and 1402, 1902; 10 and four times 2.
        results: &[(I32, 1920)],
    },
    Case {
        text: ARMS,
        number: 1,
        params: &[(I32, 1), (I32, 3)],
        locals: &[],
        stack: &[(I32, 50), (I32, 9)],
        // 50 + 12; then 100 + 6 + 2.
        results: &[(I32, 170)],
    },
    Case {
        text: ARMS,
        number: 2,
        params: &[(I32, 0), (I32, 0xffff_fffb)],
        locals: &[],
        stack: &[(I32, 50), (I32, 9), (I32, 4)],
        // 50 + 9 + 4 + 5.
        results: &[(I32, 68)],
    },
    Case {
        text: WIDE,
        number: 0,
        params: &[(V128, lanes(1)), (F32, 0x7fa0_0000)],
        locals: &[(F64, 0x3fe0_0000_0000_0000), (V128, lanes(10)), (I64, 1 << 63 | 1)],
        stack: &[(V128, lanes(100)), (F32, 0x4000_0000)],
        results: &[(V128, lanes(113)), (F32, 0x40b0_0000), (I64, 1 << 63 | 1)],
    },
    Case {
        text: CALLS,
        number: 0,
        params: &[(I32, 12)],
        locals: &[(I32, 1000)],
        stack: &[(I32, 30)],
        // 1000 + 12, then 8 + 1 and 4 + 1; 30 and 1.
        results: &[(I32, 1057)],
    },
];

#[test]
fn code_that_begins_at_a_loop_goes_on_with_the_frame() {
    for (signals, optimize, fuel) in
        [(true, true, false), (true, false, true), (false, true, true), (false, false, false)]
    {
        let kind = EngineKind::Compiled;
        let settings = Settings { kind, signals, optimize, fuel, ..Settings::default() };
        let engine = Engine::new(settings, |_| Extension::default()).unwrap();
        for (number, case) in CASES.iter().enumerate() {
            let mut store = StoreData::new(&engine, Nobody);
            if fuel {
                store.inner.set_fuel(1_000_000);
            }
            let results = run(&mut store, case);
            assert_eq!(results, slots(case.results), "case {number}, signals {signals}");
        }
    }
}

/// The values as slots.
fn slots(values: &[Typed]) -> Vec<u64> {
    let words = values
        .iter()
        .flat_map(|(ty, bits)| [*bits as u64, (*bits >> 64) as u64].into_iter().take(ty.slots()));
    words.collect()
}

/// An embedder that is asked nothing.
struct Nobody;

impl Embedder for Nobody {
    fn limiter(&mut self) -> Option<&mut dyn Limiter> {
        None
    }

    fn refuel(&mut self) -> Option<u64> {
        None
    }

    fn serve_checkpoints(_: &mut StoreData<Nobody>, _: Standing) -> Result<()> {
        Ok(())
    }
}

fn run(store: &mut StoreData<Nobody>, case: &Case) -> Vec<u64> {
    let text = format!("(module (memory 1) {})", case.text);
    let engine = store.inner.engine().clone();
    let bytes = wardian_module::to_binary(text.as_bytes()).unwrap().into_owned();
    let decoded = wardian_module::Module::decode(bytes, engine.settings().features, 1).unwrap();
    let module = ModuleInner::new(&engine, decoded, None).unwrap();
    let instance = store.instantiate(&module, Imports::default(), &Options::default()).unwrap();
    let inner = &mut store.inner;
    let data = &inner.entities[instance];
    let (vmctx, variant) = (data.vm().address(), data.variant());
    let (info, bytes) = (module.decoded.info(), module.decoded.bytes());
    let begin = |at| {
        engine.compiler().unwrap().compile_loop(
            info,
            bytes,
            DefinedFuncIndex::from_u32(0),
            CodeOffset::from_u32(at),
            variant,
            &[],
        )
    };
    let body = info.body_offsets(DefinedFuncIndex::FIRST).unwrap();
    let offsets = body.start.as_u32()..body.end.as_u32();
    let code = offsets.filter_map(|at| begin(at).ok()).nth(case.number).unwrap();
    let code = CodeMemory::publish(&code.text).unwrap();

    let types = |values: &[Typed]| values.iter().map(|(ty, _)| *ty).collect::<Vec<_>>();
    let layout = FrameLayout::new(&types(case.params), types(case.locals));
    let mut frame = vec![0xdead_beef_dead_beef; 64];
    let fp = 16;
    let mut put = |slot: FrameSlot, words: Vec<u64>| {
        let at = (fp + slot.as_i32()) as usize;
        frame[at..at + words.len()].copy_from_slice(&words);
    };
    for (value, slot) in case.params.iter().chain(case.locals).zip(&layout.locals) {
        put(*slot, slots(&[*value]));
    }
    put(layout.stack, slots(case.stack));

    let ty = FuncType::new([I64], types(case.results));
    let signature = engine.signatures().get(&ty).unwrap();
    let trampoline = engine.trampoline(&signature).unwrap().entry;
    let mut args = vec![0; slots(case.results).len().max(1)];
    args[0] = frame[fp as usize..].as_ptr() as u64;
    inner.ensure_stack().unwrap();
    let ctx = inner.ctx();
    // SAFETY: the code has the native signature of the trampoline's type; the instance is of this
    // store, the frame fits the function, and `owner` is the store that is not used meanwhile.
    let outcome = unsafe {
        (*ctx).owner = OwnerPtr::of(std::ptr::from_mut(store));
        activation::enter(ctx, vmctx, code.start(), args.as_mut_ptr(), trampoline)
    };
    assert_eq!(outcome, Outcome::Returned);
    args.truncate(slots(case.results).len());
    args
}
