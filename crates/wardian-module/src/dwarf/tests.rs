//! Debug information that is made to cost more than it is worth, and broken one.

use super::{DebugInfo, Dwarf};
use crate::{Module, Names};
use std::collections::HashMap;
use std::time::{Duration, Instant};
use wardian_types::CodeOffset;

/// Far more than what is allowed to take, on a machine that does something else as well.
pub(super) const LONG: Duration = Duration::from_secs(20);

pub(super) type Sections = HashMap<String, Vec<u8>>;

pub(super) fn sections<'a>(parts: impl IntoIterator<Item = (&'a str, Vec<u8>)>) -> Sections {
    parts.into_iter().map(|(name, bytes)| (name.to_owned(), bytes)).collect()
}

pub(super) fn read(sections: &Sections) -> Dwarf {
    Dwarf::read(|name| sections.get(name).map(Vec::as_slice))
}

/// Asks for everything, and returns what is known after that.
pub(super) fn ask(dwarf: &Dwarf) -> DebugInfo {
    let mut bytes = 0;
    for offset in (0..4096).chain([u32::MAX]) {
        let places = dwarf.locate(CodeOffset::from_u32(offset));
        assert!(places.len() <= 300, "{} places", places.len());
    }
    dwarf.files(CodeOffset::FIRST..CodeOffset::from_u32(u32::MAX), &mut |_, count| {
        bytes += u64::from(count)
    });
    assert!(bytes <= u64::from(u32::MAX));
    dwarf.info()
}

/// A version 4 unit with the table of abbreviations at `abbrev`.
fn unit(abbrev: u32, dies: &[u8]) -> Vec<u8> {
    let mut unit = (dies.len() as u32 + 7).to_le_bytes().to_vec();
    unit.extend(4u16.to_le_bytes());
    unit.extend(abbrev.to_le_bytes());
    unit.push(4);
    unit.extend(dies);
    unit
}

