//! Objects of guests as text.

use crate::value;
use wardian::{AsContext, HeapType, Module, Result, Val, gc::AnyRef};
use wardian_observe::printable;

/// Fields or elements that are shown of an object.
const MOST: u32 = 16;
/// Objects in objects that are shown.
const DEPTH: u32 = 2;

/// A value as text; of an object its fields, with the names that the module has for them.
pub(crate) fn show(store: &impl AsContext, module: &Module, value: &Val) -> String {
    nested(store, module, value, DEPTH)
}

fn nested(store: &impl AsContext, module: &Module, value: &Val, depth: u32) -> String {
    match value {
        // An object that is gone is shown as a reference.
        Val::AnyRef(Some(any)) => {
            object(store, module, any, depth).unwrap_or_else(|_| value::show(value))
        }
        Val::ExternRef(Some(external)) => match external.data().downcast_ref::<AnyRef>() {
            Some(any) => object(store, module, any, depth).unwrap_or_else(|_| value::show(value)),
            None => value::show(value),
        },
        other => value::show(other),
    }
}

fn object(store: &impl AsContext, module: &Module, any: &AnyRef, depth: u32) -> Result<String> {
    if let Some(integer) = any.as_i31() {
        return Ok(format!("i31 {}", integer.get_i32()));
    }
    let ty = any.ty(store.as_context())?;
    let named = |kind: &str| match module.type_name(ty) {
        Some(name) => format!("{kind} {}", printable(name)),
        None => kind.to_owned(),
    };
    if let Some(found) = any.as_struct(store.as_context())? {
        let count = found.ty(store.as_context())?.fields().len() as u32;
        let fields = list(count, depth, |at| {
            let value = found.field(store.as_context(), at as usize)?;
            let text = nested(store, module, &value, depth - 1);
            Ok(format!("{}: {text}", field(module, ty, at)))
        })?;
        return Ok(format!("{} {{{fields}}}", named("struct")));
    }
    if let Some(found) = any.as_array(store.as_context())? {
        let count = found.len(store.as_context())?;
        let elements = list(count, depth, |at| {
            let value = found.get(store.as_context(), at)?;
            Ok(nested(store, module, &value, depth - 1))
        })?;
        return Ok(format!("{} of {count} [{elements}]", named("array")));
    }
    Ok("externref".to_owned())
}

fn field(module: &Module, ty: HeapType, at: u32) -> String {
    module.field_name(ty, at).map_or_else(|| at.to_string(), printable)
}

/// Parts of an object, as many as are shown.
fn list(count: u32, depth: u32, mut part: impl FnMut(u32) -> Result<String>) -> Result<String> {
    if depth == 0 {
        return Ok(if count == 0 { "" } else { "…" }.to_owned());
    }
    let mut parts = (0..count.min(MOST)).map(&mut part).collect::<Result<Vec<_>>>()?;
    if count > MOST {
        parts.push("…".to_owned());
    }
    Ok(parts.join(", "))
}
