//! Memory around addresses.

use std::fmt;
use wardian::{InternalModule, MemoryView};

const LINE: usize = 16;
/// Lines before and after that of the address.
const AROUND: usize = 1;
/// Numbers that are this far beyond the end are no addresses.
const BEYOND: u64 = 64 << 10;
/// Numbers below are more often counts than addresses.
const LEAST: u64 = 256;
/// Addresses that are shown.
const MOST: usize = 3;

/// Shows the memory near those numbers that look like addresses in memory 0.
pub(super) fn write_near(
    f: &mut fmt::Formatter<'_>,
    instance: &InternalModule<'_>,
    candidates: &[(String, u64)],
) -> fmt::Result {
    let Some(memory) = instance.memory(0) else { return Ok(()) };
    let len = memory.len() as u64;
    let near = |address: u64| address >= LEAST && address < len.saturating_add(BEYOND);
    for (name, address) in candidates.iter().filter(|(_, a)| near(*a)).take(MOST) {
        let place = match address.checked_sub(len) {
            Some(beyond) => format!("{beyond} bytes beyond the end of memory 0"),
            None if len - address < BEYOND => {
                format!("{} bytes before the end of memory 0", len - address)
            }
            None => "in memory 0".to_owned(),
        };
        write!(f, "\n{name} = {address:#x} is {place} ({len:#x} bytes)")?;
        write_lines(f, &memory, *address)?;
    }
    Ok(())
}

fn write_lines(f: &mut fmt::Formatter<'_>, memory: &MemoryView<'_>, address: u64) -> fmt::Result {
    // An address beyond the end shows the end.
    let at = usize::try_from(address).unwrap_or(usize::MAX).min(memory.len().saturating_sub(1));
    let first = (at / LINE).saturating_sub(AROUND) * LINE;
    for start in (first..memory.len()).step_by(LINE).take(2 * AROUND + 1) {
        let mut line = [0; LINE];
        let line = &mut line[..LINE.min(memory.len() - start)];
        if memory.read(start, line).is_err() {
            return Ok(());
        }
        write!(f, "\n  {start:#010x} ")?;
        line.iter().try_for_each(|byte| write!(f, " {byte:02x}"))?;
        write!(f, "{:pad$}  |", "", pad = 3 * (LINE - line.len()))?;
        for byte in line {
            let shown = if byte.is_ascii_graphic() || *byte == b' ' { *byte } else { b'.' };
            write!(f, "{}", char::from(shown))?;
        }
        f.write_str("|")?;
    }
    Ok(())
}
