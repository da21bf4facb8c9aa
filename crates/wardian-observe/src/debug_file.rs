//! Names and debug information that are kept beside a module, in a file of their own.

mod dwarf;
mod source_map;
mod split;

pub use split::{units_in_other_files, with_split_units};
use std::fmt;
use std::ops::Range;
use std::path::Path;
use wasm_encoder::{CustomSection, Module as Encoder, RawSection};
use wasmparser::{BinaryReader, Parser, Payload};

/// A reference in a module to a file with its debug information.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DebugFileReference {
    /// `external_debug_info` (DWARF for WebAssembly): another module.
    Module(String),
    /// `sourceMappingURL`: a source map.
    SourceMap(String),
}

impl DebugFileReference {
    /// What a binary module refers to, if it does.
    pub fn of(module: &[u8]) -> Option<DebugFileReference> {
        let parts = Parts::of(module).ok()?;
        let text = |name| {
            let data = parts.custom(module, name)?;
            Some(BinaryReader::new(data, 0).read_string().ok()?.to_owned())
        };
        let map = || text("sourceMappingURL").map(DebugFileReference::SourceMap);
        text("external_debug_info").map(DebugFileReference::Module).or_else(map)
    }

    /// The reference, if it is the name of a file in the module's own folder. Modules are not trusted, so no other
    /// file is looked for.
    pub fn file_name(&self) -> Option<&str> {
        let (DebugFileReference::Module(name) | DebugFileReference::SourceMap(name)) = self;
        let name = name.strip_prefix("./").unwrap_or(name);
        let is_name = !name.is_empty() && name != ".." && !name.contains(['/', '\\', ':', '\0']);
        is_name.then_some(name)
    }
}

/// Why a file gives nothing for a module.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DebugFileError {
    /// One of the two is no binary module.
    Malformed(String),
    /// The file is of another module: what differs.
    OtherModule(String),
    /// There are neither names nor debug information in it.
    Empty,
    /// It is a source map that cannot be used: why.
    SourceMap(String),
    /// It has units of split debug information that cannot be used: why.
    Split(String),
}

