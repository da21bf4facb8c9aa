//! Go's `runtime.pclntab`, as Go 1.18 and later write it.

use super::image::{HIGHEST, Image};
use super::{GoAddr, GoPc};
use crate::{ConstOp, ElementItems, ElementSegment, ModuleInfo, SegmentMode};
use std::collections::HashMap;
use std::ops::Range;
use wardian_types::{FuncIndex, GuestAddr};

/// The first eight bytes: magic number, two zeroes, size of an instruction, size of a pointer.
const GO_1_18: u64 = u64::from_le_bytes([0xf0, 0xff, 0xff, 0xff, 0, 0, 1, 8]);
const GO_1_20: u64 = u64::from_le_bytes([0xf1, 0xff, 0xff, 0xff, 0, 0, 1, 8]);
/// More tables than this are not looked at; a program has one.
const CANDIDATES: usize = 16;
/// Bytes of a name.
const LONGEST: usize = 4096;
/// Where the addresses of functions begin, unless the program says otherwise.
const TEXT: u64 = 0x1000 << 16;
/// Words of the structure `moduledata`: the address of the code, and where versions of Go have the address
/// of data about functions.
const TEXT_WORD: u64 = 22;
const GOFUNC_WORDS: [u64; 7] = [40, 43, 38, 41, 42, 44, 39];
/// Functions whose inlined calls are looked at, to find out which of these words it is.
const TRIED: usize = 64;
/// Steps that a table of one function has at most: an address within a function has 16 bits.
const STEPS: usize = 1 << 17;
/// Steps of a table of sizes of frames: a frame has its size from the first point on.
const FRAME_STEPS: usize = 64;
/// Inlined calls in each other.
const DEEPEST: usize = 64;

/// Where the parts of the table are in memory.
#[derive(Debug)]
pub(super) struct Table {
    image: Image,
    names: GuestAddr,
    units: GuestAddr,
    files: GuestAddr,
    values: GuestAddr,
    functions: GuestAddr,
    /// Data about functions; none if it was not found.
    data: Option<GuestAddr>,
    /// Go 1.20 and later.
    has_start_line: bool,
    /// By index of a function of the module.
    entries: HashMap<FuncIndex, Entry>,
    /// Functions by the upper bits of their addresses.
    by_address: HashMap<u64, FuncIndex>,
}

/// A function of the table.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    /// Its address as Go counts them.
    pub(super) address: u64,
    /// Where its description is.
    record: GuestAddr,
}

/// Where a name is among the names.
#[derive(Clone, Copy)]
struct NameOffset(u32);

/// Where a table of values is among those tables; zero for none.
#[derive(Clone, Copy)]
struct ValuesOffset(u32);

/// Program counters with the same value in a table.
struct Run {
    value: i32,
    /// The program counter behind the last one.
    end: GoPc,
    /// How many runs there are up to this one.
    steps: usize,
}

/// A place in source code.
#[derive(Debug)]
pub(super) struct Place<'a> {
    pub(super) function: Option<&'a str>,
    pub(super) file: &'a str,
    pub(super) line: Option<u32>,
}

impl Table {
    /// The table of a module, if it has one that fits its functions.
    pub(super) fn find(bytes: &[u8], info: &ModuleInfo) -> Option<Table> {
        let image = Image::of(info);
        if image.is_empty() {
            return None;
        }
        let found = image.words(bytes, |word| word == GO_1_18 || word == GO_1_20);
        let found: Vec<GuestAddr> = found.take(CANDIDATES).collect();
        let slots = Slots::of(info);
        let mut image = Some(image);
        for at in found {
            let mut table = Table::header(bytes, image.take()?, at);
            if table.fill(bytes, at, info, &slots).is_some() {
                return Some(table);
            }
            image = Some(table.image);
        }
        None
    }

    fn header(bytes: &[u8], image: Image, at: GuestAddr) -> Table {
        let word = |i: u64| {
            let word = image.read(bytes, at.saturating_add(8 * i));
            u64::from_le_bytes(word.unwrap_or_default())
        };
        let part = |i: u64| at.saturating_add(word(i)).min(HIGHEST);
        let (names, units, files) = (part(4), part(5), part(6));
        let (values, functions) = (part(7), part(8));
        let has_start_line = word(0) == GO_1_20;
        Table {
            image,
            names,
            units,
            files,
            values,
            functions,
            data: None,
            has_start_line,
            entries: HashMap::new(),
            by_address: HashMap::new(),
        }
    }

