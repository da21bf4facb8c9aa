//! Checking imports (core specification, "Import Matching").

use crate::error::LinkProblem;
use crate::error::UsageKind;
use crate::instance::instantiate::{ImportItem, Imports};
use crate::module::ModuleInner;
use crate::store::functions::FuncKind;
use crate::store::host::HostDef;
use crate::store::inner::StoreInner;
use crate::value::Extern;
use crate::{Engine, Error, ErrorKind, Result};
use std::any::TypeId;
use std::borrow::Cow;
use std::sync::Arc;
use wardian_module::ItemIndex;
use wardian_types::{ExternType, GlobalType, MemoryType, TableType, TagType, TypeNumber};

/// What an import is satisfied with.
#[derive(Clone)]
pub enum Definition {
    /// Something of a store.
    Extern(Extern),
    /// A function of the host, in no store.
    Host(Arc<HostDef>),
}

/// What was found for an import.
pub enum Lookup {
    /// This.
    Found(Definition),
    /// Nothing.
    Missing {
        /// Why not.
        why: Cow<'static, str>,
        /// What may have been meant.
        near: Option<String>,
    },
}

impl Lookup {
    /// A definition, if there is one; else perhaps what may have been meant.
    pub fn new(found: Option<Definition>, near: impl FnOnce() -> Option<String>) -> Lookup {
        match found {
            Some(definition) => Lookup::Found(definition),
            None => {
                Lookup::Missing { why: "nothing is defined under this name".into(), near: near() }
            }
        }
    }
}

/// Errs if the module cannot be instantiated in the store at all.
pub fn check_engine(store: &StoreInner, module: &ModuleInner) -> Result<()> {
    if Engine::same(store.engine(), &module.engine) {
        return Ok(());
    }
    Err(Error::usage(
        UsageKind::OtherEngine,
        "the module was compiled by another engine than the store's",
    ))
}

/// Checks every import of a module; all problems are reported together.
pub fn check(
    store: &StoreInner,
    data: TypeId,
    module: &ModuleInner,
    definitions: Vec<Lookup>,
) -> Result<Imports> {
    check_engine(store, module)?;
    let mut imports = Imports::default();
    check_each(module, definitions, |wanted, definition| {
        imports.push(match definition {
            Definition::Host(def) => host(data, wanted, def)?,
            Definition::Extern(found) => item(store, wanted, found)?,
        });
        Ok(())
    })?;
    Ok(imports)
}

/// What an import needs.
struct Wanted {
    ty: ExternType,
    /// The number of a function's or tag's signature. Two types can look equal and be different: one that names itself,
    /// and one that names that type.
    signature: Option<TypeNumber>,
}

/// Checks what can be checked of a module's imports without a store: that they are defined, and the types of
/// host functions. [`resolved`] does the rest.
pub fn definitions(
    data: TypeId,
    module: &ModuleInner,
    definitions: Vec<Lookup>,
) -> Result<Vec<Definition>> {
    let mut found = Vec::with_capacity(definitions.len());
    check_each(module, definitions, |wanted, definition| {
        if let Definition::Host(def) = &definition {
            host(data, wanted, def.clone())?;
        }
        found.push(definition);
        Ok(())
    })?;
    Ok(found)
}

/// The imports of a module from what [`definitions`] returned, for the same data type.
pub fn resolved(
    store: &StoreInner,
    module: &ModuleInner,
    definitions: &[Definition],
) -> Result<Imports> {
    check_engine(store, module)?;
    let mut imports = Imports::default();
    let found = definitions.iter().cloned().map(Lookup::Found).collect();
    check_each(module, found, |wanted, definition| {
        imports.push(match definition {
            Definition::Host(def) => ImportItem::Host(def),
            Definition::Extern(found) => item(store, wanted, found)?,
        });
        Ok(())
    })?;
    Ok(imports)
}

/// Calls `accept` with what each import needs and its definition; all problems are reported together.
fn check_each(
    module: &ModuleInner,
    definitions: Vec<Lookup>,
    mut accept: impl FnMut(&Wanted, Definition) -> Result<(), String>,
) -> Result<()> {
    let info = module.decoded.info();
    let mut problems = Vec::new();
    for (import, definition) in info.imports.iter().zip(definitions) {
        let signature = match import.item {
            ItemIndex::Func(func) => Some(module.signatures[info.functions[func]]),
            ItemIndex::Tag(tag) => Some(module.signatures[info.tags[tag]]),
            _ => None,
        };
        let wanted = Wanted { ty: info.item_type(import.item), signature };
        let accepted = match definition {
            Lookup::Found(definition) => accept(&wanted, definition),
            Lookup::Missing { why, near } => {
                let hint = near.map(|near| format!("; did you mean {near}?")).unwrap_or_default();
                Err(format!("{why}; a {} is needed{hint}", wanted.ty))
            }
        };
        if let Err(message) = accepted {
            let (module, name) = (import.module.clone(), import.name.clone());
            problems.push(LinkProblem { module, name, message });
        }
    }
    if problems.is_empty() { Ok(()) } else { Err(Error::new(ErrorKind::Link(problems))) }
}

