//! Functions whose bodies are in the code of others.

use wardian_types::DefinedFuncIndex;

/// From here on offsets are those of bodies in other functions. No code section is that long of a module that has any.
pub const INLINED: u32 = 1 << 31;

/// The body of a function that is in the code of another one instead of being called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Inlined {
    /// What its first byte is in [`super::Location::wasm`].
    pub first: u32,
    /// Bytes of the body.
    pub len: u32,
    /// The function.
    pub defined: DefinedFuncIndex,
    /// Where its body begins in the code section.
    pub start: u32,
    /// The call that it stands for.
    pub site: u32,
}

impl Inlined {
    pub(super) const WORDS: usize = 5;

    pub(super) fn to_words(self) -> [u32; Inlined::WORDS] {
        [self.first, self.len, self.defined.as_u32(), self.start, self.site]
    }

    pub(super) fn from_words([first, len, defined, start, site]: [u32; Inlined::WORDS]) -> Inlined {
        let defined = DefinedFuncIndex::from_u32(defined);
        Inlined { first, len, defined, start, site }
    }

    /// The offset in the code section, if this is one of its operators.
    pub(super) fn offset(&self, wasm: u32) -> Option<u32> {
        let within = wasm.checked_sub(self.first).filter(|within| *within < self.len)?;
        Some(self.start.saturating_add(within))
    }
}
