//! The code addresses of interpreted functions, for compiled callers.
//!
//! Such an address has to identify the called function, since a caller passes only the instance. It stands
//! for a position in the instance's table of interpreted functions: so the code for a position serves all
//! instances of all modules, and a process has it once, made in pieces when it is needed.

use crate::addr::CodeAddr;
use crate::arch;
use crate::code_memory::CodeMemory;
use crate::layout::InterpretedIndex;
use std::io;
use std::sync::{Arc, OnceLock};
use wardian_types::DefinedFuncIndex;

/// Functions that a module may have: what validation allows.
const FUNCTIONS: usize = 1_000_000;
const PIECES: usize = FUNCTIONS.div_ceil(arch::ENTRIES as usize);

/// By [`EntryKind::number`].
static MADE: [[OnceLock<Piece>; PIECES]; EntryKind::COUNT] =
    [const { [const { OnceLock::new() }; PIECES] }; EntryKind::COUNT];

/// What pieces are aligned to in their mapping, like all code.
const ALIGNMENT: usize = 64;

/// How such an address is called.
#[derive(Clone, Copy, Debug)]
pub struct EntryKind {
    /// Whether callers are not the function's own instance, and have noted who they are.
    pub noted: bool,
    /// Whether the function is one of which [`crate::returns_in_memory`] says so.
    pub in_memory: bool,
}

impl EntryKind {
    const COUNT: usize = 4;

    fn number(self) -> usize {
        usize::from(self.noted) + 2 * usize::from(self.in_memory)
    }
}

/// Code for [`arch::ENTRIES`] positions, which may share a mapping with others.
struct Piece {
    start: CodeAddr,
    len: usize,
    /// Keeps it mapped.
    _code: Arc<CodeMemory>,
}

/// Makes sure of the code by which compiled code calls the interpreted function `defined` of an
/// instance. Returns its address.
///
/// # Errors
///
/// There is no executable memory, or no module has so many functions.
pub fn make_interpreted_entry(defined: DefinedFuncIndex, kind: EntryKind) -> io::Result<CodeAddr> {
    if let Some(entry) = interpreted_entry(defined, kind) {
        return Ok(entry);
    }
    let (piece, _) = place(defined);
    make_pieces(&[piece], kind)?;
    interpreted_entry(defined, kind).ok_or_else(|| io::Error::other("no entry was made"))
}

/// Makes sure of that code for the first `functions` of an instance.
///
/// # Errors
///
/// As [`make_interpreted_entry`].
pub fn make_interpreted_entries(functions: u32, kind: EntryKind) -> io::Result<()> {
    let pieces = (functions as usize).div_ceil(arch::ENTRIES as usize);
    let made = &MADE[kind.number()];
    let is_missing =
        |piece: &PieceIndex| made.get(piece.index()).is_none_or(|slot| slot.get().is_none());
    let pieces = PieceIndex::range(PieceIndex::FIRST..PieceIndex::from_usize(pieces));
    let missing: Vec<PieceIndex> = pieces.filter(is_missing).collect();
    if missing.is_empty() { Ok(()) } else { make_pieces(&missing, kind) }
}

/// Makes pieces in one mapping: changing its protection costs more than filling it.
fn make_pieces(pieces: &[PieceIndex], kind: EntryKind) -> io::Result<()> {
    let mut text = Vec::new();
    let mut ranges = Vec::new();
    for &piece in pieces {
        let first = DefinedFuncIndex::from_u32(piece.index() as u32 * arch::ENTRIES);
        let first = InterpretedIndex::new(first, kind.noted);
        text.resize(text.len().next_multiple_of(ALIGNMENT), 0);
        let start = text.len();
        text.extend(arch::interpreted_entries(first, kind.in_memory));
        ranges.push(start..text.len());
    }
    let code = Arc::new(CodeMemory::publish(&text)?);
    for (piece, range) in pieces.iter().zip(ranges) {
        let slot = MADE[kind.number()].get(piece.index());
        let slot = slot.ok_or_else(|| io::Error::other("no module has so many functions"))?;
        let start = code.start().add(range.start);
        // If another thread was faster, its piece stays.
        let _ = slot.set(Piece { start, len: range.len(), _code: code.clone() });
    }
    Ok(())
}

/// The same code, if it was made before.
#[inline]
pub fn interpreted_entry(defined: DefinedFuncIndex, kind: EntryKind) -> Option<CodeAddr> {
    let (piece, index) = place(defined);
    let made = MADE[kind.number()].get(piece.index())?.get()?;
    Some(made.start.add(arch::entry_offset(index)))
}

/// Whether an address is in code by which compiled code reaches a callee that is interpreted, or that has yet
/// to be prepared. Such code is no function of a module.
pub fn is_entry_glue(pc: CodeAddr) -> bool {
    let made = || MADE.iter().flatten().filter_map(OnceLock::get);
    arch::is_preparing(pc) || made().any(|piece| pc.bytes_from(piece.start) < piece.len)
}

wardian_types::index_types! {
    /// A piece of such code, for so many functions as it has entries.
    struct PieceIndex;

    /// An entry of a piece.
    pub(crate) struct EntryIndex;
}

/// In which piece the code for a function is, and its index there.
fn place(defined: DefinedFuncIndex) -> (PieceIndex, EntryIndex) {
    let (piece, index) = (defined.as_u32() / arch::ENTRIES, defined.as_u32() % arch::ENTRIES);
    (PieceIndex::from_u32(piece), EntryIndex::from_u32(index))
}
