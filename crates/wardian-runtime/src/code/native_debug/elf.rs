//! An object file of the format ELF whose code is not in it, but where it runs.
//!
//! ```text
//!   head │ contents of sections │ table of sections
//! ```
//!
//! It is written by hand, since the usual crates write relocatable object files, whose sections have no addresses.

use super::Piece;
use wardian_vm::addr::CodeAddr;

/// A section that is not code.
pub(super) type Section = (&'static str, Vec<u8>);

const HEAD: usize = 64;
const SECTION: usize = 64;
/// The number of the processor.
const MACHINE: u16 = if cfg!(target_arch = "aarch64") { 183 } else { 62 };

const PROGBITS: u32 = 1;
const SYMTAB: u32 = 2;
const STRTAB: u32 = 3;
const NOBITS: u32 = 8;
/// Code in memory.
const ALLOC_EXECINSTR: u64 = 0x2 | 0x4;
/// A function that other files can see.
const GLOBAL_FUNC: u8 = 1 << 4 | 2;

#[derive(Default)]
struct File {
    bytes: Vec<u8>,
    /// The table of sections.
    table: Vec<u8>,
    names: Vec<u8>,
    count: u16,
}

/// Fields of a section that are zero in most.
#[derive(Default)]
struct Fields {
    flags: u64,
    address: u64,
    link: u32,
    info: u32,
    entry: u64,
}

/// Writes the file: a section for each piece, symbols for all functions, and these sections.
pub(super) fn write(pieces: &[Piece], sections: Vec<Section>) -> Vec<u8> {
    let mut file = File { bytes: vec![0; HEAD], ..File::default() };
    file.names.push(0);
    // By definition the first section is empty.
    file.table.resize(SECTION, 0);
    file.count = 1;
    let (mut symbols, mut strings) = (vec![0; 24], vec![0]);
    for piece in pieces {
        let section = file.count;
        for function in &piece.functions {
            symbols.extend((strings.len() as u32).to_le_bytes());
            symbols.extend([GLOBAL_FUNC, 0]);
            symbols.extend(section.to_le_bytes());
            symbols.extend((function.range.start.as_usize() as u64).to_le_bytes());
            symbols.extend((CodeAddr::bytes_in(&function.range) as u64).to_le_bytes());
            strings.extend(function.name.bytes().filter(|byte| *byte != 0));
            strings.push(0);
        }
        let address = piece.range.start.as_usize() as u64;
        let fields = Fields { flags: ALLOC_EXECINSTR, address, ..Fields::default() };
        file.section(".text", NOBITS, CodeAddr::bytes_in(&piece.range), 16, fields);
    }
    for (name, contents) in sections {
        file.contents(name, PROGBITS, contents, Fields::default());
    }
    // The strings come next; one symbol, the first, is local.
    let link = u32::from(file.count) + 1;
    file.contents(
        ".symtab",
        SYMTAB,
        symbols,
        Fields { link, info: 1, entry: 24, ..Fields::default() },
    );
    file.contents(".strtab", STRTAB, strings, Fields::default());
    file.finish()
}

impl File {
    fn contents(&mut self, name: &str, kind: u32, contents: Vec<u8>, fields: Fields) {
        self.bytes.resize(self.bytes.len().next_multiple_of(8), 0);
        self.section(name, kind, contents.len(), 8, fields);
        self.bytes.extend(contents);
    }

    /// Describes what is at the end of the file.
    fn section(&mut self, name: &str, kind: u32, size: usize, align: u64, fields: Fields) {
        let at = self.name(name);
        self.table.extend([at, kind].iter().flat_map(|word| word.to_le_bytes()));
        let longs = [fields.flags, fields.address, self.bytes.len() as u64, size as u64];
        self.table.extend(longs.iter().flat_map(|long| long.to_le_bytes()));
        self.table.extend([fields.link, fields.info].iter().flat_map(|word| word.to_le_bytes()));
        self.table.extend([align, fields.entry].iter().flat_map(|long| long.to_le_bytes()));
        self.count += 1;
    }

    fn name(&mut self, name: &str) -> u32 {
        let at = self.names.len() as u32;
        self.names.extend(name.bytes());
        self.names.push(0);
        at
    }

    fn finish(mut self) -> Vec<u8> {
        // The string table holds the name of its own section, too.
        let mut names = self.names.clone();
        names.extend(b".shstrtab\0");
        self.contents(".shstrtab", STRTAB, names, Fields::default());
        self.bytes.resize(self.bytes.len().next_multiple_of(8), 0);
        let table = self.bytes.len() as u64;
        self.bytes.append(&mut self.table);
        let mut head = Vec::with_capacity(HEAD);
        // 64 bits, little endian, version 1.
        head.extend(b"\x7fELF\x02\x01\x01");
        head.resize(16, 0);
        // It can be executed, as far as addresses go: they are final.
        head.extend([2, MACHINE].iter().flat_map(|half| half.to_le_bytes()));
        head.extend(1u32.to_le_bytes());
        head.extend([0, 0, table].iter().flat_map(|long| long.to_le_bytes()));
        head.extend(0u32.to_le_bytes());
        let sizes = [HEAD as u16, 0, 0, SECTION as u16, self.count, self.count - 1];
        head.extend(sizes.iter().flat_map(|half| half.to_le_bytes()));
        self.bytes[..HEAD].copy_from_slice(&head);
        self.bytes
    }
}
