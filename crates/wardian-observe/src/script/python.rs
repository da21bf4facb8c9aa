//! CPython 3.11 to 3.14, built for 32 bits.
//!
//! ```text
//!   thread state ── current_frame ──> frame ── previous ──> frame ── …
//!                                       │ f_code, instruction
//!                                       v
//!                                     code object ── co_qualname, co_filename, co_linetable
//! ```
//!
//! Where these things lie are facts of CPython's public headers. From 3.13 on CPython has a table of them in its
//! data; for 3.11 and 3.12 they are in [`layout`]. Nothing needs names of the module, so stripped builds are
//! read as well.

mod code;
mod find;
mod layout;
mod lines;
#[cfg(test)]
mod tests;

pub(crate) use find::find;

use super::search::{byte, field, links};
use super::{Bytes, Code, Interpreter, Link, Shape};
use layout::Layout;
use memchr::memmem;
use wardian::sampler::Chain;

/// In the data of each CPython: what it says before it gives up.
const MARK: &[u8] = b"Fatal Python error: ";

/// Whether a module looks like CPython.
pub(crate) fn is_in(module: &[u8]) -> bool {
    memmem::find(module, MARK).is_some()
}

/// An interpreter that was found.
#[derive(Clone, Debug)]
pub(crate) struct Python {
    layout: Layout,
    /// Where to begin, and the pointers that lead to the innermost frame.
    start: u32,
    path: Vec<u32>,
    /// The address of the type of code objects.
    code_type: u32,
}

impl Python {
    #[cfg(test)]
    pub(super) fn name(&self) -> String {
        let (major, minor) = self.layout.version;
        format!("CPython {major}.{minor}")
    }
}

impl Interpreter for Python {
    fn shape(&self) -> Shape {
        let mark_is_call = self.layout.frame.entry_is_call;
        Shape {
            evaluator: "_PyEval_EvalFrameDefault",
            evaluator_is_large: true,
            mark_is_call,
            has_own_frames: false,
        }
    }

    fn chain(&self) -> Option<Chain> {
        let frame = &self.layout.frame;
        let words = [frame.code, frame.instruction];
        let chain = Chain::new(self.start, &self.path, words, frame.previous)?;
        chain.with_mark(frame.entry, frame.entry_from)
    }

    fn links(&self, memory: &dyn Bytes) -> Vec<Link> {
        let frame = &self.layout.frame;
        let path = &mut self.path.iter();
        let first = path.try_fold(self.start, |at, offset| field(memory, at, *offset));
        links(first, |at| {
            let field = |offset| field(memory, at, offset);
            let is_entry = byte(memory, at, frame.entry)? >= frame.entry_from;
            let next = field(frame.previous).unwrap_or(0);
            Some(((field(frame.code)?, field(frame.instruction)? & !1, is_entry), next))
        })
    }

    fn fingerprint(&self, memory: &dyn Bytes, code: u32) -> Option<[u32; 6]> {
        code::fingerprint(&self.layout, self.code_type, memory, code)
    }

    fn code(&self, memory: &dyn Bytes, code: u32) -> Option<Code> {
        code::read(&self.layout, self.code_type, memory, code)
    }
}