fn mismatch<V>(wanted: &Wanted, found: &ExternType) -> Result<V, String> {
    let wanted = &wanted.ty;
    Err(format!("incompatible import type: a {wanted} is needed, a {found} is defined"))
}

fn host(data: TypeId, wanted: &Wanted, def: Arc<HostDef>) -> Result<ImportItem, String> {
    if def.data_type != data {
        return Err("the host function is made for stores with other data".into());
    }
    match &wanted.ty {
        ExternType::Func(ty) if *ty == def.ty => Ok(ImportItem::Host(def)),
        _ => mismatch(wanted, &ExternType::Func(def.ty.clone())),
    }
}

fn item(store: &StoreInner, wanted: &Wanted, definition: Extern) -> Result<ImportItem, String> {
    if definition.store().is_some_and(|id| id != store.id()) {
        return Err("what is defined belongs to another store".into());
    }
    let found = type_of(store, &definition);
    let fits = match (&wanted.ty, &found) {
        (ExternType::Func(w), ExternType::Func(f)) => {
            has_signature(store, &definition, wanted.signature, w == f)
        }
        (ExternType::Global(w), ExternType::Global(f)) => global_fits(store, w, f),
        (ExternType::Table(w), ExternType::Table(f)) => table_fits(w, f),
        (ExternType::Memory(w), ExternType::Memory(f)) => memory_fits(w, f),
        (ExternType::Tag(_), ExternType::Tag(_)) => match definition {
            Extern::Tag(tag) => Some(store.tag_signature(tag.index)) == wanted.signature,
            _ => false,
        },
        _ => false,
    };
    if !fits {
        return mismatch(wanted, &found);
    }
    Ok(match definition {
        Extern::Func(func) => ImportItem::Func(func.index),
        Extern::Table(_, table) => ImportItem::Table(table),
        Extern::Memory(_, memory) => ImportItem::Memory(memory),
        Extern::SharedMemory(shared) => ImportItem::Shared(shared),
        Extern::Global(global) => ImportItem::Global(global),
        Extern::Tag(tag) => ImportItem::Tag(tag.index),
    })
}

/// Whether a function is of the type of this number. The embedder cannot say of two types that look equal which
/// one it means, so a host function is of both.
fn has_signature(
    store: &StoreInner,
    definition: &Extern,
    signature: Option<TypeNumber>,
    looks_equal: bool,
) -> bool {
    let (Extern::Func(func), Some(signature)) = (definition, signature) else { return false };
    match *store.entities.funcs().kind(func.index) {
        FuncKind::Host(_) => looks_equal,
        FuncKind::Wasm { .. } => {
            let found = store.vm_func(func.index).sig;
            store.engine().signatures().is_subtype(found, signature)
        }
    }
}

fn type_of(store: &StoreInner, definition: &Extern) -> ExternType {
    match definition {
        Extern::Func(func) => ExternType::Func(store.func_type(func.index).clone()),
        Extern::Table(_, table) => {
            let table = &store.entities[*table];
            let min = table.len() as u64;
            ExternType::Table(TableType { min, ..table.ty() })
        }
        Extern::Memory(_, memory) => {
            let memory = &store.entities[*memory];
            ExternType::Memory(MemoryType { min: memory.pages(), ..memory.ty() })
        }
        Extern::SharedMemory(shared) => ExternType::Memory(shared.ty()),
        Extern::Global(global) => ExternType::Global(global.ty),
        Extern::Tag(tag) => ExternType::Tag(TagType { ty: store.tag_type(tag.index).clone() }),
    }
}

fn global_fits(store: &StoreInner, wanted: &GlobalType, found: &GlobalType) -> bool {
    let content = match wanted.mutable {
        true => wanted.content == found.content,
        false => found.content.matches(wanted.content, &store.engine().signatures().relation()),
    };
    content && wanted.mutable == found.mutable
}

fn table_fits(wanted: &TableType, found: &TableType) -> bool {
    wanted.element == found.element
        && wanted.table64 == found.table64
        && limits_fit((wanted.min, wanted.max), (found.min, found.max))
}

fn memory_fits(wanted: &MemoryType, found: &MemoryType) -> bool {
    wanted.memory64 == found.memory64
        && wanted.shared == found.shared
        && wanted.page_size_log2 == found.page_size_log2
        && limits_fit((wanted.min, wanted.max), (found.min, found.max))
}

fn limits_fit(wanted: (u64, Option<u64>), found: (u64, Option<u64>)) -> bool {
    let max_fits = match (wanted.1, found.1) {
        (None, _) => true,
        (Some(_), None) => false,
        (Some(wanted), Some(found)) => found <= wanted,
    };
    found.0 >= wanted.0 && max_fits
}
