//! Functions, classes and strings.

use crate::script::{Bytes, Code, ScriptFunction};

/// Characters of a name that are read.
const TEXT: u32 = 1024;
/// Instructions of a function.
const INSTRUCTIONS: u32 = 1 << 16;

/// Of a function: what kind it is, in the lowest byte, then names and code.
const KIND: u32 = 0;
const NAME: u32 = 8;
const SCOPE: u32 = 12;
const COUNT: u32 = 52;
const CODE: u32 = 56;
const FILE: u32 = 92;
const LINE: u32 = 96;
/// Kinds: of the interpreter's own functions, and of those of the program.
const INTERNAL: u8 = 1;
const USER: u8 = 2;
/// Of a class: its name.
const CLASS_NAME: u32 = 4;
/// Of an instruction: its bytes, and where its line is.
const INSTRUCTION: u32 = 28;
const INSTRUCTION_LINE: u32 = 20;
/// Of a string: what it is, its length, its text.
const STRING_KIND: u32 = 4;
const IS_STRING: u32 = 6;
const LENGTH: u32 = 12;
const STRING: u32 = 16;

/// The fields that change when another function takes the place of one.
pub(super) fn fingerprint(memory: &dyn Bytes, func: u32) -> Option<[u32; 6]> {
    if func == 0 {
        return None;
    }
    let field = |offset: u32| memory.word(func.checked_add(offset)?);
    let kind = field(KIND)?;
    match kind as u8 {
        // It has no code, nor what comes behind it.
        INTERNAL => Some([kind, field(NAME)?, field(SCOPE)?, 0, 0, 0]),
        USER => {
            let code = [field(CODE)?, field(COUNT)?, field(FILE)?];
            Some([kind, field(NAME)?, field(SCOPE)?, code[0], code[1], code[2]])
        }
        _ => None,
    }
}

pub(super) fn read(memory: &dyn Bytes, func: u32) -> Option<Code> {
    let [kind, name, scope, code, count, file] = fingerprint(memory, func)?;
    let name = match name {
        // The program's code outside of functions.
        0 if kind as u8 == USER => "{main}".to_owned(),
        name => text(memory, name)?,
    };
    let class = match scope {
        0 => None,
        class => text(memory, memory.word(class.checked_add(CLASS_NAME)?)?),
    };
    let name = class.map_or(name.clone(), |class| format!("{class}::{name}"));
    if kind as u8 == INTERNAL {
        let function = ScriptFunction { name: name.into(), file: "internal".into(), line: 0 };
        return Some(Code { function, instructions: (0, u32::MAX), lines: Vec::new() });
    }
    let (file, line) = (text(memory, file)?, memory.word(func.checked_add(LINE)?)?);
    let length = count.min(INSTRUCTIONS).checked_mul(INSTRUCTION)?;
    let function = ScriptFunction { name: name.into(), file: file.into(), line };
    let instructions = (code, code.checked_add(length)?);
    Some(Code { function, instructions, lines: lines(memory, instructions) })
}

/// Where lines begin in some instructions, each of which has its own.
fn lines(memory: &dyn Bytes, (start, end): (u32, u32)) -> Vec<(u32, Option<u32>)> {
    let mut bytes = vec![0; (end - start) as usize];
    if !memory.read(start as usize, &mut bytes) {
        return Vec::new();
    }
    let mut lines: Vec<(u32, Option<u32>)> = Vec::new();
    for (number, instruction) in (0u32..).zip(bytes.chunks_exact(INSTRUCTION as usize)) {
        let line = instruction.get(INSTRUCTION_LINE as usize..).and_then(|b| b.first_chunk());
        let line = line.map(|line| u32::from_le_bytes(*line)).filter(|line| *line != 0);
        if lines.last().is_none_or(|(_, last)| *last != line) {
            lines.push((number * INSTRUCTION, line));
        }
    }
    lines
}

/// The text of a string, cut off where it is long.
fn text(memory: &dyn Bytes, at: u32) -> Option<String> {
    let field = |offset: u32| memory.word(at.checked_add(offset)?);
    if at == 0 || field(STRING_KIND)? & 0xf != IS_STRING {
        return None;
    }
    let mut bytes = vec![0; field(LENGTH)?.min(TEXT) as usize];
    let text = at.checked_add(STRING)? as usize;
    memory.read(text, &mut bytes).then(|| String::from_utf8_lossy(&bytes).into_owned())
}
