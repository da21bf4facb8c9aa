//! What listeners cost, and walking the stack from one.

use crate::engines::{self, WARDIAN};
use crate::measure::{Contender, Row, difference, measure};
use crate::options::{Options, Result};
use std::hint::black_box;
use wardian::{
    CompileOptions, Instance, Linker, Module, Store, TypedFunc,
    listener::{Call, FunctionFilter, FunctionListener, FunctionListenerFactoryFunc},
    stack::StackIterator,
};

/// The same guest without what is measured.
pub(crate) const WITHOUT: &str = "without";

/// What wazero's compiler engine takes for a pair, measured elsewhere: the middle of 111 to 124 ns.
const WAZERO: (&str, f64) = ("wazero elsewhere", 117.5);

const GUEST: &str = r#"(module
  (import "host" "host" (func $host (param i32) (result i32)))
  (func $guest (param i32) (result i32) (i32.add (local.get 0) (i32.const 1)))
  (func $tail (param i32) (result i32) (return_call $end (local.get 0)))
  (func $end (param i32) (result i32) (i32.add (local.get 0) (i32.const 1)))
  (func (export "guest") (param $n i32) (result i64) (local $x i32)
    (loop $again
      (local.set $x (call $guest (local.get $x)))
      (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (i64.extend_i32_u (local.get $x)))
  (func (export "tail") (param $n i32) (result i64) (local $x i32)
    (loop $again
      (local.set $x (call $tail (local.get $x)))
      (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (i64.extend_i32_u (local.get $x)))
  (func (export "host") (param $n i32) (result i64) (local $x i32)
    (loop $again
      (local.set $x (call $host (local.get $x)))
      (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (i64.extend_i32_u (local.get $x)))
  (func $down (export "down") (param $depth i32) (param $n i32) (result i64)
    (if (result i64) (local.get $depth)
      (then (call $down (i32.sub (local.get $depth) (i32.const 1)) (local.get $n)))
      (else (call $loop (local.get $n)))))
  (func $loop (param $n i32) (result i64) (local $x i32)
    (loop $again
      (local.set $x (call $guest (local.get $x)))
      (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (i64.extend_i32_u (local.get $x))))"#;

struct Empty;

impl FunctionListener for Empty {
    fn before(&self, _: &Call<'_>, _: &[u64], _: &mut StackIterator<'_>) {}
}

/// A store with an instance of the guest, compiled with these options.
pub(crate) struct Guest {
    store: Store<()>,
    instance: Instance,
}

impl Guest {
    pub(crate) fn new(options: &CompileOptions<'_>) -> Result<Guest> {
        let engine = engines::wardian()?;
        let module = Module::new_with(&engine, GUEST, options)?;
        let mut linker = Linker::new(&engine);
        linker.func_wrap("host", "host", |x: i32| x.wrapping_add(1))?;
        let mut store = Store::new(&engine, ());
        let instance = linker.instantiate(&mut store, &module)?;
        Ok(Guest { store, instance })
    }

    fn listened(function: &str, listener: impl FunctionListener) -> Result<Guest> {
        let factory = FunctionFilter::name(function)
            .and(FunctionFilter::new(|d| {
                // The loops are exported by the names of what they call.
                d.import().is_some() || d.export_names().next().is_none()
            }))
            .listen(listener);
        Guest::new(&CompileOptions::new().with_function_listener_factory(factory))
    }

    pub(crate) fn store(&mut self) -> &mut Store<()> {
        &mut self.store
    }

    pub(crate) fn contender(&mut self, column: &'static str, name: &str) -> Result<Contender<'_>> {
        let f = self.instance.typed_func::<i32, i64>(&mut self.store, name)?;
        let store = &mut self.store;
        Ok(Contender::new(column, move |n| Ok(f.call(&mut *store, i32::try_from(n)?)?)))
    }
}

/// A pair of `before` and `after` of an empty listener, and functions that nobody listens to any more.
pub(crate) fn listener(options: &Options) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for name in ["guest", "tail", "host"] {
        let title = format!("pair: {name}");
        if options.wants(&title) {
            let mut with = Guest::listened(name, Empty)?;
            let mut without = Guest::new(&CompileOptions::new())?;
            let contenders =
                vec![with.contender(WARDIAN, name)?, without.contender(WITHOUT, name)?];
            let mut row = difference(measure(options, &title, contenders)?, WITHOUT);
            if name == "guest" {
                row.add(WAZERO.0, WAZERO.1);
            }
            rows.push(row);
        }
        let title = format!("off: {name}");
        if options.wants(&title) {
            let nobody =
                FunctionListenerFactoryFunc(|_: &wardian::inspect::FunctionDefinition<'_>| None);
            let asked = CompileOptions::new().with_function_listener_factory(nobody);
            let mut with = Guest::new(&asked)?;
            let factory = FunctionFilter::all().listen(Empty);
            with.instance.attach(&mut with.store, factory)?.detach(&mut with.store);
            let mut without = Guest::new(&CompileOptions::new())?;
            let contenders =
                vec![with.contender(WARDIAN, name)?, without.contender(WITHOUT, name)?];
            rows.push(measure(options, &title, contenders)?);
        }
    }
    Ok(rows)
}

/// Frames that a listener walks: the function called, its caller, and the recursion above.
const FRAMES: usize = 50;

/// What a listener does with each frame.
#[derive(Clone, Copy)]
enum Look {
    Nothing,
    Definition,
    Offset,
}

struct Walker(Look);

impl FunctionListener for Walker {
    fn before(&self, _: &Call<'_>, _: &[u64], stack: &mut StackIterator<'_>) {
        let mut frames = 0;
        while stack.next() {
            frames += 1;
            match self.0 {
                Look::Nothing => {}
                Look::Definition => {
                    black_box(stack.function().definition().index());
                }
                Look::Offset => {
                    let pc = stack.program_counter();
                    black_box(stack.function().source_offset_for_pc(pc));
                }
            }
        }
        assert_eq!(frames, FRAMES);
    }
}

/// A walk through all frames from a listener: what it adds to an empty one.
pub(crate) fn stack(options: &Options) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for (name, look) in [
        ("50 frames", Look::Nothing),
        ("50 frames, definition()", Look::Definition),
        ("50 frames, source offsets", Look::Offset),
    ] {
        if !options.wants(name) {
            continue;
        }
        let mut with = Guest::listened("guest", Walker(look))?;
        let mut without = Guest::listened("guest", Empty)?;
        let contenders = vec![deep(&mut without, WITHOUT)?, deep(&mut with, WARDIAN)?];
        rows.push(difference(measure(options, name, contenders)?, WITHOUT));
    }
    Ok(rows)
}

fn deep<'a>(guest: &'a mut Guest, column: &'static str) -> Result<Contender<'a>> {
    let down: TypedFunc<(i32, i32), i64> = guest.instance.typed_func(&mut guest.store, "down")?;
    let store = &mut guest.store;
    let depth = i32::try_from(FRAMES - 3)?;
    Ok(Contender::new(column, move |n| Ok(down.call(&mut *store, (depth, i32::try_from(n)?))?)))
}