    /// Reads which functions there are. None if this is no table, or not of these functions.
    fn fill(
        &mut self,
        bytes: &[u8],
        at: GuestAddr,
        info: &ModuleInfo,
        slots: &Slots<'_>,
    ) -> Option<()> {
        let count = self.u64(bytes, at.saturating_add(8))?;
        if count == 0 || count > info.bodies.len() as u64 {
            return None;
        }
        let module = self.module_data(bytes, at);
        // Newer versions have no address in the header, and then none at all: they count functions.
        let text = self.u64(bytes, at.saturating_add(24)).filter(|text| *text != 0);
        let text = text.or_else(|| self.u64(bytes, module?.checked_add(8 * TEXT_WORD)?));
        let text = text.unwrap_or(TEXT);
        let by_address = |offset: u32| text.checked_add(offset.into());
        let by_number = |offset: u32| Some(u64::from(offset) << 16);
        // Tables that fit hardly a function are of something else.
        if self.read_entries(bytes, count, info, slots, by_address) * 2 < count
            && self.read_entries(bytes, count, info, slots, by_number) * 2 < count
        {
            return None;
        }
        self.by_address = self.entries.iter().map(|(f, entry)| (entry.address >> 16, *f)).collect();
        self.data = module.and_then(|module| self.function_data(bytes, module));
        Some(())
    }

    /// Reads the table of functions, where `address` says what its offsets are, and gives how many there are.
    fn read_entries(
        &mut self,
        bytes: &[u8],
        count: u64,
        info: &ModuleInfo,
        slots: &Slots<'_>,
        address: impl Fn(u32) -> Option<u64>,
    ) -> u64 {
        self.entries.clear();
        for row in (0..count).map(|i| self.functions.saturating_add(8 * i)) {
            let (offset, record) = (self.u32(bytes, row), self.u32(bytes, row.saturating_add(4)));
            let Some((offset, record)) = offset.zip(record) else { break };
            let Some(address) = address(offset) else { continue };
            let func = u32::try_from(address >> 16).ok().and_then(|slot| slots.function(slot));
            if let Some(func) = func.filter(|func| info.defined_function(*func).is_some()) {
                let record = self.functions.saturating_add(record.into());
                self.entries.entry(func).or_insert(Entry { address, record });
            }
        }
        self.entries.len() as u64
    }

    /// The address of the structure that begins with the addresses of the table and of its names.
    fn module_data(&self, bytes: &[u8], at: GuestAddr) -> Option<GuestAddr> {
        let names = self.names;
        let mut found = self.image.words(bytes, move |word| GuestAddr::from_u64(word) == at);
        found.find(|found| self.address(bytes, found.saturating_add(8)) == Some(names))
    }

    /// Which word of it is the address of data about functions: the one by which most inlined calls make
    /// sense.
    fn function_data(&self, bytes: &[u8], module: GuestAddr) -> Option<GuestAddr> {
        let inlined = |entry: &&Entry| self.inlined_at(bytes, **entry).is_some();
        let tried: Vec<&Entry> = self.entries.values().filter(inlined).take(TRIED).collect();
        let makes_sense = |base: GuestAddr| {
            let call = |entry: &&&Entry| {
                let at = self.inlined_at(bytes, ***entry).map(u64::from);
                let call = at.and_then(|at| self.call(bytes, base.checked_add(at)?));
                call.is_some_and(|(name, _)| self.name(bytes, name).is_some())
            };
            tried.iter().filter(call).count()
        };
        let words = GOFUNC_WORDS.iter();
        let words = words.filter_map(|word| self.address(bytes, module.saturating_add(8 * word)));
        let counted = words.map(|base| (makes_sense(base), base));
        // Of equals the first.
        let best = counted.reduce(|best, other| if other.0 > best.0 { other } else { best })?;
        (best.0 * 2 > tried.len()).then_some(best.1)
    }

    /// A function of the module.
    pub(super) fn entry(&self, func: FuncIndex) -> Option<Entry> {
        self.entries.get(&func).copied()
    }

