//! Functions whose bodies are in the code of others.

use super::SourceLoc;
use wardian_types::{CodeOffset, DefinedFuncIndex};

/// The body of a function that is in the code of another one instead of being called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Inlined {
    /// What its first byte is in [`super::Location::operator`].
    pub first: SourceLoc,
    /// Bytes of the body.
    pub len: u32,
    /// The function.
    pub defined: DefinedFuncIndex,
    /// Where its body begins in the code section.
    pub start: CodeOffset,
    /// The call that it stands for.
    pub site: CodeOffset,
}

impl Inlined {
    pub(super) const WORDS: usize = 5;

    pub(super) fn to_words(self) -> [u32; Inlined::WORDS] {
        [
            self.first.as_u32(),
            self.len,
            self.defined.as_u32(),
            self.start.as_u32(),
            self.site.as_u32(),
        ]
    }

    pub(super) fn from_words([first, len, defined, start, site]: [u32; Inlined::WORDS]) -> Inlined {
        Inlined {
            first: SourceLoc::from_u32(first),
            len,
            defined: DefinedFuncIndex::from_u32(defined),
            start: CodeOffset::from_u32(start),
            site: CodeOffset::from_u32(site),
        }
    }

    /// The offset in the code section, if this is one of its operators.
    pub(super) fn offset(&self, loc: SourceLoc) -> Option<CodeOffset> {
        let within = loc.as_u32().checked_sub(self.first.as_u32());
        let within = within.filter(|within| *within < self.len)?;
        Some(CodeOffset::from_u32(self.start.as_u32().saturating_add(within)))
    }
}
