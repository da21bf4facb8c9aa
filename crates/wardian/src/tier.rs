//! Compiled code of single functions, made while the module runs.

use crate::module::ModuleInner;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use wardian_jit::MemoryVariant;

/// What of a module has been compiled so far, for one variant of its memories.
#[derive(Default)]
pub(crate) struct HotCode {
    /// Address of each function; zero if it is not compiled.
    functions: OnceLock<Box<[AtomicUsize]>>,
}

/// For both variants.
#[derive(Default)]
pub(crate) struct Tier {
    guarded: HotCode,
    checked: HotCode,
}

impl ModuleInner {
    /// The compiled code of a function, by its position among those that the module defines, if there
    /// is some.
    #[inline]
    pub(crate) fn compiled(&self, variant: MemoryVariant, defined: u32) -> Option<usize> {
        if let Some(all) = self.loaded(variant) {
            return Some(all.entries[defined as usize]);
        }
        let functions = self.tier.of(variant).functions.get()?;
        let address = functions[defined as usize].load(Ordering::Acquire);
        (address != 0).then_some(address)
    }
}

impl Tier {
    fn of(&self, variant: MemoryVariant) -> &HotCode {
        match variant {
            MemoryVariant::Guarded => &self.guarded,
            MemoryVariant::Checked => &self.checked,
        }
    }
}
