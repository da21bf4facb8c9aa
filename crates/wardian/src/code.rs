//! Compiled code in memory, and finding it again by address.

use crate::module::ModuleInner;
use crate::{Error, Result};
use std::collections::BTreeMap;
use std::sync::{Arc, RwLock, Weak};
use wardian_jit::CompiledCode;
use wardian_vm::code_memory::CodeMemory;

/// The code of a module in one variant.
#[derive(Debug)]
pub(crate) struct LoadedCode {
    pub(crate) memory: CodeMemory,
    pub(crate) tables: CompiledCode,
    /// Address of each function that the module defines, ready to be copied into instances.
    pub(crate) entries: Box<[usize]>,
}

impl LoadedCode {
    /// Puts code where it can run.
    pub(crate) fn publish(mut tables: CompiledCode, functions: usize) -> Result<LoadedCode> {
        let memory = CodeMemory::publish(tables.text())
            .map_err(|e| Error::limit(format!("no executable memory for a module's code: {e}")))?;
        tables.discard_text();
        let address = |defined| memory.start() + tables.function(defined).start as usize;
        let entries = (0..functions as u32).map(address).collect();
        Ok(LoadedCode { memory, tables, entries })
    }

    /// Address of a function that the module defines.
    pub(crate) fn address(&self, defined: u32) -> usize {
        self.entries[defined as usize]
    }
}

/// What a program counter belongs to.
pub(crate) struct CodePosition {
    pub(crate) module: Arc<ModuleInner>,
    /// Function index, imports included.
    pub(crate) func: u32,
    /// Address of the function's first instruction.
    pub(crate) start: usize,
    /// Offset in the module's code section.
    pub(crate) offset: Option<u32>,
    pub(crate) trap: Option<wardian_types::TrapCode>,
}

/// All code of an engine by address. A module takes its code out when it goes.
#[derive(Default)]
pub(crate) struct CodeRegistry {
    /// By the last address.
    ranges: RwLock<BTreeMap<usize, Entry>>,
}

struct Entry {
    code: Weak<LoadedCode>,
    module: Weak<ModuleInner>,
}

impl CodeRegistry {
    pub(crate) fn insert(&self, module: &Arc<ModuleInner>, code: &Arc<LoadedCode>) {
        let end = code.memory.start() + code.memory.len();
        let entry = Entry { code: Arc::downgrade(code), module: Arc::downgrade(module) };
        self.ranges.write().unwrap_or_else(|e| e.into_inner()).insert(end, entry);
    }

    pub(crate) fn remove(&self, code: &LoadedCode) {
        let end = code.memory.start() + code.memory.len();
        self.ranges.write().unwrap_or_else(|e| e.into_inner()).remove(&end);
    }

    /// The function around an address.
    pub(crate) fn find(&self, pc: usize) -> Option<CodePosition> {
        let ranges = self.ranges.read().unwrap_or_else(|e| e.into_inner());
        let (_, entry) = ranges.range(pc + 1..).next()?;
        let code = entry.code.upgrade()?;
        let module = entry.module.upgrade()?;
        let offset = u32::try_from(pc.checked_sub(code.memory.start())?).ok()?;
        let defined = code.tables.find(offset)?;
        Some(CodePosition {
            func: module.decoded.info().imported_functions + defined,
            start: code.address(defined),
            offset: code.tables.location(offset),
            trap: code.tables.trap_at(offset),
            module,
        })
    }
}
