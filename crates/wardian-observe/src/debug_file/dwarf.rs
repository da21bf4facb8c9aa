//! A source map as DWARF: one unit with a table of lines.

use super::source_map::{Mapping, SourceMap};
use gimli::write::{
    Address, AttributeValue, Dwarf, EndianVec, FileId, LineProgram, LineString, Sections, Unit,
};
use gimli::{DwLang, Encoding, Format, LineEncoding, LittleEndian, SectionId};
use std::ops::Range;

/// Sections that say what the map says of the code; none if it says nothing.
pub(super) fn sections(
    map: &SourceMap,
    code: &Range<usize>,
    bodies: &[Range<usize>],
) -> Option<Vec<(String, Vec<u8>)>> {
    let encoding = Encoding { format: Format::Dwarf32, version: 4, address_size: 4 };
    let text = |text: &str| LineString::String(text.as_bytes().to_vec());
    let (name, folder) = (text("source map"), text("."));
    let mut lines = LineProgram::new(encoding, LineEncoding::default(), folder, None, name, None);
    let folder = lines.default_directory();
    let files: Vec<FileId> =
        map.sources.iter().map(|source| lines.add_file(text(source), folder, None)).collect();
    let mut rows = 0;
    for body in bodies {
        rows += function(&mut lines, &files, &map.mappings, code.start, body);
    }
    if rows == 0 {
        return None;
    }
    let mut dwarf = Dwarf::new();
    let id = dwarf.units.add(Unit::new(encoding, lines));
    let unit = dwarf.units.get_mut(id);
    let root = unit.get_mut(unit.root());
    root.set(gimli::DW_AT_name, AttributeValue::String(b"source map".to_vec()));
    root.set(gimli::DW_AT_language, AttributeValue::Language(DwLang(0x8000)));
    root.set(gimli::DW_AT_low_pc, AttributeValue::Address(Address::Constant(0)));
    root.set(gimli::DW_AT_high_pc, AttributeValue::Udata(code.len() as u64));
    let mut sections = Sections::new(EndianVec::new(LittleEndian));
    dwarf.write(&mut sections).ok()?;
    let mut written = Vec::new();
    let all = sections.for_each(|id: SectionId, data: &EndianVec<LittleEndian>| {
        if !data.slice().is_empty() {
            written.push((id.name().to_owned(), data.slice().to_vec()));
        }
        Ok::<(), gimli::write::Error>(())
    });
    all.ok().map(|()| written)
}

/// Writes the lines of a function, and gives how many there are.
fn function(
    lines: &mut LineProgram,
    files: &[FileId],
    mappings: &[Mapping],
    code: usize,
    body: &Range<usize>,
) -> usize {
    let first = mappings.partition_point(|mapping| (mapping.offset as usize) < body.start);
    let inside = mappings[first..].iter().take_while(|m| (m.offset as usize) < body.end);
    let mut rows = 0;
    // Where the sequence begins that is being written.
    let mut start: Option<usize> = None;
    for mapping in inside {
        let at = mapping.offset as usize - code;
        let Some(place) = mapping.place else {
            if let Some(start) = start.take() {
                lines.end_sequence((at - start) as u64);
            }
            continue;
        };
        let start = *start.get_or_insert_with(|| {
            lines.begin_sequence(Some(Address::Constant(at as u64)));
            at
        });
        let row = lines.row();
        row.address_offset = (at - start) as u64;
        row.file = files[place.source];
        (row.line, row.column) = (u64::from(place.line), u64::from(place.column));
        lines.generate_row();
        rows += 1;
    }
    if let Some(start) = start {
        lines.end_sequence((body.end - code - start) as u64);
    }
    rows
}
