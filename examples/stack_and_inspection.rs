//! Who called me, and what does the guest hold? A listener that looks at the stack, at private
//! globals and into memory; and the same listener tested and measured without any guest.

use std::sync::{Arc, Mutex};
use std::time::Instant;
use wardian::{
    Engine, FuncType, Instance, Module, Result, Store, Val, ValType,
    listener::{Call, FunctionFilter, FunctionListener, benchmark_function_listener},
    stack::{StackFrame, StackIterator},
    testing::{TestFunction, TestModule},
};

const GUEST: &str = r#"(module $shop
  (memory 1) (data (i32.const 64) "tulips\00roses\00")
  (global $sold (mut i32) (i32.const 0))
  (func $charge (param $item i32) (param $cents i32)
    (global.set $sold (i32.add (global.get $sold) (local.get $cents))))
  (func $sell (param $item i32) (call $charge (local.get $item) (i32.const 250)))
  (func $gift (param $item i32) (call $charge (local.get $item) (i32.const 0)))
  (func (export "day")
    (call $sell (i32.const 64)) (call $sell (i32.const 71)) (call $gift (i32.const 64))))"#;

/// The index of the global `$sold`.
const SOLD: u32 = 0;

/// Writes down each payment: what was bought, who asked for it, and what was in the till before.
#[derive(Default)]
struct Till {
    lines: Mutex<Vec<String>>,
}

impl FunctionListener for Till {
    fn before(&self, call: &Call<'_>, params: &[u64], stack: &mut StackIterator<'_>) {
        // The first frame is the called function itself.
        let mut callers = Vec::new();
        while stack.next() {
            let function = stack.function();
            let name = function.definition().name().unwrap_or("?").to_owned();
            let offset = function.source_offset_for_pc(stack.program_counter());
            callers.push((name, offset));
        }
        let chain: Vec<&str> = callers.iter().map(|(name, _)| name.as_str()).collect();
        assert!(callers.iter().all(|(_, offset)| offset.is_some()), "every frame has a place");
        // Everything of the instance can be read, exported or not.
        let (mut item, mut sold) = (String::new(), None);
        if let Some(module) = call.module() {
            sold = module.global(SOLD);
            let mut byte = [0];
            let mut at = params[0] as u32 as usize;
            let memory = module.memory(0);
            while let Some(memory) = &memory
                && memory.read(at, &mut byte).is_ok()
                && byte[0] != 0
            {
                item.push(char::from(byte[0]));
                at += 1;
            }
        }
        let sold = match sold {
            Some(Val::I32(cents)) => cents,
            _ => 0,
        };
        let line = format!("{item} for {} after {sold}: {}", params[1] as i32, chain.join(" < "));
        self.lines.lock().unwrap().push(line);
    }
}

fn in_a_guest() -> Result<()> {
    let engine = Engine::default();
    let module = Module::new(&engine, GUEST)?;
    let mut store = Store::new(&engine, ());
    let shop = Instance::new(&mut store, &module, &[])?;
    let till = Arc::new(Till::default());
    let attachment =
        shop.attach(&mut store, FunctionFilter::name("charge").listen(till.clone()))?;
    shop.typed_func::<(), ()>(&mut store, "day")?.call(&mut store, ())?;
    attachment.detach(&mut store);
    let lines = till.lines.lock().unwrap().clone();
    println!("{}", lines.join("\n"));
    assert_eq!(
        lines,
        [
            "tulips for 250 after 0: charge < sell < day",
            "roses for 250 after 250: charge < sell < day",
            "tulips for 0 after 500: charge < gift < day",
        ]
    );
    // The embedder may look as well, and change what the module keeps to itself.
    let sold = shop.internal(&store).global_index("sold").expect("there is one");
    assert_eq!(sold, SOLD);
    assert!(matches!(shop.internal(&store).global(sold), Some(Val::I32(500))));
    let mut inside = shop.internal_mut(&mut store);
    inside.set_global(sold, &Val::I32(0))?;
    inside.memory_mut(0)?[64] = b'T';
    assert_eq!(shop.internal(&store).memory(0).and_then(|m| m.data()).map(|d| d[64]), Some(b'T'));
    Ok(())
}

/// No engine, no guest: a module and a stack of doubles.
fn on_paper() {
    let ty = FuncType::new([ValType::I32, ValType::I32], []);
    let charge =
        TestFunction::new(ty.clone()).with_name("charge").with_param_names(["item", "cents"]);
    let refund = TestFunction::new(ty).with_name("refund");
    let module = TestModule::new("shop")
        .with_global(Val::I32(1000))
        .with_memory(*b"....lilies\0")
        .with_function(charge.clone())
        .with_function(refund.clone());
    let stack = [
        StackFrame::new(charge).with_params([4, (-300i32) as u32 as u64]).with_pc(7),
        StackFrame::new(refund).with_pc(3).with_source_offset(90),
    ];
    let till = Till::default();
    benchmark_function_listener(1, &module, &stack, &till);
    assert_eq!(*till.lines.lock().unwrap(), ["lilies for -300 after 1000: charge < refund"]);
    const CALLS: u64 = 10_000;
    let start = Instant::now();
    benchmark_function_listener(CALLS, &module, &stack, &till);
    println!("the listener alone: {:?} for each call", start.elapsed() / CALLS as u32);
}

/// Runs the example.
pub(crate) fn main() -> Result<()> {
    in_a_guest()?;
    on_paper();
    Ok(())
}
