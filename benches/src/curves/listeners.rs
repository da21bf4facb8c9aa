//! By the number of functions that are listened to, of a thousand that are called in turn.

use crate::engines::{self, INTERPRETED, WARDIAN};
use crate::measure::{Contender, Figure, Row, measure};
use crate::options::{Options, Result};
use std::fmt::Write as _;
use wardian::{
    CompileOptions, EngineKind, Instance, Module, Store,
    listener::{Call, FunctionFilter, FunctionListener},
    stack::StackIterator,
};

/// Functions that the guest calls in each of its rounds.
const FUNCTIONS: u32 = 1000;

/// Of those, so many have a listener.
const LISTENED: [(&str, u32); 5] =
    [("0", 0), ("1", 1), ("10", 10), ("100", 100), ("all 1000", FUNCTIONS)];

const CURVE: &str = "call by number of functions listened to";

struct Empty;

impl FunctionListener for Empty {
    fn before(&self, _: &Call<'_>, _: &[u64], _: &mut StackIterator<'_>) {}
}

/// The mean time of a call.
pub(super) fn run(options: &Options) -> Result<Vec<Row>> {
    let guest = guest()?;
    let mut rows = Vec::new();
    for (name, listened) in LISTENED {
        let title = format!("{CURVE}: {name}");
        if !options.wants(&title) {
            continue;
        }
        let mut contenders = vec![contender(WARDIAN, EngineKind::Compiled, &guest, listened)?];
        if !options.no_interpreters {
            contenders.push(contender(INTERPRETED, EngineKind::Interpreted, &guest, listened)?);
        }
        let row = measure(options, &title, contenders)?;
        let calls = f64::from(FUNCTIONS);
        let each = |f: &Figure| Figure::of(f.engine, f.samples.iter().map(|s| s / calls).collect());
        let figures = row.figures.iter().map(each).collect();
        // A logarithmic axis has no zero.
        rows.push(
            Row::new(title, figures)
                .at(CURVE, f64::from(listened.max(1)) * if listened == 0 { 0.1 } else { 1.0 }),
        );
    }
    Ok(rows)
}

/// The functions, and one that calls each of them `n` times.
fn guest() -> Result<Vec<u8>> {
    let mut text = String::from("(module\n");
    for i in 0..FUNCTIONS {
        writeln!(
            text,
            "(func $f{i} (param i32) (result i32) (i32.add (local.get 0) (i32.const {i})))"
        )?;
    }
    text.push_str(
        "(func (export \"run\") (param $n i32) (result i64) (local $x i32) (loop $again\n",
    );
    for i in 0..FUNCTIONS {
        writeln!(text, "(local.set $x (call $f{i} (local.get $x)))")?;
    }
    text.push_str(
        "(br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1))))) (i64.extend_i32_u (local.get $x))))",
    );
    Ok(wat::parse_str(text)?)
}

fn contender(
    column: &'static str,
    kind: EngineKind,
    wasm: &[u8],
    listened: u32,
) -> Result<Contender<'static>> {
    let engine = engines::wardian_of(kind)?;
    let chosen = FunctionFilter::new(move |f| f.index().is_some_and(|i| i < listened));
    let compile = CompileOptions::new().with_function_listener_factory(chosen.listen(Empty));
    let module = Module::new_with(&engine, wasm, &compile)?;
    let mut store = Store::new(&engine, ());
    let instance = Instance::new(&mut store, &module, &[])?;
    let run = instance.typed_func::<i32, i64>(&mut store, "run")?;
    Ok(Contender::new(column, move |n| Ok(run.call(&mut store, i32::try_from(n)?)?)))
}
