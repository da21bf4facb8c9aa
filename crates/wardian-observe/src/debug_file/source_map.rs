//! Source maps (ECMA-426) of modules: columns of their only line are offsets in the file.

use super::DebugFileError;
use serde::Deserialize;
use std::path::Path;

/// A source map: its sources, and what is where.
#[derive(Debug)]
pub(super) struct SourceMap {
    pub(super) sources: Vec<String>,
    /// In the order of their offsets.
    pub(super) mappings: Vec<Mapping>,
}

/// From this offset on the code is of this place, or of none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mapping {
    pub(super) offset: u32,
    pub(super) place: Option<Place>,
}

/// Which of the sources, and where in it, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) source: usize,
    pub(super) line: u32,
    pub(super) column: u32,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct File {
    version: u32,
    #[serde(default)]
    source_root: Option<String>,
    #[serde(default)]
    sources: Vec<Option<String>>,
    #[serde(default)]
    mappings: String,
    #[serde(default)]
    sections: Option<serde_json::Value>,
}

pub(super) fn read(bytes: &[u8], folder: Option<&Path>) -> Result<SourceMap, DebugFileError> {
    let problem = |why: String| DebugFileError::SourceMap(why);
    // A first line that keeps browsers from running the file is allowed.
    let start =
        if bytes.starts_with(b")]}") { bytes.iter().position(|b| *b == b'\n') } else { None };
    let bytes = &bytes[start.unwrap_or(0)..];
    let file: File = serde_json::from_slice(bytes).map_err(|error| problem(error.to_string()))?;
    if file.version != 3 {
        return Err(problem(format!("its version is {}, not 3", file.version)));
    }
    if file.sections.is_some() {
        return Err(problem("it consists of several maps".into()));
    }
    let root = file.source_root.filter(|root| !root.is_empty());
    let source = |name: Option<String>| {
        let plain = name.unwrap_or_else(|| "<unknown>".into());
        let name = match &root {
            Some(root) => format!("{}/{plain}", root.trim_end_matches('/')),
            None => plain.clone(),
        };
        // Some compilers name a root that is there for browsers only.
        let beside = folder.into_iter().flat_map(|f| [f.join(&name), f.join(&plain)]);
        let beside = beside.into_iter().find(|path| path.is_file());
        let name = beside.map_or(name, |path| path.to_string_lossy().into_owned());
        // In DWARF a zero ends a name, and none is empty.
        let name = name.replace('\0', "");
        if name.is_empty() { "<unknown>".to_owned() } else { name }
    };
    let sources: Vec<String> = file.sources.into_iter().map(source).collect();
    let mappings = mappings(&file.mappings, sources.len());
    let mut mappings = mappings.ok_or_else(|| problem("its mappings are malformed".into()))?;
    mappings.sort_by_key(|mapping| mapping.offset);
    Ok(SourceMap { sources, mappings })
}

/// Reads mappings: differences to the one before, in numbers of base 64. None if they are malformed.
fn mappings(text: &str, sources: usize) -> Option<Vec<Mapping>> {
    let mut mappings = Vec::new();
    let (mut offset, mut source, mut line, mut column) = (0i64, 0i64, 0i64, 0i64);
    // A module has one line; what would be on others is of something else.
    for segment in text.split(';').next()?.split(',').filter(|segment| !segment.is_empty()) {
        let mut digits = segment.bytes();
        let mut numbers = Vec::new();
        while digits.len() > 0 {
            numbers.push(number(&mut digits)?);
        }
        offset += numbers[0];
        let place = match numbers[..] {
            [_] => None,
            [_, s, l, c] | [_, s, l, c, _] => {
                (source, line, column) = (source + s, line + l, column + c);
                let known = usize::try_from(source).ok().filter(|source| *source < sources)?;
                let one_more = |n: i64| u32::try_from(n).ok()?.checked_add(1);
                Some(Place { source: known, line: one_more(line)?, column: one_more(column)? })
            }
            _ => return None,
        };
        mappings.push(Mapping { offset: u32::try_from(offset).ok()?, place });
    }
    Some(mappings)
}

/// A number: five bits in each digit, the lowest first, the sign in the lowest of all.
fn number(digits: &mut impl Iterator<Item = u8>) -> Option<i64> {
    let mut value = 0i64;
    for shift in (0..35).step_by(5) {
        let digit = match digits.next()? {
            digit @ b'A'..=b'Z' => digit - b'A',
            digit @ b'a'..=b'z' => digit - b'a' + 26,
            digit @ b'0'..=b'9' => digit - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        value |= i64::from(digit & 31) << shift;
        if digit & 32 == 0 {
            return Some(if value & 1 == 0 { value >> 1 } else { -(value >> 1) });
        }
    }
    None
}
