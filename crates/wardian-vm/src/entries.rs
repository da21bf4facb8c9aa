//! The code addresses of interpreted functions, for compiled callers.
//!
//! Such an address has to tell which function is called, since a caller passes only the instance. What
//! it tells is a position in the instance's table of interpreted functions: so the code for a position
//! serves all instances of all modules, and a process has it once.

use crate::arch;
use crate::code_memory::CodeMemory;
use std::io;
use std::sync::{OnceLock, RwLock};

/// Positions in a piece of code, and bytes for each.
const PIECE: u32 = 4096;
const BYTES: usize = 16;

/// Address of the code for a position.
///
/// # Errors
///
/// There is no executable memory.
pub fn interpreted_entry(position: u32) -> io::Result<usize> {
    static PIECES: OnceLock<RwLock<Vec<CodeMemory>>> = OnceLock::new();
    let pieces = PIECES.get_or_init(RwLock::default);
    let (piece, offset) = ((position / PIECE) as usize, (position % PIECE) as usize * BYTES);
    if let Some(piece) = pieces.read().unwrap_or_else(|e| e.into_inner()).get(piece) {
        return Ok(piece.start() + offset);
    }
    let mut pieces = pieces.write().unwrap_or_else(|e| e.into_inner());
    while pieces.len() <= piece {
        let first = pieces.len() as u32 * PIECE;
        pieces.push(CodeMemory::publish(&arch::interpreted_entries(first, PIECE))?);
    }
    Ok(pieces[piece].start() + offset)
}
