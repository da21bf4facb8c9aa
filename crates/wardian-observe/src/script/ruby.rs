//! CRuby 3.2 to 3.4, built for 32 bits.
//!
//! ```text
//!   thread ── ec ──> execution context ── cfp ──> frame │ frame │ … │ end of the stack of the virtual machine
//!                                                   │ pc, iseq, ep
//!                                                   v
//!                                                 iseq ── body ──> label, path, instructions and their lines
//! ```
//!
//! Frames lie one behind the other, the innermost first. Functions of the interpreter's own have frames without an iseq. A
//! frame with which the virtual machine was entered is marked in what its `ep` points to.
//!
//! Where these things lie are facts of Ruby's sources, compared with builds of 3.2.0, 3.3.x and 3.4.1. Nothing needs names of
//! the module, so stripped builds are read as well.

mod iseq;
#[cfg(test)]
mod tests;

use super::search::{self, CANDIDATES, Search, byte, copy_start, links};
use super::{Bytes, Code, Interpreter, Link, Shape};
use memchr::memmem;
use wardian::sampler::Chain;

/// In the data of each CRuby: what it says of its authors.
const MARK: &[u8] = b"ruby - Copyright (C) 1993-";
/// What its version is behind.
const VERSION: &[u8] = b"ruby ";
/// Words of a stack of the virtual machine.
const STACK: std::ops::RangeInclusive<u32> = 1 << 10..=1 << 22;

/// Of an execution context.
const VM_STACK: u32 = 0;
const STACK_SIZE: u32 = 4;
const FRAME: u32 = 8;
const THREAD: u32 = 28;
/// Of a thread: its execution context.
const CONTEXT: u32 = 24;

/// Of a frame.
const PC: u32 = 0;
const ISEQ: u32 = 8;
const EP: u32 = 16;
/// In the lowest byte of where `ep` points: whether the virtual machine was entered with the frame.
const FINISH: u8 = 0x20;

/// The versions that are known, with the bytes of their frames.
const VERSIONS: [(&str, u32); 3] = [("3.2", 32), ("3.3", 28), ("3.4", 28)];

/// Whether a module looks like CRuby.
pub(crate) fn is_in(module: &[u8]) -> bool {
    memmem::find(module, MARK).is_some()
}

/// An interpreter that was found.
#[derive(Clone, Debug)]
pub(crate) struct Ruby {
    /// Address of the main thread.
    thread: u32,
    /// Bytes of a frame.
    frame: u32,
}

/// Looks for it. `copy` is room for the memory's bytes.
pub(crate) fn find(memory: &dyn Bytes, copy: &mut Vec<u8>) -> Search<Ruby> {
    if !copy_start(memory, copy) {
        return Search::NotYet;
    }
    let Some(version) = version(copy) else { return Search::NotYet };
    let Some((_, frame)) = VERSIONS.into_iter().find(|(known, _)| *known == version) else {
        return Search::Unknown(format!(
            "calls of Ruby {version} cannot be read: 3.2 to 3.4 are known"
        ));
    };
    let word = |at: usize| Some(u32::from_le_bytes(*copy.get(at..)?.first_chunk()?));
    let likely = (0..copy.len() / 4).filter_map(|index| context(4 * index, frame, &word));
    for thread in likely.take(CANDIDATES) {
        let ruby = Ruby { thread, frame };
        // There is a frame whose code can be read.
        if ruby.links(memory).iter().any(|(iseq, ..)| ruby.code(memory, *iseq).is_some()) {
            return Search::Found(ruby);
        }
    }
    Search::NotYet
}

/// The first two numbers of the version: of a text as `ruby 3.4.1 (2024-12-25 revision 48d4efcb85)`.
fn version(memory: &[u8]) -> Option<String> {
    memmem::find_iter(memory, VERSION).find_map(|at| {
        let text = memory.get(at + VERSION.len()..at + VERSION.len() + 24)?;
        let (version, rest) = search::version(text)?;
        // A date follows.
        let has_date = rest.starts_with(b" (") && rest.get(2..6)?.iter().all(u8::is_ascii_digit);
        has_date.then_some(version)
    })
}

/// The thread of what may be an execution context: it has a stack in whose upper part a frame begins, and a thread that
/// points back to it.
fn context(at: usize, frame: u32, word: &dyn Fn(usize) -> Option<u32>) -> Option<u32> {
    let size = word(at + STACK_SIZE as usize).filter(|size| STACK.contains(size))?;
    let (stack, first) = (word(at)?, word(at + FRAME as usize)?);
    let end = stack.checked_add(4 * size)?;
    let is_frame = stack != 0
        && stack.is_multiple_of(4)
        && (stack..end).contains(&first)
        && (end - first).is_multiple_of(frame);
    let thread = word(at + THREAD as usize).filter(|thread| is_frame && *thread != 0)?;
    (word(thread.checked_add(CONTEXT)? as usize)? == at as u32).then_some(thread)
}

impl Ruby {
    /// The innermost frame, and where those end that are of something that is executed.
    fn frames(&self, memory: &dyn Bytes) -> Option<(u32, u32)> {
        let field = |at, offset| search::field(memory, at, offset);
        let context = field(self.thread, CONTEXT)?;
        let size = field(context, STACK_SIZE)?.checked_mul(4)?;
        let end = field(context, VM_STACK)?.checked_add(size)?.checked_sub(self.frame)?;
        Some((field(context, FRAME)?, end))
    }
}

impl Interpreter for Ruby {
    fn shape(&self) -> Shape {
        Shape {
            evaluator: "vm_exec_core",
            evaluator_is_large: true,
            mark_is_call: true,
            has_own_frames: true,
        }
    }

    fn chain(&self) -> Option<Chain> {
        let start = self.thread.checked_add(CONTEXT)?;
        // The outermost frame is of nothing that is executed.
        let end = [VM_STACK, STACK_SIZE, self.frame];
        let chain = Chain::array(start, &[0, FRAME], [ISEQ, PC], self.frame, end)?;
        chain.with_mark_bits_behind(EP, FINISH)
    }

    fn links(&self, memory: &dyn Bytes) -> Vec<Link> {
        let Some((first, end)) = self.frames(memory) else { return Vec::new() };
        let before_end = |at: u32| if at < end { at } else { 0 };
        links(Some(before_end(first)), |at| {
            let field = |offset| search::field(memory, at, offset);
            let is_entry = byte(memory, field(EP)?, 0).is_some_and(|flags| flags & FINISH != 0);
            let next = at.checked_add(self.frame).map_or(0, before_end);
            Some(((field(ISEQ)?, field(PC)? & !1, is_entry), next))
        })
    }

    fn fingerprint(&self, memory: &dyn Bytes, iseq: u32) -> Option<[u32; 6]> {
        iseq::fingerprint(memory, iseq)
    }

    fn code(&self, memory: &dyn Bytes, iseq: u32) -> Option<Code> {
        iseq::read(memory, iseq)
    }
}
