//! Reading debug sections.
//!
//! These sections are part of a module that nobody trusts. `addr2line` interprets them; what it reads is
//! metered, how deep it recurses is looked at before, and what lookups cost is counted. Past a limit in
//! proportion to the sections there is no debug information: [`DebugInfo::TooComplex`].

use super::metered::Metered;
use super::split::{PACKAGE, Rests, SplitUnit};
use super::{DebugInfo, SourceLocation, shape};
use addr2line::gimli::{self, AbbreviationsCacheStrategy, SectionId};
use addr2line::{LookupContinuation, LookupResult};
use std::cell::OnceCell;
use std::collections::HashMap;
use std::fmt;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard};
use wardian_types::CodeOffset;

/// Debug information of a module (DWARF for WebAssembly tool convention: addresses are offsets
/// into the code section).
pub struct Dwarf {
    // The context fills its caches as it is asked, hence the lock.
    state: Mutex<State>,
}

struct State {
    known: DebugInfo,
    /// None if nothing is to be known.
    reader: Option<Reader>,
    /// Whether more was read of a section than is allowed.
    exhausted: Arc<AtomicBool>,
    /// What lookups may still cost.
    work: u64,
}

pub(super) struct Reader {
    pub(super) dwarf: Arc<gimli::Dwarf<Metered>>,
    /// What of the units is in a package.
    pub(super) rests: Rests,
    pub(super) exhausted: Arc<AtomicBool>,
    context: addr2line::Context<Metered>,
    /// Whether ranges of code can be asked for, once it is known.
    in_order: OnceCell<bool>,
    names: FunctionNames,
    claims: shape::Claims,
}

/// What lookups may cost, and how much more for each byte of debug information. A unit is about two
/// nanoseconds: one range of a unit that is looked at.
const WORK: u64 = 1 << 30;
const WORK_PER_BYTE: u64 = 64;
/// What it costs to ask one unit.
const ASKED: u64 = 32;
/// What a place that is found costs, and those that are inlined in each other deeper than programs are:
/// callers keep places.
const FOUND: u64 = 16;
const FOUND_DEEP: u64 = 256;
const DEEP: usize = 16;
/// So many bytes of names are copied for one unit, and a byte of a name costs so much when it is first
/// demangled.
const COPIED: usize = 16;
const DEMANGLED: u64 = 32;

