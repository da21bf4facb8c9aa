//! Functions, lines and frames of code, in the format DWARF.

use super::elf::Section;
use super::{Function, Piece};
use gimli::write::{
    Address, AttributeValue, CallFrameInstruction, CieId, CommonInformationEntry, DebugFrame,
    Dwarf, EndianVec, FileId, FrameDescriptionEntry, FrameTable, LineProgram, LineString, Sections,
    Unit, UnitEntryId,
};
use gimli::{DwLang, Encoding, Format, LineEncoding, LittleEndian, Register};
use std::ops::Range;
use wardian_vm::addr::CodeAddr;
use wardian_vm::compiled::TextOffset;
use wardian_vm::unwind::CALLEE_SAVED;

type Result<T> = std::result::Result<T, gimli::write::Error>;

const ENCODING: Encoding = Encoding { format: Format::Dwarf32, version: 4, address_size: 8 };

/// The registers of this processor, by DWARF's numbers, and when a prologue has done what.
struct Processor {
    frame_pointer: Register,
    stack_pointer: Register,
    return_address: Register,
    /// Bytes on the stack when a function begins.
    at_entry: i32,
    /// After how many bytes the frame pointer is saved, and after how many it is that of the function.
    saves: u32,
    sets: u32,
}

const PROCESSOR: Processor = match cfg!(target_arch = "aarch64") {
    // stp x29, x30, [sp, #-16]!; mov x29, sp
    true => Processor {
        frame_pointer: Register(29),
        stack_pointer: Register(31),
        return_address: Register(30),
        at_entry: 0,
        saves: 4,
        sets: 8,
    },
    // push rbp; mov rbp, rsp
    false => Processor {
        frame_pointer: Register(6),
        stack_pointer: Register(7),
        return_address: Register(16),
        at_entry: 8,
        saves: 1,
        sets: 4,
    },
};

/// The sections that say all of these pieces.
pub(super) fn sections(pieces: &[Piece]) -> Result<Vec<Section>> {
    let mut dwarf = Dwarf::new();
    for piece in pieces {
        unit(&mut dwarf, piece);
    }
    let mut sections = Sections::new(EndianVec::new(LittleEndian));
    dwarf.write(&mut sections)?;
    let mut written = Vec::new();
    sections.for_each(|id, data: &EndianVec<LittleEndian>| {
        if !data.slice().is_empty() {
            written.push((id.name(), data.slice().to_vec()));
        }
        Result::Ok(())
    })?;
    let mut frames = DebugFrame(EndianVec::new(LittleEndian));
    frame_table(pieces).write_debug_frame(&mut frames)?;
    written.push((".debug_frame", frames.0.into_vec()));
    Ok(written)
}

/// Adds a unit with the functions of a piece.
fn unit(dwarf: &mut Dwarf, piece: &Piece) {
    let text = |text: &str| LineString::String(without_zeroes(text));
    let line = LineEncoding::default();
    let mut lines = LineProgram::new(ENCODING, line, text("."), None, text(&piece.name), None);
    let folder = lines.default_directory();
    let files: Vec<FileId> =
        piece.files.iter().map(|path| lines.add_file(text(path), folder, None)).collect();
    for function in &piece.functions {
        add_lines(&mut lines, &files, function);
    }
    let id = dwarf.units.add(Unit::new(ENCODING, lines));
    let unit = dwarf.units.get_mut(id);
    let root = unit.root();
    let string = |text: &str| AttributeValue::String(without_zeroes(text));
    let set = |unit: &mut Unit, entry: UnitEntryId, name: &str, range: &Range<CodeAddr>| {
        let entry = unit.get_mut(entry);
        entry.set(gimli::DW_AT_name, string(name));
        entry.set(
            gimli::DW_AT_low_pc,
            AttributeValue::Address(Address::Constant(range.start.as_usize() as u64)),
        );
        entry.set(gimli::DW_AT_high_pc, AttributeValue::Udata(CodeAddr::bytes_in(range) as u64));
    };
    set(unit, root, &piece.name, &piece.range);
    // Debuggers have to take names as they are, and C has no rules for them.
    unit.get_mut(root).set(gimli::DW_AT_language, AttributeValue::Language(DwLang(0x0c)));
    unit.get_mut(root).set(gimli::DW_AT_producer, string("wardian"));
    for function in &piece.functions {
        let entry = unit.add(root, gimli::DW_TAG_subprogram);
        set(unit, entry, &function.name, &function.range);
        unit.get_mut(entry).set(gimli::DW_AT_external, AttributeValue::Flag(true));
    }
}

