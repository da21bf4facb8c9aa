//! Finding the interpreter in a memory.
//!
//! From 3.13 on the runtime's state begins with a cookie and a table of offsets. Before, the state of the main thread is
//! recognised by what it points to: an interpreter that points back to it, and frames with code objects, whose type
//! is named `code`. Either takes one pass over a copy of the memory.

use super::Python;
use super::layout::{CodeObject, Frame, Layout};
use super::layout::{OBJECT_TYPE, THREAD_INTERPRETER, THREAD_NEXT, TYPE_NAME, Threads, VERSIONS};
use crate::script::search::{CANDIDATES, Search, copy_start};
use crate::script::{Bytes, Interpreter};
use memchr::memmem;

const COOKIE: &[u8] = b"xdebugpy";
/// Numbers of 64 bits that the table has up to where it is read, at most.
const TABLE: usize = 64;
/// Frames in which a code object is looked for.
const FRAMES: usize = 8;

/// Looks for it. `copy` is room for the memory's bytes.
pub(crate) fn find(memory: &dyn Bytes, copy: &mut Vec<u8>) -> Search<Python> {
    if !copy_start(memory, copy) {
        return Search::NotYet;
    }
    let mut unknown = None;
    for at in memmem::find_iter(copy, COOKIE).take(CANDIDATES) {
        match by_table(memory, copy, at) {
            Some(Search::Unknown(why)) => unknown = Some(why),
            Some(found) => return found,
            None => {}
        }
    }
    if let Some(why) = unknown {
        return Search::Unknown(why);
    }
    let found = VERSIONS.iter().find_map(|version| by_thread(memory, copy, version));
    found.map_or(Search::NotYet, Search::Found)
}

/// The interpreter whose runtime's state is at this address, if it is one: the text of the cookie may be elsewhere.
fn by_table(memory: &dyn Bytes, copy: &[u8], at: usize) -> Option<Search<Python>> {
    let words = copy.get(at..)?.chunks_exact(8).take(TABLE);
    let words = words.map(|word| word.try_into().map(u64::from_le_bytes));
    let words: Vec<u64> = words.collect::<Result<_, _>>().ok()?;
    let version = *words.get(1)?;
    let (major, minor) = ((version >> 24) as u8, (version >> 16) as u8);
    if version >> 32 != 0 || major != 3 || minor < 13 {
        return None;
    }
    // How many numbers there are of the interpreter, of a frame and of a code object.
    let counts = match minor {
        13 => (13, 6, 10),
        14 => (16, 8, 11),
        _ => {
            return Some(Search::Unknown(format!(
                "frames of CPython 3.{minor} cannot be read: 3.11 to 3.14 are known"
            )));
        }
    };
    if words.get(2) != Some(&0) {
        return Some(Search::Unknown(format!(
            "frames of CPython 3.{minor} without its global lock cannot be read"
        )));
    }
    let Some((layout, path)) = table(&words, (major, minor), counts) else {
        return Some(Search::Unknown(format!(
            "the table of offsets of this CPython 3.{minor} makes no sense"
        )));
    };
    let start = u32::try_from(at).ok()?;
    Some(python(memory, layout, start, path).map_or(Search::NotYet, Search::Found))
}

/// What a table says: the layout, and the path to the innermost frame.
fn table(
    words: &[u64],
    version: (u8, u8),
    (interpreter, frame, code): (usize, usize, usize),
) -> Option<(Layout, Vec<u32>)> {
    let number = |at: usize| u32::try_from(*words.get(at)?).ok().filter(|n| *n < 1 << 24);
    // The runtime's state has three numbers, a thread's nine; the first of each is a size.
    let runtime = 3;
    let interpreter_at = runtime + 3;
    let thread_at = interpreter_at + interpreter;
    let frame_at = thread_at + 9;
    let code_at = frame_at + frame;
    let object_at = code_at + code;
    let fits = number(thread_at + 2)? == THREAD_NEXT
        && number(thread_at + 3)? == THREAD_INTERPRETER
        && number(object_at)? == 8
        && number(object_at + 1)? == OBJECT_TYPE
        && number(object_at + 3)? == TYPE_NAME;
    if !fits {
        return None;
    }
    let path = [number(runtime + 2)?, number(interpreter_at + 3)?, number(thread_at + 4)?];
    let frame = Frame {
        previous: number(frame_at + 1)?,
        code: number(frame_at + 2)?,
        instruction: number(frame_at + 3)?,
        entry: number(frame_at + 5)?,
        entry_from: 3,
        entry_is_call: false,
    };
    let code = CodeObject {
        filename: number(code_at + 1)?,
        name: number(code_at + 2)?,
        qualified_name: number(code_at + 3)?,
        line_table: number(code_at + 4)?,
        first_line: number(code_at + 5)?,
        instructions: number(code_at + 9)?,
    };
    Some((Layout { version, frame, code, text: (20, 28) }, path.to_vec()))
}

/// The interpreter of a version without a table, by the state of its main thread.
fn by_thread(memory: &dyn Bytes, copy: &[u8], version: &Threads) -> Option<Python> {
    let word = |at: usize| Some(u32::from_le_bytes(*copy.get(at..)?.first_chunk()?));
    let mut candidates = 0;
    for (index, four) in copy.chunks_exact(4).enumerate() {
        let interpreter = u32::from_le_bytes(*four.first_chunk()?);
        if interpreter == 0 || !interpreter.is_multiple_of(4) || index < 2 {
            continue;
        }
        let thread = 4 * index - THREAD_INTERPRETER as usize;
        let head = (interpreter as usize).checked_add(version.head as usize);
        if head.and_then(word) != Some(thread as u32) {
            continue;
        }
        candidates += 1;
        if candidates > CANDIDATES {
            return None;
        }
        let found = python(memory, version.layout, thread as u32, version.path.to_vec());
        if found.is_some() {
            return found;
        }
    }
    None
}

/// The interpreter with this layout, if the path leads to frames with code objects.
fn python(memory: &dyn Bytes, layout: Layout, start: u32, path: Vec<u32>) -> Option<Python> {
    let mut python = Python { layout, start, path, code_type: 0 };
    for (code, _, _) in python.links(memory).into_iter().take(FRAMES) {
        // The lowest bits of a pointer may say who counts references.
        let Some(kind) = (code & !3).checked_add(OBJECT_TYPE).and_then(|at| memory.word(at)) else {
            continue;
        };
        let name = kind.checked_add(TYPE_NAME).and_then(|at| memory.word(at));
        let mut text = [0; 5];
        if name.is_some_and(|name| memory.read(name as usize, &mut text)) && &text == b"code\0" {
            python.code_type = kind;
            let reads = python.code(memory, code).is_some();
            return reads.then_some(python);
        }
    }
    None
}