/// Bytes of attributes in an entry: 32-bit values.
pub(super) fn words(values: &[u32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

const UNIT: u8 = 0x11;
const FUNCTION: u8 = 0x2e;
const INLINED: u8 = 0x1d;
const LOW_PC: [u8; 2] = [0x11, 0x01];
const HIGH_PC: [u8; 2] = [0x12, 0x06];
const RANGES: [u8; 2] = [0x55, 0x17];
const STMT_LIST: [u8; 2] = [0x10, 0x17];
const NAME: [u8; 2] = [0x03, 0x0e];
const COMP_DIR: [u8; 2] = [0x1b, 0x0e];
const ORIGIN: [u8; 2] = [0x31, 0x13];
const EXTERNAL: [u8; 2] = [0x3f, 0x19];

pub(super) fn abbreviation(code: u8, tag: u8, children: bool, attributes: &[[u8; 2]]) -> Vec<u8> {
    let mut bytes = vec![code, tag, u8::from(children)];
    bytes.extend(attributes.iter().flatten());
    bytes.extend([0, 0]);
    bytes
}

/// A unit with a function that inlines calls within each other.
fn nested(depth: usize) -> Sections {
    let mut abbrev = abbreviation(1, UNIT, true, &[LOW_PC, HIGH_PC]);
    abbrev.extend(abbreviation(2, FUNCTION, true, &[LOW_PC, HIGH_PC]));
    abbrev.extend(abbreviation(3, INLINED, true, &[LOW_PC, HIGH_PC]));
    abbrev.push(0);
    let range = words(&[0, 1000]);
    let mut dies = [&[1][..], &range, &[2], &range].concat();
    for _ in 0..depth {
        dies.extend([&[3][..], &range].concat());
    }
    dies.extend(vec![0; depth + 2]);
    sections([
        (".debug_abbrev", abbrev),
        (".debug_info", unit(0, &dies)),
        (".debug_line", Vec::new()),
    ])
}

#[test]
fn nesting_is_limited() {
    // On a small stack: what is allowed fits there.
    let shallow = std::thread::Builder::new().stack_size(1 << 20);
    let known = shallow.spawn(|| ask(&read(&nested(256)))).unwrap().join().unwrap();
    assert_eq!(known, DebugInfo::Present);
    for depth in [257, 16_081, 1_000_000] {
        assert_eq!(read(&nested(depth)).info(), DebugInfo::TooComplex, "{depth}");
    }
}

/// Units that share one list of ranges.
fn shared_ranges(units: usize, ranges: u32) -> Sections {
    let mut abbrev = abbreviation(1, UNIT, false, &[LOW_PC, RANGES]);
    abbrev.push(0);
    let one = unit(0, &[&[1][..], &words(&[0, 0])].concat());
    let mut list: Vec<u8> = (0..ranges).flat_map(|i| words(&[i + 1, i + 3])).collect();
    list.extend([0; 8]);
    let info = one.repeat(units);
    sections([
        (".debug_abbrev", abbrev),
        (".debug_info", info),
        (".debug_ranges", list),
        (".debug_line", Vec::new()),
    ])
}

/// Units whose tables of abbreviations begin at different places of one long table.
fn shared_abbreviations(units: u32, abbreviations: usize) -> Sections {
    let mut abbrev = Vec::new();
    for i in 0..abbreviations {
        // Codes of two bytes and more.
        let code = [(i & 0x7f) as u8 | 0x80, (i >> 7 & 0x7f) as u8 | 0x80, (i >> 14) as u8 + 1];
        abbrev.extend(code);
        abbrev.extend([UNIT, 0, 0, 0]);
    }
    abbrev.push(0);
    let first = [0x80, 0x80, 1];
    let info = (0..units).flat_map(|i| unit(7 * i, &first)).collect();
    sections([(".debug_abbrev", abbrev), (".debug_info", info), (".debug_line", Vec::new())])
}

/// A line program of version 4 with one file, and rows of one byte each.
fn line_program(file: &[u8], rows: usize) -> Vec<u8> {
    let mut header = vec![1, 1, 1, 0xfb, 14, 13];
    header.extend([0, 1, 1, 1, 1, 0, 0, 0, 1, 0, 0, 1]);
    header.push(0);
    header.extend(file);
    header.push(0);
    let mut program = vec![0, 5, 2, 1, 0, 0, 0];
    program.extend(vec![0x21; rows]);
    program.extend([0, 1, 1]);
    let mut unit = 4u16.to_le_bytes().to_vec();
    unit.extend((header.len() as u32).to_le_bytes());
    unit.extend(header);
    unit.extend(program);
    [&(unit.len() as u32).to_le_bytes()[..], &unit].concat()
}

/// Units that share one line program.
fn shared_lines(units: usize, rows: usize) -> Sections {
    let mut abbrev = abbreviation(1, UNIT, false, &[STMT_LIST]);
    abbrev.push(0);
    let one = unit(0, &[&[1][..], &words(&[0])].concat());
    sections([
        (".debug_abbrev", abbrev),
        (".debug_info", one.repeat(units)),
        (".debug_line", line_program(b"a.c\0\0\0\0", rows)),
    ])
}

/// A long folder in which many files are.
fn long_folder(folder: usize, files: usize) -> Sections {
    let mut abbrev = abbreviation(1, UNIT, false, &[STMT_LIST, COMP_DIR, LOW_PC, HIGH_PC]);
    abbrev.push(0);
    let info = unit(0, &[&[1][..], &words(&[0, 0, 0, 1000])].concat());
    let mut strings = vec![b'd'; folder];
    strings.push(0);
    sections([
        (".debug_abbrev", abbrev),
        (".debug_info", info),
        (".debug_line", line_program(&b"a\0\0\0\0".repeat(files), 10)),
        (".debug_str", strings),
    ])
}

/// Functions inlined in each other that all have the same long name.
fn long_names(name: usize, functions: usize) -> Sections {
    let mut abbrev = abbreviation(1, UNIT, true, &[STMT_LIST, LOW_PC, HIGH_PC]);
    abbrev.extend(abbreviation(2, FUNCTION, true, &[NAME, LOW_PC, HIGH_PC]));
    abbrev.extend(abbreviation(3, INLINED, false, &[NAME, LOW_PC, HIGH_PC]));
    abbrev.push(0);
    let mut dies = [&[1][..], &words(&[0, 0, 1000])].concat();
    dies.extend([&[2][..], &words(&[0, 0, 1000])].concat());
    for i in 0..functions as u32 {
        dies.extend([&[3][..], &words(&[0, i % 1000, 1])].concat());
    }
    dies.extend([0, 0]);
    let mut strings = vec![b'n'; name];
    strings.push(0);
    sections([
        (".debug_abbrev", abbrev),
        (".debug_info", unit(0, &dies)),
        (".debug_line", line_program(b"a.c\0\0\0\0", 10)),
        (".debug_str", strings),
    ])
}

/// Entries of one byte, each with attributes that take no room.
fn empty_attributes(entries: usize, attributes: usize) -> Sections {
    let mut abbrev = abbreviation(1, UNIT, true, &[LOW_PC, HIGH_PC]);
    abbrev.extend(abbreviation(2, FUNCTION, false, &vec![EXTERNAL; attributes]));
    abbrev.push(0);
    let mut dies = [&[1][..], &words(&[0, 1000])].concat();
    dies.extend(vec![2; entries]);
    dies.push(0);
    sections([
        (".debug_abbrev", abbrev),
        (".debug_info", unit(0, &dies)),
        (".debug_line", Vec::new()),
    ])
}

/// Functions within each other, each of which is read with all that are in it; and functions that are
/// defined by each other.
fn functions(count: usize, origins: bool) -> Sections {
    let attributes: &[_] = if origins { &[LOW_PC, HIGH_PC, ORIGIN] } else { &[LOW_PC, HIGH_PC] };
    let mut abbrev = abbreviation(1, UNIT, true, &[LOW_PC, HIGH_PC]);
    abbrev.extend(abbreviation(2, FUNCTION, true, attributes));
    abbrev.push(0);
    let mut dies = [&[1][..], &words(&[0, 1000])].concat();
    for i in 0..count as u32 {
        dies.push(2);
        dies.extend(words(&[i % 1000, 1]));
        if origins {
            // The entry itself.
            dies.extend(words(&[11 + 9 + 13 * i]));
        }
    }
    dies.extend(vec![0; count + 1]);
    sections([
        (".debug_abbrev", abbrev),
        (".debug_info", unit(0, &dies)),
        (".debug_line", Vec::new()),
    ])
}

#[test]
fn what_grows_faster_than_the_module_is_refused() {
    let too_complex = Some(DebugInfo::TooComplex);
    let shapes = [
        ("ranges", shared_ranges(10_000, 20_000), too_complex),
        ("few ranges", shared_ranges(3, 100), Some(DebugInfo::Present)),
        ("ranges of much code", shared_ranges(1, 30_000), Some(DebugInfo::Present)),
        ("abbreviations", shared_abbreviations(16_000, 30_000), too_complex),
        ("lines", shared_lines(10_000, 100_000), too_complex),
        ("few lines", shared_lines(2, 100), Some(DebugInfo::Present)),
        ("files", long_folder(200_000, 40_000), too_complex),
        ("names", long_names(200_000, 20_000), too_complex),
        ("few names", long_names(100, 100), Some(DebugInfo::Present)),
        ("attributes", empty_attributes(100_000, 100_000), too_complex),
        ("functions", functions(20_000, false), None),
        ("origins", functions(20_000, true), None),
    ];
    for (name, sections, expected) in shapes {
        let start = Instant::now();
        let known = ask(&read(&sections));
        assert!(start.elapsed() < LONG, "{name}: {:?}", start.elapsed());
        assert!(expected.is_none_or(|expected| known == expected), "{name}: {known:?}");
    }
}

/// A xorshift generator.
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % limit.max(1) as u64) as usize
    }

    /// Changes bytes, copies parts over others, and cuts.
    pub(super) fn mutate(&mut self, bytes: &mut Vec<u8>) {
        for _ in 0..1 + self.below(8) {
            if bytes.is_empty() {
                return;
            }
            let at = self.below(bytes.len());
            match self.below(8) {
                0 => bytes.truncate(at),
                1 => {
                    let from = self.below(bytes.len());
                    let len = self.below(64).min(bytes.len() - from).min(bytes.len() - at);
                    bytes.copy_within(from..from + len, at);
                }
                2 => bytes[at] = 0xff,
                3 => bytes[at] = 0,
                4 => bytes[at] ^= 1 << self.below(8),
                5 => _ = bytes.remove(at),
                6 => bytes.insert(at, self.below(256) as u8),
                _ => bytes[at] = self.below(256) as u8,
            }
        }
    }
}

