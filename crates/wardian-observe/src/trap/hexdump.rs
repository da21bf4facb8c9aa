//! Memory around addresses.

use std::fmt;
use wardian::{
    MemoryAccess,
    inspect::{InternalModule, MemoryView},
};

const LINE: usize = 16;
/// Lines before and after that of the address.
const AROUND: usize = 1;
/// Numbers that are this far past the end are no addresses.
const BEYOND: u64 = 64 << 10;
/// Numbers below are more often counts than addresses.
const LEAST: u64 = 256;
/// Addresses that are shown.
const MOST: usize = 3;

/// Shows the memory around those numbers that look like addresses in memory 0.
pub(super) fn write_near(
    f: &mut fmt::Formatter<'_>,
    instance: &InternalModule<'_>,
    candidates: &[(String, u64)],
) -> fmt::Result {
    let Some(memory) = instance.memory(0) else { return Ok(()) };
    let near = |address: u64| address >= LEAST && is_near(&memory, address);
    for (name, address) in candidates.iter().filter(|(_, a)| near(*a)).take(MOST) {
        write!(f, "\n{name} = {address:#x} is {}", place(&memory, 0, *address))?;
        write_lines(f, &memory, *address)?;
    }
    Ok(())
}

/// Shows the memory around an access that failed: its last bytes, if the access was out of bounds.
pub(super) fn write_access(
    f: &mut fmt::Formatter<'_>,
    instance: &InternalModule<'_>,
    access: &MemoryAccess,
) -> fmt::Result {
    let Some(memory) = instance.memory(access.memory()) else { return Ok(()) };
    let address = access.address();
    if !is_near(&memory, address) {
        return Ok(());
    }
    write!(f, "\naddress {address:#x} is {}", place(&memory, access.memory(), address))?;
    write_lines(f, &memory, address)
}

fn is_near(memory: &MemoryView<'_>, address: u64) -> bool {
    address < (memory.len() as u64).saturating_add(BEYOND)
}

/// Where an address lies, in words.
fn place(memory: &MemoryView<'_>, index: u32, address: u64) -> String {
    let len = memory.len() as u64;
    let bytes = |count: u64| format!("{count} byte{}", if count == 1 { "" } else { "s" });
    let place = match address.checked_sub(len) {
        Some(0) => format!("at the end of memory {index}"),
        Some(beyond) => format!("{} beyond the end of memory {index}", bytes(beyond)),
        None if len - address < BEYOND => {
            format!("{} before the end of memory {index}", bytes(len - address))
        }
        None => format!("in memory {index}"),
    };
    format!("{place} ({len:#x} bytes)")
}

fn write_lines(f: &mut fmt::Formatter<'_>, memory: &MemoryView<'_>, address: u64) -> fmt::Result {
    // For an address that is out of bounds, the end is shown.
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