impl Dwarf {
    /// Reads debug sections; `section` gives the contents of a custom section by name.
    pub fn read<'a>(section: impl Fn(&str) -> Option<&'a [u8]>) -> Dwarf {
        let exhausted = Arc::new(AtomicBool::new(false));
        let absent = section(".debug_line").is_none() || section(".debug_info").is_none();
        let names = SECTIONS.iter().map(|id| id.name());
        let names = names.chain(PACKAGE.iter().filter_map(|id| id.dwo_name()));
        let size = names.filter_map(&section).map(<[u8]>::len).sum();
        let read = match absent {
            true => Err(DebugInfo::Absent),
            false => Reader::new(&Loader { section, size, exhausted: &exhausted }),
        };
        let (known, reader) = match read {
            Ok(reader) => (DebugInfo::Present, Some(reader)),
            Err(why) => (why, None),
        };
        let work = WORK + WORK_PER_BYTE * size as u64;
        Dwarf { state: Mutex::new(State { known, reader, exhausted, work }) }
    }

    /// Whether source lines are known. Lookups may find out that the debug information is too complex.
    pub fn info(&self) -> DebugInfo {
        self.state().known
    }

    /// Where a code-section offset comes from: the innermost inlined function first. Empty if
    /// nothing is known.
    pub fn locate(&self, offset: CodeOffset) -> Vec<SourceLocation> {
        let offset = u64::from(offset.as_u32());
        self.state().look_up(offset..offset + 1, |reader, work| {
            let mut found = Vec::new();
            let mut lookup = reader.context.find_frames(offset);
            let frames = loop {
                match lookup {
                    LookupResult::Output(frames) => break frames,
                    LookupResult::Load { load, continuation } => {
                        let rest = reader.rests.get(load.dwo_id, &reader.dwarf).ok()?;
                        lookup = continuation.resume(rest);
                    }
                }
            };
            let Ok(mut frames) = frames else { return Some(found) };
            while let Ok(Some(frame)) = frames.next() {
                let Some(location) = frame.location else { continue };
                let Some(file) = location.file else { continue };
                let function = match &frame.function {
                    Some(function) => Some(reader.names.get(function.name.rest(), work)?),
                    None => None,
                };
                let bytes = file.len() + function.as_ref().map_or(0, String::len);
                let place = if found.len() < DEEP { FOUND } else { FOUND_DEEP };
                *work = work.checked_sub(place + (bytes / COPIED) as u64)?;
                let (line, column) = (location.line, location.column);
                let file = file.to_owned();
                found.push(SourceLocation { function, file, line, column, approximate: false });
            }
            Some(found)
        })
    }

    /// Reports which source files a range of code-section offsets comes from, and how many of its bytes each
    /// time; of inlined code the file of the innermost function. Bytes without debug information are left
    /// out.
    pub fn files(&self, range: Range<CodeOffset>, reported: &mut dyn FnMut(&str, u32)) {
        let (mut at, end) = (u64::from(range.start.as_u32()), u64::from(range.end.as_u32()));
        self.state().look_up(at..end, |reader, work| {
            if !reader.in_order() {
                return Some(());
            }
            let Ok(found) = reader.context.find_location_range(at, end) else { return Some(()) };
            for (start, len, location) in found {
                *work = work.checked_sub(FOUND)?;
                // Broken debug information may say that ranges overlap: no byte counts twice.
                let next = start.saturating_add(len).min(end);
                let bytes = next.saturating_sub(start.max(at));
                at = at.max(next);
                if let (Some(file), Ok(bytes @ 1..)) = (location.file, u32::try_from(bytes)) {
                    *work = work.checked_sub((file.len() / COPIED) as u64)?;
                    reported(file, bytes);
                }
            }
            Some(())
        });
    }

    /// The units of which only a skeleton is in the module's own sections.
    pub(super) fn split_units(&self) -> Vec<SplitUnit> {
        let state = &mut *self.state();
        match state.reader.as_mut().map(Reader::split_units) {
            Some(Ok(units)) => units,
            Some(Err(shape::TooComplex)) => state.give_up(),
            None => Vec::new(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|e| e.into_inner())
    }
}

impl State {
    /// Asks for what is known of some code. The question counts what it costs and answers nothing when that
    /// is too much, and then nothing is known from then on.
    fn look_up<T: Default>(
        &mut self,
        range: Range<u64>,
        question: impl FnOnce(&mut Reader, &mut u64) -> Option<T>,
    ) -> T {
        let Some(reader) = &mut self.reader else { return T::default() };
        let (looked_at, asked) = reader.claims.searched(range.start, range.end);
        let answer = self.work.checked_sub(1 + looked_at + ASKED * asked).and_then(|work| {
            self.work = work;
            question(reader, &mut self.work)
        });
        match answer {
            Some(answer) if !self.exhausted.load(Relaxed) => answer,
            _ => self.give_up(),
        }
    }

    /// Nothing is known from now on.
    fn give_up<T: Default>(&mut self) -> T {
        (self.known, self.reader) = (DebugInfo::TooComplex, None);
        T::default()
    }
}

/// Names of functions that were demangled, by where their mangled forms lie and how long these are.
#[derive(Default)]
struct FunctionNames(HashMap<(usize, usize), String>);

