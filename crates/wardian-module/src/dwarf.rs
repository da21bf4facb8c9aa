//! Source lines of code offsets, from the module's DWARF sections.

use addr2line::gimli;
use std::ops::Range;
use std::sync::{Arc, Mutex};

type Reader = gimli::EndianArcSlice<gimli::LittleEndian>;

/// Debug information of a module (DWARF for WebAssembly tool convention: addresses are offsets
/// into the code section).
pub struct Dwarf {
    // The context fills its caches as it is asked, hence the lock.
    context: Mutex<addr2line::Context<Reader>>,
}

/// A place in a source file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceLocation {
    /// Function, demangled; with inlined code, the function that was inlined.
    pub function: Option<String>,
    /// Path of the file as the compiler recorded it.
    pub file: String,
    /// Line, from 1; absent if the compiler recorded none.
    pub line: Option<u32>,
    /// Column, from 1.
    pub column: Option<u32>,
}

impl Dwarf {
    /// Reads debug sections; `section` gives the contents of a custom section by name.
    ///
    /// Returns nothing if there are none or they cannot be read.
    pub fn read<'a>(section: impl Fn(&str) -> Option<&'a [u8]>) -> Option<Dwarf> {
        section(".debug_line")?;
        section(".debug_info")?;
        let load = |id: gimli::SectionId| -> Result<Reader, gimli::Error> {
            let bytes = section(id.name()).unwrap_or(&[]);
            Ok(Reader::new(Arc::from(bytes), gimli::LittleEndian))
        };
        let dwarf = gimli::Dwarf::load(load).ok()?;
        let context = addr2line::Context::from_dwarf(dwarf).ok()?;
        Some(Dwarf { context: Mutex::new(context) })
    }

    /// Where a code-section offset comes from: the innermost inlined function first. Empty if
    /// nothing is known.
    pub fn locate(&self, offset: u32) -> Vec<SourceLocation> {
        let context = self.context.lock().unwrap_or_else(|e| e.into_inner());
        let Ok(mut frames) = context.find_frames(u64::from(offset)).skip_all_loads() else {
            return Vec::new();
        };
        let mut found = Vec::new();
        while let Ok(Some(frame)) = frames.next() {
            let function =
                frame.function.and_then(|f| f.raw_name().ok().map(|n| crate::demangle(n.as_ref())));
            let Some(location) = frame.location else { continue };
            let Some(file) = location.file else { continue };
            found.push(SourceLocation {
                function,
                file: file.to_owned(),
                line: location.line,
                column: location.column,
            });
        }
        found
    }
}

impl Dwarf {
    /// Tells which source files a range of code-section offsets comes from, and how many of its bytes each
    /// time; of inlined code the file of the innermost function. Bytes of which nothing is known are not
    /// told of.
    pub fn files(&self, range: Range<u32>, told: &mut dyn FnMut(&str, u32)) {
        let context = self.context.lock().unwrap_or_else(|e| e.into_inner());
        let (mut at, end) = (u64::from(range.start), u64::from(range.end));
        let Ok(found) = context.find_location_range(at, end) else { return };
        for (start, len, location) in found {
            // Broken debug information may say that ranges overlap: no byte counts twice.
            let next = start.saturating_add(len).min(end);
            let bytes = next.saturating_sub(start.max(at));
            at = at.max(next);
            if let (Some(file), Ok(bytes @ 1..)) = (location.file, u32::try_from(bytes)) {
                told(file, bytes);
            }
        }
    }
}

impl std::fmt::Debug for Dwarf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Dwarf")
    }
}
