//! The calls of a guest as a tree, with arguments and results as values; attached while it runs, and
//! detached again.

use std::sync::{Arc, Mutex};
use wardian::{
    Caller, CompileOptions, Engine, Linker, Module, Result, Store, ValType,
    listener::{AbortReason, Attachment, Call, FunctionFilter, FunctionListener},
    stack::StackIterator,
};

const GUEST: &str = r#"(module $garden
  (import "host" "watch" (func $watch (param $on i32)))
  (func $water (param $litres f64) (param $pots i32) (result f64)
    (if (i32.eqz (local.get $pots)) (then (unreachable)))
    (f64.div (local.get $litres) (f64.convert_i32_s (local.get $pots))))
  (func $round (param $n i32) (result f64)
    (f64.add (call $water (f64.const 1.5) (local.get $n)) (f64.const 0.25)))
  ;; Ends with its successor's result.
  (func $last (param $n i32) (result f64) (return_call $round (local.get $n)))
  (func (export "day") (param $n i32) (result f64)
    (drop (call $round (i32.const 3)))
    (call $watch (i32.const 1))
    (drop (call $round (i32.const 2)))
    (call $watch (i32.const 0))
    (call $last (local.get $n))))"#;

/// Draws the tree. Clones draw the same one.
#[derive(Clone, Default)]
struct Tree(Arc<Mutex<Drawing>>);

#[derive(Default)]
struct Drawing {
    depth: usize,
    lines: Vec<String>,
}

/// A value from raw slots, and how many of them it takes.
fn show(ty: ValType, slots: &[u64]) -> (String, usize) {
    let text = match ty {
        ValType::I32 => (slots[0] as i32).to_string(),
        ValType::I64 => (slots[0] as i64).to_string(),
        ValType::F32 => f32::from_bits(slots[0] as u32).to_string(),
        ValType::F64 => f64::from_bits(slots[0]).to_string(),
        ValType::V128 => format!("{:#x}", u128::from(slots[1]) << 64 | u128::from(slots[0])),
        ValType::Ref(_) => if slots[0] == 0 { "null" } else { "reference" }.to_owned(),
    };
    (text, ty.slots())
}

fn show_all<'a>(
    types: &[ValType],
    names: impl Iterator<Item = Option<&'a str>>,
    mut slots: &[u64],
) -> String {
    let mut shown = Vec::new();
    for (ty, name) in types.iter().zip(names) {
        let (text, used) = show(*ty, slots);
        slots = &slots[used..];
        shown.push(name.map_or(text.clone(), |name| format!("{name}={text}")));
    }
    shown.join(", ")
}

impl Tree {
    fn line(&self, text: String, depth: impl Fn(usize) -> (usize, usize)) {
        let mut drawing = self.0.lock().unwrap();
        let (at, next) = depth(drawing.depth);
        drawing.lines.push(format!("{}{text}", "  ".repeat(at)));
        drawing.depth = next;
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap().lines)
    }
}

impl FunctionListener for Tree {
    fn before(&self, call: &Call<'_>, params: &[u64], _: &mut StackIterator<'_>) {
        let f = call.definition();
        let params = show_all(f.param_types(), f.param_names(), params);
        let name = f.demangled_name().unwrap_or_else(|| f.debug_name());
        self.line(format!("{name}({params})"), |depth| (depth, depth + 1));
    }

    fn after(&self, call: &Call<'_>, results: &[u64]) {
        let f = call.definition();
        let text = match (call.is_tail_call(), results) {
            (true, _) => "goes on as".to_owned(),
            (false, []) => "done".to_owned(),
            _ => format!("= {}", show_all(f.result_types(), f.result_names(), results)),
        };
        self.line(text, |depth| (depth, depth - 1));
    }

    fn abort(&self, _: &Call<'_>, reason: &AbortReason<'_>) {
        self.line(format!("! {reason}"), |depth| (depth, depth - 1));
    }
}

/// What `host` `watch` keeps: who watches now.
#[derive(Default)]
struct Host {
    tree: Tree,
    watching: Option<Attachment>,
}

/// Runs the example.
pub(crate) fn main() -> Result<()> {
    let engine = Engine::default();
    let mut linker: Linker<Host> = Linker::new(&engine);
    // Listeners come and go while the guest runs, here when it asks for it.
    linker.func_wrap("host", "watch", |mut caller: Caller<'_, Host>, on: i32| {
        let attachment = match caller.instance() {
            Some(guest) if on != 0 => {
                let tree = caller.data().tree.clone();
                let chosen = FunctionFilter::imported().inverted().listen(tree);
                Some(guest.attach(&mut caller, chosen)?)
            }
            _ => None,
        };
        let before = std::mem::replace(&mut caller.data_mut().watching, attachment);
        if let Some(before) = before {
            before.detach(&mut caller);
        }
        Ok::<(), wardian::Error>(())
    })?;
    let module = Module::new(&engine, GUEST)?;
    let mut store = Store::new(&engine, Host::default());
    let guest = linker.instantiate(&mut store, &module)?;
    let day = guest.typed_func::<i32, f64>(&mut store, "day")?;
    assert_eq!(day.call(&mut store, 6)?, 0.5);
    let part = store.data().tree.take();
    println!("while watched:\n  {}", part.join("\n  "));
    assert_eq!(
        part,
        ["round(n=2)", "  water(litres=1.5, pots=2)", "    = 0.75", "  = 1"],
        "the call of `day` had begun before, and so is not notified of"
    );

    // Or from the beginning, for all instances: the module is compiled with them.
    let tree = Tree::default();
    let options = CompileOptions::new()
        .with_function_listener_factory(FunctionFilter::all().listen(tree.clone()));
    let module = Module::new_with(&engine, GUEST, &options)?;
    let guest = linker.instantiate(&mut store, &module)?;
    let day = guest.typed_func::<i32, f64>(&mut store, "day")?;
    day.call(&mut store, 0).expect_err("it traps");
    let all = tree.take();
    println!("all of it:\n  {}", all.join("\n  "));
    assert_eq!(all[0], "day(n=0)");
    assert!(all.contains(&"    goes on as".to_owned()), "of `last`");
    assert_eq!(all.last().unwrap(), "  ! trap: unreachable");
    assert_eq!(tree.0.lock().unwrap().depth, 0, "every call has ended");
    Ok(())
}