impl FunctionNames {
    /// The readable form of a name in a section.
    fn get(&mut self, name: &[u8], work: &mut u64) -> Option<String> {
        let place = (name.as_ptr() as usize, name.len());
        if let Some(known) = self.0.get(&place) {
            return Some(known.clone());
        }
        let readable = crate::demangle(&String::from_utf8_lossy(name));
        *work = work.checked_sub(DEMANGLED * readable.len() as u64)?;
        self.0.insert(place, readable.clone());
        Some(readable)
    }
}

/// The sections that are read. Others are not even copied.
const SECTIONS: [SectionId; 9] = [
    SectionId::DebugAbbrev,
    SectionId::DebugAddr,
    SectionId::DebugInfo,
    SectionId::DebugLine,
    SectionId::DebugLineStr,
    SectionId::DebugRanges,
    SectionId::DebugRngLists,
    SectionId::DebugStr,
    SectionId::DebugStrOffsets,
];

/// Where sections come from, and what all that are read of them have in common.
pub(super) struct Loader<'l, S> {
    section: S,
    /// The size of all.
    size: usize,
    exhausted: &'l Arc<AtomicBool>,
}

impl<'a, S: Fn(&str) -> Option<&'a [u8]>> Loader<'_, S> {
    /// A section of this kind, by its name in the module.
    pub(super) fn load(&self, id: SectionId, name: &str) -> Result<Metered, gimli::Error> {
        let bytes = (self.section)(name).unwrap_or(&[]);
        Ok(Metered::new(bytes, limit(id, bytes.len(), self.size), self.exhausted))
    }

    /// One that is not read.
    pub(super) fn absent(&self) -> Metered {
        // Taking nothing out of nothing is reading, too.
        Metered::new(&[], limit(SectionId::DebugStr, 0, self.size), self.exhausted)
    }
}

impl Reader {
    fn new<'a>(loader: &Loader<impl Fn(&str) -> Option<&'a [u8]>>) -> Result<Reader, DebugInfo> {
        let exhausted = loader.exhausted;
        let load = |id: SectionId| match SECTIONS.contains(&id) {
            true => loader.load(id, id.name()),
            false => Ok(loader.absent()),
        };
        let why = |_: gimli::Error| match exhausted.load(Relaxed) {
            true => DebugInfo::TooComplex,
            false => DebugInfo::Unreadable,
        };
        let mut dwarf = gimli::Dwarf::load(load).map_err(why)?;
        dwarf.populate_abbreviations_cache(AbbreviationsCacheStrategy::All);
        let claims = shape::examine(&dwarf).map_err(|_| DebugInfo::TooComplex)?;
        let dwarf = Arc::new(dwarf);
        let context = addr2line::Context::from_arc_dwarf(dwarf.clone()).map_err(why)?;
        match exhausted.load(Relaxed) {
            true => Err(DebugInfo::TooComplex),
            false => Ok(Reader {
                dwarf,
                rests: Rests::load(loader),
                exhausted: exhausted.clone(),
                context,
                in_order: OnceCell::new(),
                names: FunctionNames::default(),
                claims,
            }),
        }
    }

    /// Whether addresses of lines ascend in each sequence. Looking up the lines of a range relies on that.
    fn in_order(&self) -> bool {
        *self.in_order.get_or_init(|| shape::lines_ascend(&self.dwarf))
    }
}

/// How many bytes of a section may be read. Its entries are read a few times: to look at their shape, to
/// find units, then functions, then what is inlined in them. Strings are referred to from other sections.
fn limit(id: SectionId, len: usize, of_all: usize) -> u64 {
    const ALWAYS: u64 = 64 << 10;
    let times = match id {
        // Each table once, though several units use it.
        SectionId::DebugAbbrev => 2 * len,
        SectionId::DebugLine => 6 * len,
        SectionId::DebugRanges | SectionId::DebugRngLists => 6 * len,
        SectionId::DebugInfo => 16 * len,
        _ => 16 * of_all,
    };
    ALWAYS + times as u64
}

impl fmt::Debug for Dwarf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Dwarf")
    }
}
