//! The code addresses of interpreted functions, for compiled callers.
//!
//! Such an address has to tell which function is called, since a caller passes only the instance. What
//! it tells is a position in the instance's table of interpreted functions: so the code for a position
//! serves all instances of all modules, and a process has it once, made in pieces when it is needed.

use crate::arch;
use crate::code_memory::CodeMemory;
use std::io;
use std::sync::OnceLock;

/// Functions that a module may have: what validation allows.
const FUNCTIONS: usize = 1_000_000;
const PIECES: usize = FUNCTIONS.div_ceil(arch::ENTRIES as usize);

/// For calls of the instance itself, and for others; and both again for functions that return in memory.
static MADE: [[OnceLock<CodeMemory>; PIECES]; 4] =
    [const { [const { OnceLock::new() }; PIECES] }; 4];

/// Makes sure of the code by which compiled code calls the interpreted function `defined` of an
/// instance; `noted` is for callers that are not its own instance, `in_memory` for functions of which
/// [`crate::returns_in_memory`] says so. Returns its address.
///
/// # Errors
///
/// There is no executable memory, or no module has so many functions.
pub fn make_interpreted_entry(defined: u32, noted: bool, in_memory: bool) -> io::Result<usize> {
    if let Some(entry) = interpreted_entry(defined, noted, in_memory) {
        return Ok(entry);
    }
    let (piece, _) = place(defined);
    let slot = MADE[kind(noted, in_memory)].get(piece);
    let slot = slot.ok_or_else(|| io::Error::other("no module has so many functions"))?;
    let first = 2 * piece as u32 * arch::ENTRIES + u32::from(noted);
    // If another thread was faster, this piece is dropped.
    let _ = slot.set(CodeMemory::publish(&arch::interpreted_entries(first, in_memory))?);
    interpreted_entry(defined, noted, in_memory)
        .ok_or_else(|| io::Error::other("no entry was made"))
}

/// Makes sure of that code for the first `functions` of an instance.
///
/// # Errors
///
/// As [`make_interpreted_entry`].
pub fn make_interpreted_entries(functions: u32, noted: bool, in_memory: bool) -> io::Result<()> {
    (0..functions)
        .step_by(arch::ENTRIES as usize)
        .try_for_each(|defined| make_interpreted_entry(defined, noted, in_memory).map(drop))
}

/// The same code, if it was made before.
#[inline]
pub fn interpreted_entry(defined: u32, noted: bool, in_memory: bool) -> Option<usize> {
    let (piece, index) = place(defined);
    let made = MADE[kind(noted, in_memory)].get(piece)?.get()?;
    Some(made.start() + arch::entry_offset(index))
}

/// Whether an address lies in code by which compiled code reaches a callee that is interpreted, or that
/// has yet to be prepared. Such code is no function of a module.
pub fn is_entry_glue(pc: usize) -> bool {
    let made = || MADE.iter().flatten().filter_map(OnceLock::get);
    arch::is_preparing(pc) || made().any(|code| pc.wrapping_sub(code.start()) < code.len())
}

fn kind(noted: bool, in_memory: bool) -> usize {
    usize::from(noted) + 2 * usize::from(in_memory)
}

/// In which piece the code for a function is, and its index there.
fn place(defined: u32) -> (usize, u32) {
    ((defined / arch::ENTRIES) as usize, defined % arch::ENTRIES)
}