/// The custom sections of a program that has debug information.
fn program() -> Sections {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/programs/lines.wasm");
    let module = Module::decode_trusted(std::fs::read(path).unwrap()).unwrap();
    let names = module.info().customs.iter().map(|custom| custom.name.clone());
    names.map(|name| (name.clone(), module.custom_section(&name).unwrap().to_vec())).collect()
}

#[test]
fn broken_sections_are_read_without_a_panic() {
    let whole = program();
    assert!(whole.contains_key(".debug_info") && whole.contains_key("name"));
    let mut debug: Vec<_> = whole.keys().filter(|name| name.starts_with(".debug")).collect();
    debug.sort();
    let seeds = std::env::var("WARDIAN_FUZZ_SEEDS").ok().and_then(|n| n.parse().ok());
    for seed in 1..=seeds.unwrap_or(3000u64) {
        let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let mut broken = whole.clone();
        for _ in 0..1 + random.below(2) {
            let section = debug[random.below(debug.len())];
            random.mutate(broken.get_mut(section).unwrap());
        }
        let start = Instant::now();
        ask(&read(&broken));
        random.mutate(broken.get_mut("name").unwrap());
        let names = Names::read(&broken["name"]);
        for name in names.functions.values() {
            let mut name = name.clone().into_bytes();
            random.mutate(&mut name);
            crate::demangle(&String::from_utf8_lossy(&name));
        }
        assert!(start.elapsed() < LONG, "seed {seed}: {:?}", start.elapsed());
    }
}
