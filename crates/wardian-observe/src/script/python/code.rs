//! Code objects and strings.

use super::layout::{BYTES, LENGTH, Layout, OBJECT_TYPE, TEXT_STATE};
use super::lines;
use crate::script::{Bytes, Code, ScriptFunction};

/// Characters of a name that are read.
const TEXT: u32 = 1024;
/// Bytes of a table of lines.
const LINES: u32 = 1 << 18;
/// Bytes of a function's instructions.
const INSTRUCTIONS: u32 = 1 << 24;
/// Where the numbers of a string's state are: how many bits are before the size of characters. It was 2 until
/// the field before it got 16.
const STATES: [u32; 2] = [2, 16];

/// The fields that change when other code takes the place of an object.
pub(super) fn fingerprint(
    layout: &Layout,
    code_type: u32,
    memory: &dyn Bytes,
    code: u32,
) -> Option<[u32; 6]> {
    let at = code & !3;
    let field = |offset: u32| memory.word(at.checked_add(offset)?);
    if at == 0 || field(OBJECT_TYPE)? != code_type {
        return None;
    }
    let fields = &layout.code;
    Some([
        field(LENGTH)?,
        field(fields.first_line)?,
        field(fields.filename)?,
        field(fields.name)?,
        field(fields.qualified_name)?,
        field(fields.line_table)?,
    ])
}

pub(super) fn read(layout: &Layout, code_type: u32, memory: &dyn Bytes, code: u32) -> Option<Code> {
    let [units, line, file, name, qualified, table] = fingerprint(layout, code_type, memory, code)?;
    let length = units.checked_mul(2).filter(|length| *length <= INSTRUCTIONS)?;
    let start = (code & !3).checked_add(layout.code.instructions)?;
    let name = text(layout, memory, qualified).or_else(|| text(layout, memory, name))?;
    let file = text(layout, memory, file)?;
    let table = bytes(memory, table).unwrap_or_default();
    Some(Code {
        function: ScriptFunction { name: name.into(), file: file.into(), line },
        instructions: (start, start.checked_add(length)?),
        lines: lines::decode(&table, line),
    })
}

/// The text of a string, cut off where it is long.
fn text(layout: &Layout, memory: &dyn Bytes, at: u32) -> Option<String> {
    let field = |offset: u32| memory.word(at.checked_add(offset)?);
    let state = field(TEXT_STATE)?;
    let length = field(LENGTH)?.min(TEXT);
    let is_text = |before: &&u32| {
        let kind = state >> *before & 7;
        // Stored behind the object; the sizes of characters.
        state >> (*before + 3) & 1 == 1 && [1, 2, 4].contains(&kind)
    };
    let before = STATES.iter().find(is_text)?;
    let (kind, is_ascii) = (state >> before & 7, state >> (before + 4) & 1 == 1);
    let header = if is_ascii { layout.text.0 } else { layout.text.1 };
    let mut bytes = vec![0; (length * kind) as usize];
    if !memory.read(at as usize + header as usize, &mut bytes) {
        return None;
    }
    let character = |bytes: &[u8]| {
        let number = bytes.iter().rev().fold(0, |number, byte| number << 8 | u32::from(*byte));
        char::from_u32(number).unwrap_or(char::REPLACEMENT_CHARACTER)
    };
    Some(bytes.chunks(kind as usize).map(character).collect())
}

/// The contents of a bytes object, unless they are too many.
fn bytes(memory: &dyn Bytes, at: u32) -> Option<Vec<u8>> {
    let length = memory.word(at.checked_add(LENGTH)?)?;
    let mut bytes = vec![0; usize::try_from(length).ok().filter(|l| *l <= LINES as usize)?];
    memory.read(at as usize + BYTES as usize, &mut bytes).then_some(bytes)
}
