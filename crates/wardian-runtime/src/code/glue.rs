//! Compiled code that belongs to no function of a module: trampolines, and wrappers for listeners.

use super::native_debug;
use std::io;
use wardian_vm::addr::CodeAddr;
use wardian_vm::code_memory::CodeMemory;
use wardian_vm::compiled::{CompiledFunction, TextOffset};
use wardian_vm::unwind::Saved;

/// Pieces of such code, laid out one behind the other.
#[derive(Default)]
pub struct Layout {
    text: Vec<u8>,
    /// Where each begins, and which registers it saves.
    pieces: Vec<(TextOffset, Saved)>,
}

impl Layout {
    /// Adds a piece. Returns where it lies, from the start.
    pub fn add(&mut self, function: &CompiledFunction) -> TextOffset {
        let align = function.align.max(16) as usize;
        self.text.resize(self.text.len().next_multiple_of(align), 0);
        let start = TextOffset::from_u32(self.text.len() as u32);
        self.text.extend_from_slice(&function.text);
        self.pieces.push((start, function.saved));
        start
    }

    /// Puts the code where it can run; `what` names it to debuggers.
    pub(crate) fn publish(self, what: &str) -> io::Result<Glue> {
        let glue = Glue { memory: CodeMemory::publish(&self.text)?, pieces: self.pieces.into() };
        let parts = glue.pieces.iter().filter_map(|(start, saved)| {
            Some((glue.bytes_at(glue.start().add(start.index()))?, *saved))
        });
        native_debug::add_glue(what, parts);
        Ok(glue)
    }
}

/// The same where it runs.
pub struct Glue {
    memory: CodeMemory,
    pieces: Box<[(TextOffset, Saved)]>,
}

impl Glue {
    /// The address of its first piece.
    pub fn start(&self) -> CodeAddr {
        self.memory.start()
    }

    /// Whether an address is in it.
    pub fn contains(&self, pc: CodeAddr) -> bool {
        pc.bytes_from(self.memory.start()) < self.memory.len()
    }

    /// Which registers the piece around an address saves in its frame; none if the address is elsewhere.
    pub(crate) fn saved_at(&self, pc: CodeAddr) -> Option<Saved> {
        let offset = pc.checked_bytes_from(self.start()).filter(|_| self.contains(pc))?;
        let after = self.pieces.partition_point(|(start, _)| start.index() <= offset);
        after.checked_sub(1).map(|at| self.pieces[at].1)
    }

    /// The code around an address, to its end or the next piece's beginning.
    pub(crate) fn bytes_at(&self, address: CodeAddr) -> Option<&[u8]> {
        let offset = address.checked_bytes_from(self.start()).filter(|_| self.contains(address))?;
        let next = self.pieces.iter().find(|(start, _)| start.index() > offset);
        let end = next.map_or(self.memory.len(), |(start, _)| start.index());
        Some(self.memory.bytes(address..self.start().add(end)))
    }
}

impl Drop for Glue {
    fn drop(&mut self) {
        native_debug::remove(&[self.start()]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_piece_saves_registers_of_its_own() {
        if wardian_vm::code_memory::may_execute().is_err() {
            return;
        }
        let mut layout = Layout::default();
        let mut piece = |text: &[u8], saved| {
            let mut function =
                CompiledFunction { text: text.to_vec(), align: 16, ..Default::default() };
            function.saved = Saved(saved);
            layout.add(&function)
        };
        assert_eq!(
            (piece(&[0x90; 20], 1), piece(&[0xc3; 3], 6)),
            (TextOffset::FIRST, TextOffset::from_u32(32))
        );
        let glue = layout.publish("test").expect("there is memory");
        let saved = |offset: usize| glue.saved_at(glue.start().add(offset));
        let expected = [Some(Saved(1)), Some(Saved(1)), Some(Saved(6)), Some(Saved(6)), None];
        assert_eq!([saved(0), saved(31), saved(32), saved(34), saved(usize::MAX)], expected);
        assert_eq!(glue.bytes_at(glue.start().add(32)), Some(&[0xc3; 3][..]));
    }
}