impl fmt::Display for DebugFileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DebugFileError::Malformed(why) => write!(f, "it is no binary module: {why}"),
            DebugFileError::OtherModule(why) => write!(f, "it is not of this module: {why}"),
            DebugFileError::Empty => {
                f.write_str("it has neither a name section nor debug information")
            }
            DebugFileError::SourceMap(why) => write!(f, "it is no source map for a module: {why}"),
            DebugFileError::Split(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for DebugFileError {}

/// The module with the names and the debug information of a file beside: another binary module with the same code
/// section (or, without one, with the same `build_id`), a source map, or a package (`.dwp`) or file (`.dwo`) of units of
/// split DWARF that the module has skeletons of. What the module itself has of the kind is replaced; everything else stays. A source map becomes DWARF, whose lines all observers know. Sources that
/// are named relative to the map are looked for below `folder`.
///
/// # Errors
///
/// The file does not fit, or there is nothing in it.
pub fn with_debug_file(
    module: &[u8],
    file: &[u8],
    folder: Option<&Path>,
) -> Result<Vec<u8>, DebugFileError> {
    let parts = Parts::of(module)?;
    let sections = if file.starts_with(b"\0asm") {
        let other = Parts::of(file)?;
        if let Some(units) = split::sections(file, &other) {
            let joined = parts.with(module, &units?);
            let why = || "it has no unit that is missing in the module's debug information".into();
            return match split::has_one(&joined) {
                true => Ok(joined),
                false => Err(DebugFileError::OtherModule(why())),
            };
        }
        of_module(module, &parts, file, &other)?
    } else {
        let map = source_map::read(file, folder)?;
        dwarf::sections(&map, &parts.code, &parts.bodies).ok_or(DebugFileError::Empty)?
    };
    Ok(parts.with(module, &sections))
}

/// Custom sections: names and contents.
type Sections = Vec<(String, Vec<u8>)>;

/// The sections of the other module.
fn of_module(
    module: &[u8],
    parts: &Parts,
    file: &[u8],
    other: &Parts,
) -> Result<Sections, DebugFileError> {
    if other.bodies.is_empty() && !parts.bodies.is_empty() {
        let id = |parts: &Parts, bytes: &[u8]| parts.custom(bytes, "build_id").map(<[u8]>::to_vec);
        if id(parts, module).is_none() || id(parts, module) != id(other, file) {
            let why = "it has no code section that could be compared, and no equal build_id";
            return Err(DebugFileError::OtherModule(why.into()));
        }
    } else if module[parts.code.clone()] != file[other.code.clone()] {
        let code = |parts: &Parts| {
            format!("{} functions in {} bytes", parts.bodies.len(), parts.code.len())
        };
        let (one, two) = (code(parts), code(other));
        let why = match one == two {
            true => "the code is another one of the same size".to_owned(),
            false => format!("its code section has {two}, the module's has {one}"),
        };
        return Err(DebugFileError::OtherModule(why));
    }
    let wanted = other.customs.iter().filter(|(name, _)| is_symbols(name));
    let found: Vec<_> =
        wanted.map(|(name, range)| (name.clone(), file[range.clone()].to_vec())).collect();
    if found.is_empty() { Err(DebugFileError::Empty) } else { Ok(found) }
}

/// Whether a custom section is what such files are for.
fn is_symbols(name: &str) -> bool {
    name == "name" || name.starts_with(".debug_")
}

/// Sections that belong together.
#[derive(PartialEq)]
enum Kind {
    /// Debug information of the module.
    Debug,
    /// A package of units of it.
    Package,
}

impl Kind {
    fn of(name: &str) -> Option<Kind> {
        let is_package =
            name.ends_with(".dwo") || matches!(name, ".debug_cu_index" | ".debug_tu_index");
        match name.starts_with(".debug_") {
            true => Some(if is_package { Kind::Package } else { Kind::Debug }),
            false => None,
        }
    }
}

/// Where things are in a module.
#[derive(Default)]
struct Parts {
    /// All sections in order: number and contents.
    sections: Vec<(u8, Range<usize>)>,
    /// Custom ones: name and contents behind it.
    customs: Vec<(String, Range<usize>)>,
    /// The contents of the code section.
    code: Range<usize>,
    bodies: Vec<Range<usize>>,
}

impl Parts {
    fn of(bytes: &[u8]) -> Result<Parts, DebugFileError> {
        let mut parts = Parts::default();
        let range = |range: Range<u64>| range.start as usize..range.end as usize;
        for payload in Parser::new(0).parse_all(bytes) {
            let payload = payload.map_err(|e| DebugFileError::Malformed(e.to_string()))?;
            match &payload {
                Payload::CustomSection(section) => {
                    parts.customs.push((
                        section.name().to_owned(),
                        range(section.data_offset()..section.range().end),
                    ));
                }
                Payload::CodeSectionStart { unchecked_range, .. } => {
                    parts.code = range(unchecked_range.clone());
                }
                Payload::CodeSectionEntry(body) => parts.bodies.push(range(body.range())),
                _ => {}
            }
            if let Some((id, at)) = payload.as_section() {
                parts.sections.push((id, range(at)));
            }
            // The reader does not check the size of the code section before it has read it.
            if parts.code.end > bytes.len() {
                return Err(DebugFileError::Malformed("the code section is cut off".into()));
            }
        }
        Ok(parts)
    }

    fn custom<'a>(&self, bytes: &'a [u8], name: &str) -> Option<&'a [u8]> {
        let (_, range) = self.customs.iter().find(|(other, _)| other == name)?;
        bytes.get(range.clone())
    }

    /// The module with other custom sections in the place of those of the same names.
    fn with(&self, bytes: &[u8], more: &[(String, Vec<u8>)]) -> Vec<u8> {
        let mut out = Encoder::new();
        let mut customs = self.customs.iter();
        for (id, range) in &self.sections {
            let name = if *id == 0 { customs.next().map(|(name, _)| name) } else { None };
            // All of the kind is replaced: a table of another compilation would not fit.
            let is_replaced = |name: &String| {
                more.iter().any(|(other, _)| {
                    other == name || (Kind::of(name).is_some() && Kind::of(other) == Kind::of(name))
                })
            };
            if !name.is_some_and(is_replaced) {
                out.section(&RawSection { id: *id, data: &bytes[range.clone()] });
            }
        }
        for (name, data) in more {
            out.section(&CustomSection { name: name.into(), data: data.into() });
        }
        out.finish()
    }
}

#[cfg(test)]
mod tests;
