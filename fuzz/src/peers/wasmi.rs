//! The module in wasmi.

use super::{Arguments, Lines, Number, ROUNDS, hash};
use std::sync::LazyLock;
use wasmi::{
    Config, Engine, Error, Extern, Linker, Module, Nullable, Ref, Store, TrapCode, Val, ValType,
};

static ENGINE: LazyLock<Engine> = LazyLock::new(|| {
    let mut config = Config::default();
    config.wasm_memory64(true).wasm_custom_page_sizes(true).wasm_multi_memory(true);
    config.wasm_tail_call(true).wasm_simd(true).wasm_extended_const(true);
    Engine::new(&config)
});

pub(super) fn run(bytes: &[u8], seed: u64) -> Result<Lines, String> {
    let text = |error: Error| error.to_string();
    let module = Module::new(&ENGINE, bytes).map_err(text)?;
    let mut store = Store::new(&ENGINE, ());
    let mut lines = Lines::new();
    let instance = match Linker::<()>::new(&ENGINE).instantiate_and_start(&mut store, &module) {
        Ok(instance) => instance,
        Err(error) => return Ok(vec![trap(&error)?]),
    };
    let mut arguments = Arguments::new(seed);
    let exports: Vec<(String, Extern)> = super::exports(bytes)
        .into_iter()
        .filter_map(|name| instance.get_export(&store, &name).map(|e| (name, e)))
        .collect();
    for _ in 0..ROUNDS {
        for (name, export) in &exports {
            let Extern::Func(f) = export else { continue };
            let ty = f.ty(&store);
            let params: Vec<_> = ty.params().iter().map(|ty| value(*ty, &mut arguments)).collect();
            let mut results: Vec<_> =
                ty.results().iter().map(|ty| Val::default_for_ty(*ty)).collect();
            let ended = match f.call(&mut store, &params, &mut results) {
                Ok(()) => results.iter().map(show).collect::<Vec<_>>().join(", "),
                Err(error) => trap(&error)?,
            };
            lines.push(format!("{name}: {ended}"));
        }
    }
    for (name, export) in &exports {
        match export {
            Extern::Global(g) => lines.push(format!("{name} = {}", show(&g.get(&store)))),
            Extern::Memory(m) => {
                let data = m.data(&store);
                lines.push(format!("{name} {} {:x}", data.len(), hash(data)));
            }
            Extern::Table(t) => {
                let elements: Vec<_> = (0..t.size(&store))
                    .filter_map(|at| t.get(&store, at))
                    .map(|r| match r {
                        Ref::Func(Nullable::Val(_)) => "func",
                        Ref::Extern(Nullable::Val(_)) => "extern",
                        _ => "null",
                    })
                    .collect();
                lines.push(format!("{name} {}", elements.join(" ")));
            }
            _ => {}
        }
    }
    Ok(lines)
}

fn value(ty: ValType, arguments: &mut Arguments) -> Val {
    let ours = match ty {
        ValType::I32 => wardian::ValType::I32,
        ValType::I64 => wardian::ValType::I64,
        ValType::F32 => wardian::ValType::F32,
        ValType::F64 => wardian::ValType::F64,
        ValType::V128 => wardian::ValType::V128,
        _ => wardian::ValType::FUNCREF,
    };
    match arguments.next(ours) {
        Some(Number::I32(n)) => Val::I32(n),
        Some(Number::I64(n)) => Val::I64(n),
        Some(Number::F32(n)) => Val::F32(wasmi::F32::from_bits(n)),
        Some(Number::F64(n)) => Val::F64(wasmi::F64::from_bits(n)),
        Some(Number::V128(n)) => Val::V128(n.into()),
        None => Val::default_for_ty(ty),
    }
}

fn show(value: &Val) -> String {
    match value {
        Val::I32(n) => format!("{n:x}"),
        Val::I64(n) => format!("{n:x}"),
        Val::F32(n) => format!("{:x}", n.to_bits()),
        Val::F64(n) => format!("{:x}", n.to_bits()),
        Val::V128(n) => format!("{:x}", n.as_u128()),
        Val::FuncRef(Nullable::Val(_)) => "func".to_owned(),
        Val::ExternRef(Nullable::Val(_)) => "extern".to_owned(),
        _ => "null".to_owned(),
    }
}

fn trap(error: &Error) -> Result<String, String> {
    let code = error.as_trap_code().ok_or_else(|| error.to_string())?;
    Ok(match code {
        TrapCode::UnreachableCodeReached => "Unreachable @".to_owned(),
        code => format!("{code:?} @"),
    })
}
