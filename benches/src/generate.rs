//! A large module, made of many copies of the guests' functions.

use crate::options::Result;

const FUNCTIONS: u8 = 3;
const CODE: u8 = 10;

/// A module whose code section has about `size` bytes, whether that is more or less than `wasm` has.
pub(crate) fn sized(wasm: &[u8], size: usize) -> Result<Vec<u8>> {
    let sections = sections(wasm)?;
    let code = sections.iter().find(|s| s.0 == CODE).ok_or("the module has no functions")?.1;
    if size >= code.len() {
        return enlarged(wasm, size);
    }
    let mut out = wasm[..8].to_vec();
    for (id, content) in &sections {
        match *id {
            0 => continue,
            CODE => section(&mut out, *id, &shortened(code, size)?),
            id => section(&mut out, id, content),
        }
    }
    Ok(out)
}

/// The bodies from the first on as long as there is room; those after them only trap.
fn shortened(code: &[u8], size: usize) -> Result<Vec<u8>> {
    let mut at = 0;
    let count = number(code, &mut at)?;
    let mut out = Vec::new();
    write_number(&mut out, count);
    for _ in 0..count {
        let start = at;
        let len = number(code, &mut at)?;
        at += len;
        let body = code.get(start..at).ok_or("a function is cut off")?;
        if out.len() + body.len() <= size {
            out.extend_from_slice(body);
        } else {
            // Its length, no locals, `unreachable`, `end`.
            out.extend_from_slice(&[3, 0x00, 0x00, 0x0b]);
        }
    }
    Ok(out)
}

/// A module whose code section has at least `size` bytes: the functions of `wasm` over and over.
/// The copies call the originals, so the module is valid. Custom sections are left out.
pub(crate) fn enlarged(wasm: &[u8], size: usize) -> Result<Vec<u8>> {
    let sections = sections(wasm)?;
    let body = |id| {
        let found = sections.iter().find(|s| s.0 == id);
        found.map(|s| s.1).ok_or("the module has no functions")
    };
    let (types, code) = (body(FUNCTIONS)?, body(CODE)?);
    let copies = size.div_ceil(code.len()).max(1);
    let mut out = wasm[..8].to_vec();
    for (id, content) in &sections {
        match *id {
            0 => continue,
            FUNCTIONS => section(&mut out, *id, &repeated(types, copies)?),
            CODE => section(&mut out, *id, &repeated(code, copies)?),
            id => section(&mut out, id, content),
        }
    }
    Ok(out)
}

/// Identifiers and contents.
fn sections(wasm: &[u8]) -> Result<Vec<(u8, &[u8])>> {
    let mut at = 8;
    let mut sections = Vec::new();
    while let Some(id) = wasm.get(at) {
        at += 1;
        let len = number(wasm, &mut at)?;
        sections.push((*id, wasm.get(at..at + len).ok_or("a section is cut off")?));
        at += len;
    }
    Ok(sections)
}

/// A vector of items with its items `copies` times.
fn repeated(vector: &[u8], copies: usize) -> Result<Vec<u8>> {
    let mut at = 0;
    let count = number(vector, &mut at)?;
    let mut out = Vec::with_capacity(vector.len() * copies);
    write_number(&mut out, count * copies);
    for _ in 0..copies {
        out.extend_from_slice(&vector[at..]);
    }
    Ok(out)
}

fn section(out: &mut Vec<u8>, id: u8, content: &[u8]) {
    out.push(id);
    write_number(out, content.len());
    out.extend_from_slice(content);
}

/// LEB128.
fn number(bytes: &[u8], at: &mut usize) -> Result<usize> {
    let mut value = 0;
    for shift in (0..35).step_by(7) {
        let byte = *bytes.get(*at).ok_or("a number is cut off")?;
        *at += 1;
        value |= usize::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err("a number is too long".into())
}

fn write_number(out: &mut Vec<u8>, mut value: usize) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

#[cfg(test)]
mod tests {
    /// All of them are valid, and of the size that was asked for.
    #[test]
    fn modules_of_any_size() -> crate::options::Result<()> {
        let engine = wasmi::Engine::default();
        for size in [1 << 10, 30 << 10, 100 << 10, 1 << 20] {
            let wasm = super::sized(crate::cpu::GUESTS, size)?;
            wasmi::Module::new(&engine, &wasm)?;
            assert!(wasm.len() < 2 * size + (64 << 10), "{} for {size}", wasm.len());
        }
        Ok(())
    }
}
