//! Instruction sequences, their lines, and strings.
//!
//! Lines are of ranges of instructions. Which range an instruction is in, a table of bits says: one for each instruction at
//! which a range begins.
//!
//! ```text
//!   54 instructions: 9 in each 64 bits, of each how many ranges have begun, in 7 bits
//!   then blocks of 512: how many had begun before │ the same for each further 64, in 9 bits │ 512 bits
//! ```

use crate::script::{Bytes, Code, ScriptFunction};

/// Characters of a name that are read.
const TEXT: u32 = 1024;
/// Words of instructions.
const INSTRUCTIONS: u32 = 1 << 16;

/// Of each object: what kind it is, and flags.
const FLAGS: u32 = 0;
const KIND: u32 = 0x1f;
const STRING: u32 = 0x05;
const ARRAY: u32 = 0x07;
/// What the interpreter has for itself; of these, what an instruction sequence is.
const INTERNAL: u32 = 0x1a;
const INTERNAL_KIND: u32 = 0xf000;
const IS_ISEQ: u32 = 0x7000;
/// Of strings that what they have is elsewhere, of arrays that it is in the object.
const FLAG: u32 = 0x2000;
/// Of an instruction sequence: its body.
const BODY: u32 = 8;

/// Of a body.
const SIZE: u32 = 4;
const CODE: u32 = 8;
const PATH: u32 = 52;
const LABEL: u32 = 60;
const FIRST_LINE: u32 = 64;
const RANGES: u32 = 88;
const RANGE_COUNT: u32 = 96;
const RANGE_TABLE: u32 = 100;
/// Bytes of what is known of a range, which begins with its line.
const RANGE: u32 = 12;

/// Of a string: its length, and its text or where that is.
const LENGTH: u32 = 8;
const CHARACTERS: u32 = 12;
/// Of an array: what it has, or where that is.
const ELEMENTS: u32 = 8;
const ELEMENTS_ELSEWHERE: u32 = 16;

/// Instructions at the beginning of the table of bits, in words of nine.
const FIRST: usize = 54;
const FIRST_BYTES: usize = 48;
/// Of a block.
const BLOCK: usize = 512;
const BLOCK_BYTES: usize = 80;

/// The fields that change when another sequence takes the place of one.
pub(super) fn fingerprint(memory: &dyn Bytes, iseq: u32) -> Option<[u32; 6]> {
    let field = |at: u32, offset: u32| memory.word(at.checked_add(offset)?);
    let flags = field(iseq, FLAGS).filter(|_| iseq != 0 && iseq.is_multiple_of(4))?;
    if flags & KIND != INTERNAL || flags & INTERNAL_KIND != IS_ISEQ {
        return None;
    }
    let body = field(iseq, BODY).filter(|body| *body != 0)?;
    Some([
        body,
        field(body, SIZE)?,
        field(body, CODE)?,
        field(body, PATH)?,
        field(body, LABEL)?,
        field(body, RANGES)?,
    ])
}

pub(super) fn read(memory: &dyn Bytes, iseq: u32) -> Option<Code> {
    let [body, size, start, path, label, _] = fingerprint(memory, iseq)?;
    let name = text(memory, label)?;
    let file = text(memory, path).or_else(|| text(memory, first_element(memory, path)?))?;
    let line = memory.word(body.checked_add(FIRST_LINE)?)?;
    // A frame has the instruction that comes next, which may be behind the last one.
    let words = (size <= INSTRUCTIONS).then_some(size)?.checked_add(1)?;
    let instructions = (start, start.checked_add(4 * words)?);
    Some(Code {
        function: ScriptFunction { name: name.into(), file: file.into(), line },
        instructions,
        lines: lines(memory, body, size).unwrap_or_default(),
    })
}

/// Where lines begin, in bytes of instructions, by the instruction that comes next.
fn lines(memory: &dyn Bytes, body: u32, size: u32) -> Option<Vec<(u32, Option<u32>)>> {
    let field = |offset: u32| memory.word(body.checked_add(offset)?);
    let count = field(RANGE_COUNT)?.min(INSTRUCTIONS);
    let mut ranges = vec![0; (count * RANGE) as usize];
    if count == 0 || !memory.read(field(RANGES)? as usize, &mut ranges) {
        return None;
    }
    let line = |range: usize| {
        let bytes = ranges.get(range.checked_mul(RANGE as usize)?..)?.first_chunk()?;
        Some(u32::from_le_bytes(*bytes)).filter(|line| *line != 0)
    };
    if count == 1 {
        return Some(vec![(0, line(0))]);
    }
    let blocks = (size as usize).saturating_sub(FIRST).div_ceil(BLOCK);
    let mut table = vec![0; FIRST_BYTES + blocks * BLOCK_BYTES];
    if !memory.read(field(RANGE_TABLE)? as usize, &mut table) {
        return None;
    }
    let mut lines: Vec<(u32, Option<u32>)> = Vec::new();
    for instruction in 0..size as usize {
        let here = begun(&table, instruction)?.checked_sub(1).and_then(line);
        if lines.last().is_none_or(|(_, last)| *last != here) {
            // What has just been called has not executed any.
            let next = if instruction == 0 { 0 } else { instruction + 1 };
            lines.push((4 * next as u32, here));
        }
    }
    Some(lines)
}

/// How many ranges have begun up to an instruction.
fn begun(table: &[u8], instruction: usize) -> Option<usize> {
    let long = |at: usize| Some(u64::from_le_bytes(*table.get(at..)?.first_chunk()?));
    let Some(behind) = instruction.checked_sub(FIRST) else {
        let word = long(instruction / 9 * 8)?;
        return Some((word >> (instruction % 9 * 7)) as usize & 0x7f);
    };
    let block = FIRST_BYTES + behind / BLOCK * BLOCK_BYTES;
    let (word, bit) = (behind % BLOCK / 64, behind % 64);
    let before = long(block)? as u32 as usize;
    let earlier = match word.checked_sub(1) {
        Some(index) => (long(block + 8)? >> (index * 9)) as usize & 0x1ff,
        None => 0,
    };
    let bits = long(block + 16 + 8 * word)? << (63 - bit);
    Some(before + earlier + bits.count_ones() as usize)
}

/// The first element of an array.
fn first_element(memory: &dyn Bytes, at: u32) -> Option<u32> {
    let field = |offset: u32| memory.word(at.checked_add(offset)?);
    let flags = field(FLAGS).filter(|flags| at != 0 && flags & KIND == ARRAY)?;
    match flags & FLAG {
        0 => memory.word(field(ELEMENTS_ELSEWHERE)?),
        _ => field(ELEMENTS),
    }
}

/// The text of a string, cut off where it is long.
fn text(memory: &dyn Bytes, at: u32) -> Option<String> {
    let field = |offset: u32| memory.word(at.checked_add(offset)?);
    let flags = field(FLAGS).filter(|flags| at != 0 && flags & KIND == STRING)?;
    let start = match flags & FLAG {
        0 => at.checked_add(CHARACTERS)?,
        _ => field(CHARACTERS)?,
    };
    let mut bytes = vec![0; field(LENGTH)?.min(TEXT) as usize];
    memory.read(start as usize, &mut bytes).then(|| String::from_utf8_lossy(&bytes).into_owned())
}
