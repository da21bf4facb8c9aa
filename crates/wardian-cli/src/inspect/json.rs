//! The summary of a module as JSON.

use super::sizes::Part;
use super::{Item, Summary};
use serde_json::{Map, Value, json};
use wardian::{ExternType, FuncType};

pub(super) fn render(summary: &Summary<'_>) -> serde_json::Result<String> {
    let info = summary.module.info();
    let imports = info.imports.iter().map(|i| {
        let ty = info.item_type(i.item);
        let from = [("module", json!(i.module)), ("name", json!(i.name))];
        object(from, extern_type(&ty))
    });
    let exports = info
        .exports
        .iter()
        .map(|e| object([("name", json!(e.name))], extern_type(&info.item_type(e.item))));
    let sections = summary
        .sections
        .iter()
        .map(|s| json!({ "kind": s.kind, "name": s.name, "offset": s.offset, "size": s.size }));
    let producers: Map<String, Value> = summary
        .producers
        .iter()
        .map(|(field, values)| {
            let value = |(name, version): &_| json!({ "name": name, "version": version });
            (field.clone(), values.iter().map(value).collect())
        })
        .collect();
    let abilities = super::abilities::of(info).into_iter().map(|ability| {
        let imports = ability.imports.iter().map(|i| json!({ "module": i.module, "name": i.name }));
        json!({ "ability": ability.name, "imports": imports.collect::<Vec<_>>() })
    });
    let mut value = json!({
        "file": summary.file,
        "size": summary.module.bytes().len(),
        "name": summary.module.name(),
        "kind": summary.kind,
        "features": summary.features.names().collect::<Vec<_>>(),
        "imports": imports.collect::<Vec<_>>(),
        "abilities": abilities.collect::<Vec<_>>(),
        "exports": exports.collect::<Vec<_>>(),
        "functions": { "imported": info.imported_functions, "defined": info.bodies.len() },
        "code_size": summary.code_size(),
        "start": summary.start().map(|(index, name)| json!({ "index": index, "name": name })),
        "memories": items(summary.memories()),
        "tables": items(summary.tables()),
        "globals": items(summary.globals()),
        "tags": items(summary.tags()),
        "sections": sections.collect::<Vec<_>>(),
        "producers": producers,
        "target_features": summary.target_features,
    });
    if let Some(sizes) = &summary.sizes {
        value["sizes"] = json!({
            "sections": parts(&sizes.sections),
            "functions": parts(&sizes.functions),
            "files": parts(&sizes.files),
            "data": parts(&sizes.data),
        });
    }
    Ok(serde_json::to_string_pretty(&value)? + "\n")
}

fn parts(parts: &[Part]) -> Vec<Value> {
    let value = |part: &Part| match part.retained {
        Some(retained) => json!({ "name": part.name, "bytes": part.bytes, "retained": retained }),
        None => json!({ "name": part.name, "bytes": part.bytes }),
    };
    parts.iter().map(value).collect()
}

fn object<const N: usize>(first: [(&str, Value); N], rest: Map<String, Value>) -> Value {
    first.into_iter().map(|(key, value)| (key.to_owned(), value)).chain(rest).collect()
}

fn items(items: Vec<Item>) -> Value {
    let item = |i: Item| {
        let first = [("imported", json!(i.imported)), ("export", json!(i.export))];
        object(first, extern_type(&i.ty))
    };
    items.into_iter().map(item).collect()
}

/// `kind`, and what belongs to the kind.
fn extern_type(ty: &ExternType) -> Map<String, Value> {
    let mut map = Map::new();
    map.insert("kind".into(), json!(ty.kind().to_string()));
    let more = match ty {
        ExternType::Func(ty) => signature(ty),
        ExternType::Table(ty) => json!({
            "element": ty.element.to_string(),
            "min": ty.min,
            "max": ty.max,
            "table64": ty.table64,
        }),
        ExternType::Memory(ty) => json!({
            "min": ty.min,
            "max": ty.max,
            "page_size": ty.page_size(),
            "memory64": ty.memory64,
            "shared": ty.shared,
        }),
        ExternType::Global(ty) => json!({
            "content": ty.content.to_string(),
            "mutable": ty.mutable,
        }),
        ExternType::Tag(ty) => json!({ "values": names(ty.values()) }),
        other => json!({ "type": other.to_string() }),
    };
    if let Value::Object(more) = more {
        map.extend(more);
    }
    map
}

fn names(types: &[wardian::ValType]) -> Vec<String> {
    types.iter().map(|ty| ty.to_string()).collect()
}

fn signature(ty: &FuncType) -> Value {
    json!({ "params": names(ty.params()), "results": names(ty.results()) })
}