    /// Its name.
    pub(super) fn function_name<'a>(&self, bytes: &'a [u8], entry: Entry) -> Option<&'a str> {
        self.name(bytes, NameOffset(self.u32(bytes, entry.record.saturating_add(4))?))
    }

    /// The function that an address is in, and the number of the point in it.
    pub(super) fn function_at(&self, address: u64) -> Option<(FuncIndex, GoPc)> {
        let func = *self.by_address.get(&(address >> 16))?;
        Some((func, GoPc::from_u32((address & 0xffff) as u32)))
    }

    /// The addresses that functions have, from the lowest on.
    pub(super) fn addresses(&self) -> Option<Range<GoAddr>> {
        let (low, high) = (self.by_address.keys().min()?, self.by_address.keys().max()?);
        let address = |upper: u64| u32::try_from(upper.checked_shl(16)?).ok().map(GoAddr::from_u32);
        Some(address(*low)?..address(high + 1).unwrap_or(GoAddr::from_u32(u32::MAX)))
    }

    /// Bytes between the stack pointer and the address that the function returns to. At a number past all points it is
    /// that of the last one.
    pub(super) fn frame_size(&self, bytes: &[u8], entry: Entry, pc: GoPc) -> Option<i32> {
        let table = ValuesOffset(self.u32(bytes, entry.record.saturating_add(16))?);
        self.run(bytes, table, pc, FRAME_STEPS).map(|run| run.value)
    }

    /// Whether nothing calls the function on a goroutine's stack, as its description says.
    pub(super) fn is_outermost(&self, bytes: &[u8], entry: Entry) -> bool {
        let flags = entry.record.saturating_add(if self.has_start_line { 41 } else { 37 });
        self.image.read(bytes, flags).is_some_and(|[flags]| flags & 1 != 0)
    }

    /// Where it begins.
    pub(super) fn start<'a>(&self, bytes: &'a [u8], entry: Entry) -> Option<Place<'a>> {
        let (mut place, _) = self.place(bytes, entry, GoPc::FIRST)?;
        if self.has_start_line {
            place.line = self.u32(bytes, entry.record.saturating_add(36)).filter(|line| *line > 0);
        }
        place.function = self.function_name(bytes, entry);
        Some(place)
    }

    /// The places that a program counter stands for, the innermost inlined call first. `work` is what it may
    /// cost, and then what is left.
    pub(super) fn places<'a>(
        &self,
        bytes: &'a [u8],
        entry: Entry,
        mut pc: GoPc,
        work: &mut u64,
    ) -> Option<Vec<Place<'a>>> {
        let mut places = Vec::new();
        for _ in 0..DEEPEST {
            let (mut place, steps) = self.place(bytes, entry, pc)?;
            *work = work.checked_sub(steps as u64 + place.file.len() as u64 + 16)?;
            let call = self.inlined_call(bytes, entry, pc);
            let Some((name, parent)) = call else {
                place.function = self.function_name(bytes, entry);
                places.push(place);
                return Some(places);
            };
            place.function = self.name(bytes, name);
            places.push(place);
            pc = parent;
        }
        Some(places)
    }

    /// File and line of a program counter.
    fn place<'a>(&self, bytes: &'a [u8], entry: Entry, pc: GoPc) -> Option<(Place<'a>, usize)> {
        let record = entry.record;
        let (file, a) =
            self.value(bytes, ValuesOffset(self.u32(bytes, record.saturating_add(20))?), pc)?;
        let (line, b) =
            self.value(bytes, ValuesOffset(self.u32(bytes, record.saturating_add(24))?), pc)?;
        let unit = u64::from(self.u32(bytes, record.saturating_add(32))?)
            + u64::from(u32::try_from(file).ok()?);
        let file = self.u32(bytes, self.units.checked_add(4 * unit)?)?;
        let file = self.string(bytes, self.files.checked_add(file.into())?)?;
        let line = u32::try_from(line).ok().filter(|line| *line > 0);
        Some((Place { function: None, file, line }, a + b))
    }

    /// Name and place of the inlined call that a program counter is in.
    fn inlined_call(&self, bytes: &[u8], entry: Entry, pc: GoPc) -> Option<(NameOffset, GoPc)> {
        let tree = self.data?.checked_add(self.inlined_at(bytes, entry)?.into())?;
        let (index, _) = self.value(bytes, self.inlined_index(bytes, entry)?, pc)?;
        let size = if self.has_start_line { 16 } else { 20 };
        let index = u64::try_from(index).ok()?;
        self.call(bytes, tree.checked_add(size * index)?)
    }

    /// Name and place of a call in a tree of inlined calls.
    fn call(&self, bytes: &[u8], at: GuestAddr) -> Option<(NameOffset, GoPc)> {
        let (name, parent) = if self.has_start_line { (4, 8) } else { (12, 16) };
        let name = self.u32(bytes, at.checked_add(name)?)?;
        let parent = self.u32(bytes, at.checked_add(parent)?)?;
        (parent <= 0xffff && name > 0).then_some((NameOffset(name), GoPc::from_u32(parent)))
    }

    /// The table that says in which inlined call each program counter is.
    fn inlined_index(&self, bytes: &[u8], entry: Entry) -> Option<ValuesOffset> {
        let count = self.u32(bytes, entry.record.saturating_add(28))?;
        let value = self.u32(bytes, self.after_record(entry).saturating_add(8))?;
        (count > 2 && value != 0).then_some(ValuesOffset(value))
    }

    /// Where the tree of inlined calls is in the data about functions.
    fn inlined_at(&self, bytes: &[u8], entry: Entry) -> Option<u32> {
        self.inlined_index(bytes, entry)?;
        let last = entry.record.saturating_add(self.record_size() - 1);
        let [count] = self.image.read(bytes, last)?;
        let values = u64::from(self.u32(bytes, entry.record.saturating_add(28))?);
        let tree = self.u32(bytes, self.after_record(entry).saturating_add(4 * values + 12))?;
        (count > 3 && tree != u32::MAX).then_some(tree)
    }

    fn after_record(&self, entry: Entry) -> GuestAddr {
        entry.record.saturating_add(self.record_size())
    }

    /// Bytes of a function's description, without what follows it in some number.
    fn record_size(&self) -> u64 {
        if self.has_start_line { 44 } else { 40 }
    }

    /// The value that a table has for a program counter, and how many steps were made. A table consists of
    /// pairs: how much the value changes, and for how many program counters.
    fn value(&self, bytes: &[u8], table: ValuesOffset, pc: GoPc) -> Option<(i32, usize)> {
        let run = self.run(bytes, table, pc, STEPS).filter(|run| pc < run.end)?;
        Some((run.value, run.steps))
    }

    /// The run of program counters with the same value that one is in, or the last run.
    fn run(&self, bytes: &[u8], table: ValuesOffset, pc: GoPc, most: usize) -> Option<Run> {
        if table.0 == 0 {
            return None;
        }
        let mut at = self.values.checked_add(table.0.into())?;
        let mut run = Run { value: -1, end: GoPc::FIRST, steps: 0 };
        while run.steps < most {
            let change = self.varint(bytes, &mut at)?;
            if change == 0 && run.steps > 0 {
                return Some(run);
            }
            let change = (change >> 1).cast_signed() ^ -((change & 1).cast_signed());
            let end = GoPc::from_u32(run.end.as_u32().checked_add(self.varint(bytes, &mut at)?)?);
            run = Run { value: run.value.wrapping_add(change), end, steps: run.steps + 1 };
            if pc < end {
                return Some(run);
            }
        }
        None
    }

    fn varint(&self, bytes: &[u8], at: &mut GuestAddr) -> Option<u32> {
        let mut value = 0;
        for shift in (0..35).step_by(7) {
            let [byte] = self.image.read(bytes, *at)?;
            *at = at.saturating_add(1);
            value |= u32::from(byte & 0x7f).checked_shl(shift)?;
            if byte < 0x80 {
                return Some(value);
            }
        }
        None
    }

    fn name<'a>(&self, bytes: &'a [u8], NameOffset(offset): NameOffset) -> Option<&'a str> {
        self.string(bytes, self.names.checked_add(offset.into())?)
    }

    /// Text up to a zero, which is not empty.
    fn string<'a>(&self, bytes: &'a [u8], at: GuestAddr) -> Option<&'a str> {
        let text = self.image.from(bytes, at);
        let text = &text[..text.len().min(LONGEST)];
        // The zero is left out if a segment ends there.
        let end = text.iter().position(|byte| *byte == 0).unwrap_or(text.len());
        str::from_utf8(&text[..end]).ok().filter(|text| !text.is_empty())
    }

    fn u32(&self, bytes: &[u8], at: GuestAddr) -> Option<u32> {
        self.image.read(bytes, at).map(u32::from_le_bytes)
    }

    fn address(&self, bytes: &[u8], at: GuestAddr) -> Option<GuestAddr> {
        self.u64(bytes, at).map(GuestAddr::from_u64)
    }

    fn u64(&self, bytes: &[u8], at: GuestAddr) -> Option<u64> {
        self.image.read(bytes, at).map(u64::from_le_bytes)
    }
}

/// The functions in table 0, where Go has them by the upper bits of their addresses.
struct Slots<'a>(Vec<(u32, &'a ElementItems)>);

impl Slots<'_> {
    fn of(info: &ModuleInfo) -> Slots<'_> {
        let segment = |segment: &ElementSegment| match &segment.mode {
            SegmentMode::Active { index, offset } if index.as_u32() == 0 => match offset.ops[..] {
                [ConstOp::I32(at)] => Some(at.cast_unsigned()),
                _ => None,
            },
            _ => None,
        };
        let found = info.elements.iter().filter_map(|e| Some((segment(e)?, &e.items)));
        let mut found: Vec<_> = found.collect();
        found.sort_by_key(|(first, _)| *first);
        Slots(found)
    }

    fn function(&self, slot: u32) -> Option<FuncIndex> {
        let after = self.0.partition_point(|(first, _)| *first <= slot);
        let (first, items) = self.0.get(after.checked_sub(1)?)?;
        let at = (slot - first) as usize;
        match items {
            ElementItems::Functions(functions) => functions.get(at).copied(),
            ElementItems::Expressions(items) => match items.get(at)?.ops[..] {
                [ConstOp::RefFunc(func)] => Some(func),
                _ => None,
            },
        }
    }
}
