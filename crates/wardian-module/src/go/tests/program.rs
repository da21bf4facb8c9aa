//! The data of a program as Go's linker writes it, made here: tables of two functions. `main.main`, in slot 0x1000 of the
//! function table, calls; nothing calls it. `main.helper` is in the next slot.

use std::fmt::Write;

/// What differs between versions of Go.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Version {
    pub(crate) magic: u8,
    /// Which word of `moduledata` is the address of data about functions.
    data_word: usize,
    /// Offsets of functions count functions, not bytes.
    by_number: bool,
}

pub(crate) const GO_1_18: Version = Version { magic: 0xf0, data_word: 38, by_number: false };
pub(crate) const GO_1_20: Version = Version { magic: 0xf1, data_word: 40, by_number: false };
pub(crate) const GO_1_27: Version = Version { magic: 0xf1, data_word: 43, by_number: true };

/// Where the table is in memory.
pub(crate) const AT: u32 = 0x40;
const NAMES: &[u8] = b"\0main.main\0main.(*T).inlined\0main.helper\0";
const FILES: &[u8] = b"main.go\0helper.go\0";

/// Memory from [`AT`] on: the table, data about functions, and `moduledata`.
pub(crate) fn memory(version: Version) -> Vec<u8> {
    // Tables of values: pairs of a change (zigzag) and for how many program counters. The first is unused.
    let mut values = vec![0];
    let mut table = |pairs: &[u8]| {
        let at = values.len() as u32;
        values.extend_from_slice(pairs);
        values.push(0);
        at
    };
    // From -1: file 0 for all. Lines: 20, then 7 (inlined), then 22. Inlined calls: none, the first, none.
    let file = table(&[2, 9]);
    let other_file = table(&[4, 9]);
    let lines = table(&[42, 1, 25, 1, 30, 7]);
    let helper_lines = table(&[10, 9]);
    let inlined = table(&[0, 1, 2, 1, 1, 7]);
    // Bytes of frames: none at the beginning, then 16 and 8.
    let frames = [table(&[2, 1, 32, 8]), table(&[2, 1, 16, 8])];

    let start_line = version.magic == 0xf1;
    let mut functions = Vec::new();
    let rows = [(0, 24u32), (1, 24 + 72)];
    for (number, record) in rows {
        let offset = match version.by_number {
            true => 0x1000 + number,
            false => number << 16,
        };
        functions.extend([offset, record].iter().flat_map(|v| v.to_le_bytes()));
    }
    functions.resize(24, 0);
    let mut record = |name: u32, file: u32, lines: u32, start: u32, inlined: u32, tree: u32| {
        let begin = functions.len();
        // Nothing calls the first one on a goroutine's stack.
        let (frame, outermost) = if name == 1 { (frames[0], 1 << 8) } else { (frames[1], 0) };
        let mut words = vec![0, name, 0, 0, frame, file, lines, 3, 0];
        words.extend(start_line.then_some(start));
        words.push(4 << 24 | outermost);
        words.extend([0, 0, inlined, u32::MAX, u32::MAX, u32::MAX, tree]);
        functions.extend(words.iter().flat_map(|v| v.to_le_bytes()));
        functions.resize(begin + 72, 0);
    };
    record(1, file, lines, 18, inlined, 16);
    record(29, other_file, helper_lines, 3, 0, u32::MAX);

    let tree = match start_line {
        true => vec![0, 11, 0, 5],
        false => vec![0, 0, 7, 11, 0],
    };
    let mut data = vec![0xee; 16];
    data.extend(tree.iter().flat_map(|v: &u32| v.to_le_bytes()));
    data.resize(48, 0);

    assemble(version, &values, &functions, data)
}

/// The header, the parts that it says the places of, data about functions, and `moduledata`.
fn assemble(version: Version, values: &[u8], functions: &[u8], data: Vec<u8>) -> Vec<u8> {
    let units: Vec<u8> = [0u32, 8].iter().flat_map(|v| v.to_le_bytes()).collect();
    let parts = [NAMES, &units, FILES, values, functions];
    let mut out = Vec::new();
    let text = if version.by_number { 0u64 } else { 0x1000_0000 };
    let mut header =
        vec![u64::from_le_bytes([version.magic, 255, 255, 255, 0, 0, 1, 8]), 2, 1, text];
    let mut at = 72;
    for part in parts {
        header.push(at);
        at += part.len().next_multiple_of(8) as u64;
    }
    out.extend(header.iter().flat_map(|v| v.to_le_bytes()));
    for part in parts {
        out.extend(part);
        out.resize(out.len().next_multiple_of(8), 0);
    }
    let data_at = u64::from(AT) + out.len() as u64;
    out.extend(data);
    let mut module = vec![0; 48];
    (module[0], module[1]) = (u64::from(AT), u64::from(AT) + header[4]);
    (module[22], module[version.data_word]) = (text, data_at);
    out.extend(module.iter().flat_map(|v| v.to_le_bytes()));
    out
}

/// The data segments of a memory, in the text format. Runs of zeroes are left out, as Go's linker does.
pub(crate) fn data(memory: &[u8]) -> String {
    let mut data = String::new();
    let mut at = 0;
    while at < memory.len() {
        let zeroes = memory[at..].iter().take_while(|byte| **byte == 0).count();
        if zeroes >= 6 {
            at += zeroes;
            continue;
        }
        let len = memory[at..].windows(6).position(|run| run == [0; 6]);
        let len = len.map_or(memory.len() - at, |len| len.max(1));
        let text: String = memory[at..at + len].iter().fold(String::new(), |mut text, byte| {
            let _ = write!(text, "\\{byte:02x}");
            text
        });
        let _ = writeln!(data, "(data (i32.const {}) \"{text}\")", AT as usize + at);
        at += len;
    }
    data
}
