//! Where the collector finds references in interpreted frames.
//!
//! While a frame waits in a call, or when it was interrupted, its ip is behind an instruction that calls
//! something, or at one that calls a function or begins a loop. For those positions the translator knows which
//! locals and operands are references. It tells so only when asked, since most functions never stand on a stack
//! during a collection, and since all tables together could be much larger than the code.

use super::Body;
use super::stack::Value;

impl Body<'_> {
    /// The ip of a frame may be where the next instruction begins.
    #[inline]
    pub(super) fn safepoint(&mut self) {
        if !self.wanted.is_empty() {
            self.note_references();
        }
    }

    #[cold]
    fn note_references(&mut self) {
        let at = self.b.code.len() as u32;
        if self.wanted.binary_search(&at).is_err() {
            return;
        }
        let locals = self.b.locals.iter().filter(|local| local.traced).map(|local| local.slot);
        // Others are in a local, or are no objects.
        let is_here = |entry: &&super::stack::Entry| entry.traced && entry.value == Value::Temp;
        let operands = self.b.stack.iter().filter(is_here).map(|entry| entry.slot);
        let slots = locals.chain(operands).collect();
        match self.references.last_mut() {
            // What was noted before is what waits there; what is noted now also goes on from there.
            Some(last) if last.0 == at => last.1 = slots,
            _ => self.references.push((at, slots)),
        }
    }
}
