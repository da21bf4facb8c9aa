//! Checking imports (core specification, "Import Matching").

use crate::error::LinkProblem;
use crate::raw::host::HostDef;
use crate::raw::instantiate::{ImportItem, Imports};
use crate::raw::store::StoreInner;
use crate::{Engine, Error, ErrorKind, Extern, Module, Result};
use std::borrow::Cow;
use std::sync::Arc;
use wardian_types::{ExternType, GlobalType, MemoryType, TableType};

/// What an import is satisfied with.
#[derive(Clone)]
pub(crate) enum Definition {
    Extern(Extern),
    Host(Arc<HostDef>),
}

/// What was found for an import.
pub(crate) enum Lookup {
    Found(Definition),
    Missing {
        why: Cow<'static, str>,
        /// What may have been meant.
        near: Option<String>,
    },
}

impl Lookup {
    /// A definition, if there is one; else perhaps what may have been meant.
    pub(crate) fn new(found: Option<Definition>, near: impl FnOnce() -> Option<String>) -> Lookup {
        match found {
            Some(definition) => Lookup::Found(definition),
            None => {
                Lookup::Missing { why: "nothing is defined under this name".into(), near: near() }
            }
        }
    }
}

/// Errs if the module cannot be instantiated in the store at all.
pub(crate) fn check_engine(store: &StoreInner, module: &Module) -> Result<()> {
    if Engine::same(store.engine(), module.engine()) {
        return Ok(());
    }
    Err(Error::usage("the module was compiled by another engine than the store's"))
}

/// Checks every import of a module; all problems are reported together.
pub(crate) fn check<T: 'static>(
    store: &StoreInner,
    module: &Module,
    definitions: Vec<Lookup>,
) -> Result<Imports> {
    check_engine(store, module)?;
    let mut imports = Imports::default();
    each(module, definitions, |wanted, definition| {
        imports.push(match definition {
            Definition::Host(def) => host::<T>(wanted, def)?,
            Definition::Extern(found) => item(store, wanted, found)?,
        });
        Ok(())
    })?;
    Ok(imports)
}

/// What is known of the imports of a module without a store: host functions are checked, what belongs to a
/// store is left for [`resolved`].
pub(crate) fn definitions<T: 'static>(
    module: &Module,
    definitions: Vec<Lookup>,
) -> Result<Vec<Definition>> {
    let mut found = Vec::with_capacity(definitions.len());
    each(module, definitions, |wanted, definition| {
        if let Definition::Host(def) = &definition {
            host::<T>(wanted, def.clone())?;
        }
        found.push(definition);
        Ok(())
    })?;
    Ok(found)
}

/// The imports of a module from what [`definitions`] gave.
pub(crate) fn resolved<T: 'static>(
    store: &StoreInner,
    module: &Module,
    definitions: &[Definition],
) -> Result<Imports> {
    check_engine(store, module)?;
    let mut imports = Imports::default();
    if definitions.iter().all(|definition| matches!(definition, Definition::Host(_))) {
        for definition in definitions {
            if let Definition::Host(def) = definition {
                imports.push(ImportItem::Host(def.clone()));
            }
        }
        return Ok(imports);
    }
    check::<T>(store, module, definitions.iter().cloned().map(Lookup::Found).collect())
}

/// Calls `accept` with each import's type and definition; all problems are reported together.
fn each(
    module: &Module,
    definitions: Vec<Lookup>,
    mut accept: impl FnMut(&ExternType, Definition) -> Result<(), String>,
) -> Result<()> {
    let mut problems = Vec::new();
    for ((module, name, wanted), definition) in module.imports().zip(definitions) {
        let accepted = match definition {
            Lookup::Found(definition) => accept(&wanted, definition),
            Lookup::Missing { why, near } => {
                let hint = near.map(|near| format!("; did you mean {near}?")).unwrap_or_default();
                Err(format!("{why}; a {wanted} is needed{hint}"))
            }
        };
        if let Err(message) = accepted {
            problems.push(LinkProblem { module: module.into(), name: name.into(), message });
        }
    }
    if problems.is_empty() { Ok(()) } else { Err(Error::new(ErrorKind::Link(problems))) }
}

fn mismatch<V>(wanted: &ExternType, found: &ExternType) -> Result<V, String> {
    Err(format!("incompatible import type: a {wanted} is needed, a {found} is defined"))
}

fn host<T: 'static>(wanted: &ExternType, def: Arc<HostDef>) -> Result<ImportItem, String> {
    if def.data_type != std::any::TypeId::of::<T>() {
        return Err("the host function is made for stores with other data".into());
    }
    match wanted {
        ExternType::Func(ty) if *ty == def.ty => Ok(ImportItem::Host(def)),
        _ => mismatch(wanted, &ExternType::Func(def.ty.clone())),
    }
}

fn item(store: &StoreInner, wanted: &ExternType, definition: Extern) -> Result<ImportItem, String> {
    if definition.store().is_some_and(|id| id != store.id()) {
        return Err("what is defined belongs to another store".into());
    }
    let found = type_of(store, &definition);
    let fits = match (wanted, &found) {
        (ExternType::Func(w), ExternType::Func(f)) => w == f,
        (ExternType::Global(w), ExternType::Global(f)) => global_fits(w, f),
        (ExternType::Table(w), ExternType::Table(f)) => table_fits(w, f),
        (ExternType::Memory(w), ExternType::Memory(f)) => memory_fits(w, f),
        _ => false,
    };
    if !fits {
        return mismatch(wanted, &found);
    }
    Ok(match definition {
        Extern::Func(func) => ImportItem::Func(func.index),
        Extern::Table(table) => ImportItem::Table(table.index),
        Extern::Memory(memory) => ImportItem::Memory(memory.index),
        Extern::SharedMemory(shared) => ImportItem::Shared(shared),
        Extern::Global(global) => ImportItem::Global(global),
    })
}

fn type_of(store: &StoreInner, definition: &Extern) -> ExternType {
    match definition {
        Extern::Func(func) => ExternType::Func(store.func_type(func.index).clone()),
        Extern::Table(table) => {
            let table = &store.tables[table.index as usize];
            let min = table.len() as u64;
            ExternType::Table(TableType { min, ..table.ty })
        }
        Extern::Memory(memory) => {
            let memory = &store.memories[memory.index as usize];
            ExternType::Memory(MemoryType { min: memory.pages(), ..memory.ty })
        }
        Extern::SharedMemory(shared) => ExternType::Memory(shared.ty()),
        Extern::Global(global) => ExternType::Global(global.ty),
    }
}

fn global_fits(wanted: &GlobalType, found: &GlobalType) -> bool {
    let content = match wanted.mutable {
        true => wanted.content == found.content,
        false => found.content.matches(wanted.content),
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
