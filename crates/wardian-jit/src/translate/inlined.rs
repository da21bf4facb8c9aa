//! Places in functions that are compiled into the one that is translated: see `inline`.

use wardian_types::CodeOffset;
use wardian_vm::compiled::{Inlined, SourceLoc};

/// Which functions are in the one that is translated.
#[derive(Default)]
pub(super) struct Inlining {
    bodies: Vec<Inlined>,
    /// Whether the last of them is being translated.
    open: bool,
}

impl Inlining {
    /// What the operator at an offset is in the tables of places.
    pub(super) fn shown(&self, offset: CodeOffset) -> SourceLoc {
        match self.bodies.last().filter(|_| self.open) {
            Some(body) => {
                let within = offset.as_u32().saturating_sub(body.start.as_u32());
                body.first.add(within.min(body.len - 1))
            }
            None => SourceLoc::of(offset),
        }
    }

    pub(super) fn into_table(self) -> Vec<Inlined> {
        self.bodies
    }

    /// Bytes of all of them.
    pub(super) fn bytes(&self) -> u32 {
        self.bodies.iter().map(|body| body.len).sum()
    }

    /// A body begins; where it is in the tables of places is decided here.
    pub(super) fn begin(&mut self, body: Inlined) {
        let first = self.bodies.last().map_or(SourceLoc::INLINED, |last| last.first.add(last.len));
        self.bodies.push(Inlined { first, ..body });
        self.open = true;
    }

    /// The body ends.
    pub(super) fn end(&mut self) {
        self.open = false;
    }
}
