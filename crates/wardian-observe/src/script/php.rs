//! PHP 8.2, built for 32 bits.
//!
//! ```text
//!   executor's globals ── current_execute_data ──> frame ── prev_execute_data ──> frame ── …
//!                                                    │ func, opline
//!                                                    v
//!                                                  function ── function_name, scope, filename, opcodes with lines
//! ```
//!
//! Where these things lie are facts of PHP's public headers; 8.2 was compared with a build of it. Nothing needs names of
//! the module, so stripped builds are read as well.

mod function;
#[cfg(test)]
mod tests;

use super::search::{CANDIDATES, Search, byte, copy_start, field, links, version};
use super::{Bytes, Code, Interpreter, Link, Shape};
use memchr::memmem;
use wardian::sampler::Chain;

/// In the data of each PHP: what it says of itself to clients, with its version behind.
const MARK: &[u8] = b"X-Powered-By: PHP/";

/// Of the executor's globals, from the pointers into its stack on: where there is room, where that ends, the
/// page, its size, and the innermost frame.
const STACK_TOP: usize = 0;
const STACK_END: usize = 1;
const STACK: usize = 2;
const PAGE_SIZE: usize = 3;
const CURRENT: usize = 4;
/// Bytes of a page of that stack.
const PAGE: u32 = 256 << 10;

/// Of a frame.
const INSTRUCTION: u32 = 0;
const FUNCTION: u32 = 12;
/// A byte of its flags, one of which says that the executor was entered with it.
const FLAGS: u32 = 26;
const ENTRY: u8 = 2;
const PREVIOUS: u32 = 32;

/// Whether a module looks like PHP.
pub(crate) fn is_in(module: &[u8]) -> bool {
    memmem::find(module, MARK).is_some()
}

/// An interpreter that was found.
#[derive(Clone, Debug)]
pub(crate) struct Php {
    /// Address of the executor's globals, as above.
    globals: u32,
}

/// Looks for it. `copy` is room for the memory's bytes.
pub(crate) fn find(memory: &dyn Bytes, copy: &mut Vec<u8>) -> Search<Php> {
    if !copy_start(memory, copy) {
        return Search::NotYet;
    }
    let mark = memmem::find(copy, MARK).map(|at| at + MARK.len());
    let text = mark.and_then(|at| copy.get(at..at + 16));
    let Some((version, _)) = text.and_then(version) else { return Search::NotYet };
    if version != "8.2" {
        return Search::Unknown(format!("calls of PHP {version} cannot be read: 8.2 is known"));
    }
    let words = copy.windows(20).enumerate().step_by(4);
    let likely = words.filter(|(_, bytes)| is_stack(bytes)).take(CANDIDATES);
    for (at, _) in likely {
        let Ok(globals) = u32::try_from(at) else { break };
        let php = Php { globals };
        // Its innermost frame is one of a function that can be read.
        let links = php.links(memory);
        if links.iter().any(|(func, ..)| php.code(memory, *func).is_some()) {
            return Search::Found(php);
        }
    }
    Search::NotYet
}

/// Whether these may be pointers into the executor's stack, which begins with a page of a known size.
fn is_stack(bytes: &[u8]) -> bool {
    let word = |at: usize| {
        let word = bytes.get(4 * at..).and_then(|bytes| bytes.first_chunk());
        u32::from_le_bytes(*word.unwrap_or(&[0; 4]))
    };
    let (page, end) = (word(STACK), word(STACK_END));
    word(PAGE_SIZE) == PAGE
        && page.checked_add(PAGE) == Some(end)
        && (page..=end).contains(&word(STACK_TOP))
        && (page..end).contains(&word(CURRENT))
}

impl Interpreter for Php {
    fn shape(&self) -> Shape {
        Shape {
            evaluator: "execute_ex",
            evaluator_is_large: false,
            mark_is_call: true,
            has_own_frames: false,
        }
    }

    fn chain(&self) -> Option<Chain> {
        let chain =
            Chain::new(self.globals, &[4 * CURRENT as u32], [FUNCTION, INSTRUCTION], PREVIOUS)?;
        chain.with_mark_bits(FLAGS, ENTRY)
    }

    fn links(&self, memory: &dyn Bytes) -> Vec<Link> {
        links(field(memory, self.globals, 4 * CURRENT as u32), |at| {
            let field = |offset| field(memory, at, offset);
            let is_entry = byte(memory, at, FLAGS)? & ENTRY != 0;
            Some((
                (field(FUNCTION)?, field(INSTRUCTION)? & !1, is_entry),
                field(PREVIOUS).unwrap_or(0),
            ))
        })
    }

    fn fingerprint(&self, memory: &dyn Bytes, func: u32) -> Option<[u32; 6]> {
        function::fingerprint(memory, func)
    }

    fn code(&self, memory: &dyn Bytes, func: u32) -> Option<Code> {
        function::read(memory, func)
    }
}
