//! The module in Wardian, on three engines, and with a collection at every allocation.

use super::{Arguments, Lines, Number, ROUNDS, hash};
use std::sync::LazyLock;
use wardian::{
    Config, Engine, EngineKind, Error, Extern, Instance, Module, Result, Store, TrapCode, Val,
    limits::StoreLimits,
};

static ENGINES: LazyLock<Vec<(&str, Engine)>> = LazyLock::new(|| {
    // With stress each allocation and safepoint collects, and overwrites what it frees.
    let ways = [
        ("interpreted", EngineKind::Interpreted, false),
        ("compiled", EngineKind::Compiled, false),
        ("tiered", EngineKind::Tiered, false),
        ("interpreted, stress", EngineKind::Interpreted, true),
        ("compiled, stress", EngineKind::Compiled, true),
    ];
    let make = |(name, kind, stress)| {
        let mut config = Config::new();
        config.gc_stress(stress).gc_stress_at_safepoints(stress);
        config.engine(kind).hot_after(Some(1)).compile_threads(1).background_compilation(false);
        (name, Engine::new(&config).expect("the configuration works"))
    };
    ways.into_iter().map(make).collect()
});

pub(super) fn run(bytes: &[u8], seed: u64) -> Result<Vec<(&'static str, Lines)>> {
    ENGINES.iter().map(|(name, engine)| Ok((*name, one(engine, bytes, seed)?))).collect()
}

fn one(engine: &Engine, bytes: &[u8], seed: u64) -> Result<Lines> {
    let module = Module::new(engine, bytes)?;
    // Objects may fill 4 GiB in each of several stores; what needs so much is not compared.
    let limits = StoreLimits { memory_bytes: 512 << 20, ..StoreLimits::default() };
    let mut store = Store::new(engine, limits);
    store.limiter(|limits| limits);
    let mut lines = Lines::new();
    let instance = match Instance::new(&mut store, &module, &[]) {
        Ok(instance) => instance,
        Err(error) => return Ok(vec![trap(&error)?]),
    };
    let mut arguments = Arguments::new(seed);
    let exports = instance.exports(&mut store);
    for _ in 0..ROUNDS {
        for (name, export) in &exports {
            let Extern::Func(f) = export else { continue };
            let ty = f.ty(&store);
            // Nobody has a value for such a parameter.
            if ty.params().iter().any(|ty| matches!(ty, wardian::ValType::Ref(r) if !r.nullable)) {
                continue;
            }
            let params: Vec<_> = ty.params().iter().map(|ty| value(*ty, &mut arguments)).collect();
            let mut results: Vec<_> = ty.results().iter().map(|ty| Val::zero(*ty)).collect();
            let ended = match f.call(&mut store, &params, &mut results) {
                Ok(()) => results.iter().map(show).collect::<Vec<_>>().join(", "),
                Err(error) => trap(&error)?,
            };
            lines.push(format!("{name}: {ended}"));
        }
    }
    for (name, export) in &exports {
        match export {
            Extern::Global(g) => lines.push(format!("{name} = {}", show(&g.get(&mut store)))),
            Extern::Memory(m) => {
                let data = m.data(&store);
                lines.push(format!("{name} {} {:x}", data.len(), hash(data)));
            }
            Extern::Table(t) => {
                let elements: Vec<_> = (0..t.size(&store))
                    .filter_map(|i| t.get(&mut store, i))
                    .map(|v| show(&v))
                    .collect();
                lines.push(format!("{name} {}", elements.join(" ")));
            }
            _ => {}
        }
    }
    Ok(lines)
}

fn value(ty: wardian::ValType, arguments: &mut Arguments) -> Val {
    match arguments.next(ty) {
        Some(Number::I32(n)) => Val::I32(n),
        Some(Number::I64(n)) => Val::I64(n),
        Some(Number::F32(n)) => Val::F32(n),
        Some(Number::F64(n)) => Val::F64(n),
        Some(Number::V128(n)) => Val::V128(n),
        None => Val::zero(ty),
    }
}

fn show(value: &Val) -> String {
    match value {
        Val::I32(n) => format!("{n:x}"),
        Val::I64(n) => format!("{n:x}"),
        Val::F32(n) => format!("{n:x}"),
        Val::F64(n) => format!("{n:x}"),
        Val::V128(n) => format!("{n:x}"),
        Val::FuncRef(f) => if f.is_some() { "func" } else { "null" }.to_owned(),
        Val::ExternRef(e) => if e.is_some() { "extern" } else { "null" }.to_owned(),
        Val::ExnRef(e) => if e.is_some() { "extern" } else { "null" }.to_owned(),
        Val::AnyRef(r) => if r.is_some() { "extern" } else { "null" }.to_owned(),
        other => format!("{other:?}"),
    }
}

/// A trap, with the offset in the code section; any other error is none to compare.
fn trap(error: &Error) -> Result<String> {
    if let Some(exception) = error.exception() {
        let values: Vec<_> = exception.values().iter().map(show).collect();
        return Ok(format!("exception {}", values.join(", ")));
    }
    let Some(code) = error.trap() else { return Err(Error::host(error.to_string())) };
    let name = match code {
        // The others tell the two of them apart elsewhere.
        TrapCode::UndefinedElement => "TableOutOfBounds".to_owned(),
        TrapCode::NullExceptionReference
        | TrapCode::NullArrayReference
        | TrapCode::NullStructReference
        | TrapCode::NullI31Reference => "NullReference".to_owned(),
        code => format!("{code:?}"),
    };
    let frame = error.backtrace().and_then(|b| b.frames().first());
    let place = frame.map(|f| format!("{}:{:?}", f.func_index(), f.code_offset()));
    Ok(format!("{name} @{}", place.unwrap_or_default()))
}
