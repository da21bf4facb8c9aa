//! The module in wasmtime.

use super::{Arguments, Lines, Number, ROUNDS, hash};
use std::sync::LazyLock;
use wasmtime::{
    Config, Engine, Error, Extern, Instance, Module, Ref, Store, ThrownException, Trap, Val,
    ValType, WasmBacktrace,
};

static ENGINE: LazyLock<Engine> = LazyLock::new(|| {
    let mut config = Config::new();
    config.wasm_memory64(true).wasm_custom_page_sizes(true).wasm_multi_memory(true);
    config.wasm_tail_call(true).wasm_relaxed_simd(false);
    config.wasm_exceptions(true).wasm_function_references(true).wasm_gc(true);
    Engine::new(&config).expect("the configuration works")
});

pub(super) fn run(bytes: &[u8], seed: u64) -> Result<Lines, String> {
    let text = |error: Error| format!("{error:?}");
    let module = Module::new(&ENGINE, bytes).map_err(text)?;
    let code = code_section(bytes);
    let mut store = Store::new(&ENGINE, ());
    let mut lines = Lines::new();
    let instance = match Instance::new(&mut store, &module, &[]) {
        Ok(instance) => instance,
        Err(error) => return Ok(vec![ended(&mut store, &error, code)?]),
    };
    let mut arguments = Arguments::new(seed);
    let exports: Vec<(String, Extern)> =
        instance.exports(&mut store).map(|e| (e.name().to_owned(), e.into_extern())).collect();
    for _ in 0..ROUNDS {
        for (name, export) in &exports {
            let Extern::Func(f) = export else { continue };
            let ty = f.ty(&store);
            if ty.params().any(|ty| ty.as_ref().is_some_and(|r| !r.is_nullable())) {
                continue;
            }
            let params: Vec<_> = ty.params().map(|ty| value(&ty, &mut arguments)).collect();
            let mut results = vec![Val::I32(0); ty.results().len()];
            let ended = match f.call(&mut store, &params, &mut results) {
                Ok(()) => results.iter().map(show).collect::<Vec<_>>().join(", "),
                Err(error) => ended(&mut store, &error, code)?,
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
                let mut elements = Vec::new();
                for at in 0..t.size(&store) {
                    elements.push(t.get(&mut store, at).map_or("", |r| show_ref(&r)));
                }
                lines.push(format!("{name} {}", elements.join(" ")));
            }
            _ => {}
        }
    }
    Ok(lines)
}

/// Where the contents of the code section begin.
fn code_section(bytes: &[u8]) -> usize {
    let payloads = wasmparser::Parser::new(0).parse_all(bytes).map_while(Result::ok);
    let mut starts = payloads.filter_map(|payload| {
        payload.as_section().filter(|(id, _)| *id == 10).map(|(_, range)| range.start as usize)
    });
    starts.next().unwrap_or(0)
}

fn value(ty: &ValType, arguments: &mut Arguments) -> Val {
    let ours = match ty {
        ValType::I32 => wardian::ValType::I32,
        ValType::I64 => wardian::ValType::I64,
        ValType::F32 => wardian::ValType::F32,
        ValType::F64 => wardian::ValType::F64,
        ValType::V128 => wardian::ValType::V128,
        ValType::Ref(_) => wardian::ValType::FUNCREF,
    };
    match arguments.next(ours) {
        Some(Number::I32(n)) => Val::I32(n),
        Some(Number::I64(n)) => Val::I64(n),
        Some(Number::F32(n)) => Val::F32(n),
        Some(Number::F64(n)) => Val::F64(n),
        Some(Number::V128(n)) => Val::V128(n.into()),
        None => Val::default_for_ty(ty).expect("it can be null"),
    }
}

fn show(value: &Val) -> String {
    match value {
        Val::I32(n) => format!("{n:x}"),
        Val::I64(n) => format!("{n:x}"),
        Val::F32(n) => format!("{n:x}"),
        Val::F64(n) => format!("{n:x}"),
        Val::V128(n) => format!("{:x}", n.as_u128()),
        other => other.ref_().map_or("?", |r| show_ref(&r)).to_owned(),
    }
}

fn show_ref(reference: &Ref) -> &'static str {
    match reference {
        reference if reference.is_null() => "null",
        Ref::Func(_) => "func",
        _ => "extern",
    }
}

/// How a call ended that did not return.
fn ended(store: &mut Store<()>, error: &Error, code: usize) -> Result<String, String> {
    if error.downcast_ref::<ThrownException>().is_none() {
        return trap(error, code);
    }
    let exception = store.take_pending_exception().ok_or("no exception is pending")?;
    let fields = exception.fields(&mut *store).map_err(|error| format!("{error:?}"))?;
    let values: Vec<_> = fields.map(|value| show(&value)).collect();
    Ok(format!("exception {}", values.join(", ")))
}

fn trap(error: &Error, code: usize) -> Result<String, String> {
    let trap = error.downcast_ref::<Trap>().ok_or_else(|| format!("{error:?}"))?;
    let name = match trap {
        Trap::UnreachableCodeReached => "Unreachable".to_owned(),
        trap => format!("{trap:?}"),
    };
    let frame = error.downcast_ref::<WasmBacktrace>().and_then(|b| b.frames().first());
    let place = frame.map(|f| {
        let offset = f.module_offset().map(|at| (at - code) as u32);
        format!("{}:{offset:?}", f.func_index())
    });
    Ok(format!("{name} @{}", place.unwrap_or_default()))
}
