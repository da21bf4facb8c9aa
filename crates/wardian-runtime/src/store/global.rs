//! Where globals lie.

use super::arena::Arena;
use std::ptr::NonNull;
use wardian_types::GlobalType;

/// Where a global's value lies. Only read together with the store that it belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct GlobalAt(pub(crate) NonNull<u64>);

// SAFETY: the address is only used with the owning store borrowed.
unsafe impl Send for GlobalAt {}

// SAFETY: as above.
unsafe impl Sync for GlobalAt {}

/// The globals of the host's. They live as long as the store.
#[derive(Default)]
pub(crate) struct HostGlobals {
    words: Arena<[u64; 2]>,
    /// Those of a reference type, which a collection looks at.
    references: Vec<NonNull<u64>>,
}

impl HostGlobals {
    /// Adds a global of a type, with the value as guests hold it.
    pub(crate) fn add(&mut self, ty: &GlobalType, words: [u64; 2]) -> GlobalAt {
        let at = self.words.push(words).cast::<u64>();
        if ty.content.is_ref() {
            self.references.push(at);
        }
        GlobalAt(at)
    }

    /// Where they lie.
    pub(crate) fn addresses(&mut self) -> impl Iterator<Item = NonNull<u64>> {
        self.words.addresses().map(NonNull::cast)
    }

    /// How many are of a reference type.
    pub(crate) fn reference_count(&self) -> usize {
        self.references.len()
    }

    /// What these hold now. No guest runs.
    pub(crate) fn references(&self) -> impl Iterator<Item = u64> {
        // SAFETY: in the arena, which lives as long as this; nobody writes it meanwhile.
        self.references.iter().map(|at| unsafe { at.read() })
    }
}