/// Text in these formats ends with a zero.
fn without_zeroes(text: &str) -> Vec<u8> {
    text.bytes().filter(|byte| *byte != 0).collect()
}

/// Adds the lines of a function, if some are known. Its first line also counts for the code before.
fn add_lines(lines: &mut LineProgram, files: &[FileId], function: &Function) {
    let is_known = |row: &super::Row| Some((*row, files[row.file?]));
    let Some((first, mut file)) = function.rows.iter().find_map(is_known) else { return };
    lines.begin_sequence(Some(Address::Constant(function.range.start.as_usize() as u64)));
    let entry = super::Row { offset: TextOffset::FIRST, ..first };
    for row in std::iter::once(&entry).chain(&function.rows) {
        file = row.file.map_or(file, |position| files[position]);
        let written = lines.row();
        written.address_offset = u64::from(row.offset.as_u32());
        written.file = file;
        (written.line, written.column) = (u64::from(row.line), u64::from(row.column));
        lines.generate_row();
    }
    lines.end_sequence(CodeAddr::bytes_in(&function.range) as u64);
}

/// How the frames of all functions are left.
fn frame_table(pieces: &[Piece]) -> FrameTable {
    use CallFrameInstruction::{Cfa, Offset};
    let mut table = FrameTable::default();
    let mut common = CommonInformationEntry::new(ENCODING, 1, -8, PROCESSOR.return_address);
    common.add_instruction(Cfa(PROCESSOR.stack_pointer, PROCESSOR.at_entry));
    if PROCESSOR.at_entry > 0 {
        common.add_instruction(Offset(PROCESSOR.return_address, -8));
    }
    let common = table.add_cie(common);
    for function in pieces.iter().flat_map(|piece| &piece.functions) {
        add_frame(&mut table, common, function);
    }
    table
}

fn add_frame(table: &mut FrameTable, common: CieId, function: &Function) {
    use CallFrameInstruction::{Cfa, CfaOffset, CfaRegister, Offset, RememberState, RestoreState};
    let Processor { frame_pointer, stack_pointer, return_address, saves, sets, at_entry } =
        PROCESSOR;
    let start = Address::Constant(function.range.start.as_usize() as u64);
    let mut entry = FrameDescriptionEntry::new(start, CodeAddr::bytes_in(&function.range) as u32);
    entry.add_instruction(saves, CfaOffset(16));
    entry.add_instruction(saves, Offset(frame_pointer, -16));
    if at_entry == 0 {
        entry.add_instruction(saves, Offset(return_address, -8));
    }
    entry.add_instruction(sets, CfaRegister(frame_pointer));
    for (register, below) in function.saved.places() {
        let register = Register(CALLEE_SAVED[register.index()].into());
        entry.add_instruction(sets, Offset(register, -16 - below as i32));
    }
    for gone in &function.returns {
        entry.add_instruction(gone.start.as_u32(), RememberState);
        entry.add_instruction(gone.start.as_u32(), Cfa(stack_pointer, at_entry));
        entry.add_instruction(gone.start.as_u32(), CallFrameInstruction::SameValue(frame_pointer));
        for (register, _) in function.saved.places() {
            let register = Register(CALLEE_SAVED[register.index()].into());
            entry.add_instruction(gone.start.as_u32(), CallFrameInstruction::SameValue(register));
        }
        entry.add_instruction(gone.end.as_u32(), RestoreState);
    }
    table.add_fde(common, entry);
}
