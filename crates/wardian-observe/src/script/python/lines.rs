//! Tables of lines of code objects: CPython's "location table", which it has since 3.11.
//!
//! An entry is for up to eight instructions. Its first byte has the highest bit, which no other byte of an entry
//! has, and says how many instructions it is for and of what form it is; most forms only say by how
//! much the line differs from the one before.

/// Where lines begin, in bytes of instructions, and which they are: none for instructions that belong to no line.
pub(super) fn decode(table: &[u8], first_line: u32) -> Vec<(u32, Option<u32>)> {
    let mut lines: Vec<(u32, Option<u32>)> = Vec::new();
    let (mut line, mut offset) = (i64::from(first_line), 0u32);
    let mut rest = table;
    while let Some((head, after)) = rest.split_first() {
        let mut fields = after;
        let has_line = match head >> 3 & 15 {
            15 => false,
            // Forms with the difference as a number of any length.
            13 | 14 => {
                line = line.saturating_add(signed(&mut fields));
                true
            }
            form @ 10..=12 => {
                line = line.saturating_add(i64::from(form) - 10);
                true
            }
            _ => true,
        };
        let here = u32::try_from(line).ok().filter(|line| has_line && *line > 0);
        if lines.last().is_none_or(|(_, last)| *last != here) {
            lines.push((offset, here));
        }
        offset = offset.saturating_add(2 * (u32::from(head & 7) + 1));
        let next = after.iter().position(|byte| byte & 0x80 != 0).unwrap_or(after.len());
        rest = &after[next..];
    }
    lines
}

/// A number with its sign in the lowest bit.
fn signed(bytes: &mut &[u8]) -> i64 {
    let number = unsigned(bytes);
    let half = i64::from(number >> 1);
    if number & 1 != 0 { -half } else { half }
}

/// A number in groups of six bits, the lowest first; all but the last have the next bit too.
fn unsigned(bytes: &mut &[u8]) -> u32 {
    let (mut number, mut shift) = (0u32, 0);
    while let Some((byte, rest)) = bytes.split_first() {
        if byte & 0x80 != 0 {
            break;
        }
        *bytes = rest;
        if shift < 32 {
            number |= u32::from(byte & 63).wrapping_shl(shift);
        }
        shift += 6;
        if byte & 64 == 0 {
            break;
        }
    }
    number
}
