//! Reading arguments and answers as the table says.
//!
//! Nothing that a guest passes is trusted: what is not in its memory is shown as the numbers that were
//! passed, and of what is long only the beginning is read.

use super::System;
use crate::trace::value::{Fields, Style, integer};
use std::io::Write;
use wardian::inspect::{InternalModule, MemoryView};
use wardian_types::wasi::names::{
    CLOCK, CLOCK_FLAGS, ERRNO, EVENT, FDFLAGS, FILETYPE, RIGHTS, UNSTABLE_WHENCE, WHENCE,
};
use wardian_types::wasi::{Buffer, Output, Param, ResultKind};

/// Items of a list that are shown.
const ITEMS: u32 = 32;
/// Vectors whose lengths are added up.
const VECTORS: u32 = 1024;
/// Rights that are shown by name; more are a number.
const FEW_RIGHTS: u32 = 4;

/// Reads the memory that a guest's pointers mean.
pub(in crate::trace) struct Reader<'a> {
    pub(super) memory: Option<MemoryView<'a>>,
    pub(super) max_string: usize,
}

impl<'a> Reader<'a> {
    /// WASI's functions use the memory that the calling instance exports.
    pub(in crate::trace) fn new(caller: Option<InternalModule<'a>>, max: usize) -> Reader<'a> {
        let memory = caller.and_then(|caller| caller.memory(caller.memory_index("memory")?));
        Reader { memory, max_string: max }
    }

    /// Writes arguments. What the call answers is not there yet.
    pub(in crate::trace) fn arguments(&self, call: System, slots: &[u64], fields: &mut Fields<'_>) {
        let mut at = 0;
        for (name, read) in call.function.params {
            let own = &slots[at.min(slots.len())..];
            at += read.slots().len();
            self.argument(call, name, *read, own, slots, fields);
        }
    }

    fn argument(
        &self,
        call: System,
        name: &str,
        read: Param,
        own: &[u64],
        all: &[u64],
        fields: &mut Fields<'_>,
    ) {
        let slot = own.first().copied().unwrap_or_default();
        let second = own.get(1).map_or(0, |slot| *slot as u32);
        if let Param::Out(_) | Param::Shown = read {
            return;
        }
        fields.name(name);
        match read {
            Param::Int => integer(fields.out, slot as u32),
            Param::Long => integer(fields.out, slot),
            Param::Delta => integer(fields.out, slot as i64),
            Param::Hex => fields.word(format_args!("{:#x}", slot as u32)),
            Param::Flags(names) => flags(fields, u64::from(slot as u32), names),
            Param::Rights => rights(fields, slot),
            Param::Enum(names) => one_of(fields, slot as u32, names),
            Param::Whence => {
                let names = if call.unstable { UNSTABLE_WHENCE } else { WHENCE };
                one_of(fields, slot as u32, names);
            }
            Param::String => {
                if !self.string(fields, slot as u32, second) {
                    raw(fields, slot as u32, second);
                }
            }
            Param::Data => self.data(fields, slot as u32, second),
            Param::Subscriptions(count) => {
                let count = all.get(count).map_or(0, |slot| *slot as u32);
                self.subscriptions(fields, slot as u32, count, call.unstable);
            }
            Param::Fill(Buffer::Strings) => {
                fields.word(format_args!("{:#x}, {second:#x}", slot as u32));
            }
            Param::Fill(Buffer::Vectors(_)) => match self.total(slot as u32, second) {
                Some(total) => integer(fields.out, total),
                None => raw(fields, slot as u32, second),
            },
            Param::Fill(_) => integer(fields.out, second),
            Param::Out(_) | Param::Shown => {}
        }
    }

    /// Writes what a call that succeeded has answered. Numbers first, then what may be long.
    pub(in crate::trace) fn answers(&self, call: System, slots: &[u64], fields: &mut Fields<'_>) {
        if call.function.result != ResultKind::Errno {
            return;
        }
        for long in [false, true] {
            let mut at = 0;
            for (name, read) in call.function.params {
                let own = &slots[at.min(slots.len())..];
                at += read.slots().len();
                let slot = own.first().map_or(0, |slot| *slot as u32);
                let second = own.get(1).map_or(0, |slot| *slot as u32);
                match *read {
                    Param::Out(out) if matches!(out, Output::Events(_)) == long => {
                        fields.name(name);
                        if self.out(call, out, slot, slots, fields).is_none() {
                            raw_pointer(fields, slot);
                        }
                    }
                    Param::Fill(fill) if long => {
                        fields.name(name);
                        if self.filled(fill, slot, second, slots, fields).is_none() {
                            raw(fields, slot, second);
                        }
                    }
                    _ => {}
                }
            }
        }
    }

    fn out(
        &self,
        call: System,
        out: Output,
        at: u32,
        slots: &[u64],
        fields: &mut Fields<'_>,
    ) -> Option<()> {
        match out {
            Output::Int => integer(fields.out, self.int(at)?),
            Output::Long => integer(fields.out, self.long(at)?),
            Output::Flags(names) => {
                let value = u16::from_le_bytes(self.array(at)?);
                flags(fields, value.into(), names);
            }
            Output::Filestat => self.filestat(fields, at, call.unstable)?,
            Output::Fdstat => {
                let record: [u8; 24] = self.array(at)?;
                fields.record(|fields| {
                    fields.name("type");
                    one_of(fields, record[0].into(), FILETYPE);
                    fields.name("flags");
                    flags(fields, u64::from(record[2]) | u64::from(record[3]) << 8, FDFLAGS);
                    fields.name("rights");
                    rights(fields, long_at(&record, 8));
                    fields.name("inheriting");
                    rights(fields, long_at(&record, 16));
                });
            }
            Output::Prestat => {
                let record: [u8; 8] = self.array(at)?;
                fields.record(|fields| {
                    fields.name("type");
                    one_of(fields, record[0].into(), &["dir"]);
                    fields.name("name_len");
                    integer(fields.out, (long_at(&record, 0) >> 32) as u32);
                });
            }
            Output::Events(count) => {
                self.events(fields, at, self.int(*slots.get(count)? as u32)?)?
            }
        }
        Some(())
    }

    fn filestat(&self, fields: &mut Fields<'_>, at: u32, unstable: bool) -> Option<()> {
        let mut record = [0; 64];
        let size = if unstable { 56 } else { 64 };
        self.read(at, &mut record[..size])?;
        // The older version has a shorter number of links, and all that follows 8 bytes earlier.
        let (nlink, size) = match unstable {
            true => (long_at(&record, 16) >> 32, 24),
            false => (long_at(&record, 24), 32),
        };
        fields.record(|fields| {
            fields.name("type");
            one_of(fields, record[16].into(), FILETYPE);
            for (name, value) in [
                ("size", long_at(&record, size)),
                ("dev", long_at(&record, 0)),
                ("ino", long_at(&record, 8)),
                ("nlink", nlink),
                ("atim", long_at(&record, size + 8)),
                ("mtim", long_at(&record, size + 16)),
                ("ctim", long_at(&record, size + 24)),
            ] {
                fields.name(name);
                integer(fields.out, value);
            }
        });
        Some(())
    }

    fn filled(
        &self,
        fill: Buffer,
        at: u32,
        len: u32,
        slots: &[u64],
        fields: &mut Fields<'_>,
    ) -> Option<()> {
        let used = |slot: usize| self.int(*slots.get(slot)? as u32);
        let shown = match fill {
            Buffer::Whole => self.string(fields, at, len),
            Buffer::Upto(slot) => self.string(fields, at, used(slot)?.min(len)),
            Buffer::Vectors(slot) => {
                let (bytes, cut) = self.gather(at, len, used(slot)?)?;
                fields.string(&bytes, cut);
                true
            }
            Buffer::Entries(slot) => {
                self.entries(fields, at, used(slot)?.min(len));
                true
            }
            Buffer::Strings => {
                self.strings(fields, at, len);
                true
            }
        };
        shown.then_some(())
    }

    /// Data that is written, and how much it is.
    fn data(&self, fields: &mut Fields<'_>, at: u32, count: u32) {
        let total = self.total(at, count);
        let data = total.and_then(|total| self.gather(at, count, total as u32));
        match (data, total) {
            (Some((bytes, cut)), Some(total)) => {
                fields.string(&bytes, cut);
                fields.name("len");
                integer(fields.out, total);
            }
            _ => raw(fields, at, count),
        }
    }

    /// Bytes of vectors together.
    fn total(&self, at: u32, count: u32) -> Option<u64> {
        let mut total = 0;
        for i in 0..count.min(VECTORS) {
            total += u64::from(self.int(at.checked_add(i.checked_mul(8)?)?.checked_add(4)?)?);
        }
        Some(total)
    }

    /// The beginning of `total` bytes in vectors, and whether there is more.
    fn gather(&self, at: u32, count: u32, total: u32) -> Option<(Vec<u8>, bool)> {
        let wanted = self.max_string.min(total as usize);
        let mut bytes = Vec::new();
        for i in 0..count.min(VECTORS) {
            if bytes.len() >= wanted {
                break;
            }
            let vector = self.long(at.checked_add(i * 8)?)?;
            let (from, len) = (vector as u32, (vector >> 32) as usize);
            let begin = bytes.len();
            bytes.resize(begin + len.min(wanted - begin), 0);
            self.read(from, &mut bytes[begin..])?;
        }
        Some((bytes, total as usize > wanted))
    }

    fn subscriptions(&self, fields: &mut Fields<'_>, at: u32, count: u32, unstable: bool) {
        let (size, clock) = if unstable { (56, 24) } else { (48, 16) };
        let known = count.min(ITEMS);
        let records: Option<Vec<[u8; 56]>> = (0..known)
            .map(|i| {
                let mut record = [0; 56];
                self.read(at.checked_add(i * size)?, &mut record[..size as usize]).map(|()| record)
            })
            .collect();
        let Some(records) = records else { return raw(fields, at, count) };
        fields.list(records, |fields, record| {
            fields.record(|fields| {
                fields.name("type");
                one_of(fields, record[8].into(), EVENT);
                if record[8] == 0 {
                    fields.name("clock");
                    one_of(fields, long_at(&record, clock) as u32, CLOCK);
                    fields.name("timeout");
                    integer(fields.out, long_at(&record, clock + 8));
                    fields.name("flags");
                    flags(fields, long_at(&record, clock + 24) & 0xffff, CLOCK_FLAGS);
                } else {
                    fields.name("fd");
                    integer(fields.out, long_at(&record, 16) as u32);
                }
            });
        });
        more(fields, count, known);
    }

    fn events(&self, fields: &mut Fields<'_>, at: u32, count: u32) -> Option<()> {
        let known = count.min(ITEMS);
        let records: Option<Vec<[u8; 32]>> =
            (0..known).map(|i| self.array(at.checked_add(i * 32)?)).collect();
        fields.list(records?, |fields, record| {
            fields.record(|fields| {
                fields.name("type");
                one_of(fields, record[10].into(), EVENT);
                fields.name("errno");
                one_of(fields, long_at(&record, 8) as u16 as u32, ERRNO);
                if record[10] != 0 {
                    fields.name("nbytes");
                    integer(fields.out, long_at(&record, 16));
                }
            });
        });
        more(fields, count, known);
        Some(())
    }

    /// Names of directory entries; the last may be cut off.
    fn entries(&self, fields: &mut Fields<'_>, at: u32, used: u32) {
        let mut names = Vec::new();
        let mut from = 0u32;
        while names.len() < ITEMS as usize && used - from > 24 {
            let Some(len) = at.checked_add(from + 16).and_then(|at| self.int(at)) else { break };
            let (begin, left) = (at + from + 24, used - from - 24);
            names.push((begin, len.min(left)));
            from = match len < left {
                true => from + 24 + len,
                false => used,
            };
        }
        fields.list(names, |fields, (at, len)| {
            if !self.string(fields, at, len) {
                raw(fields, at, len);
            }
        });
        if from < used {
            more(fields, 1, 0);
        }
    }

    /// Strings with a NUL at their ends, one after the other, each of which a pointer points to. If the next
    /// pointer points behind the string before, there is another.
    fn strings(&self, fields: &mut Fields<'_>, pointers: u32, buffer: u32) {
        let mut strings = Vec::new();
        let mut expected = Some(buffer);
        while let Some(begin) = expected
            && strings.len() < ITEMS as usize
            && self.int(pointers.wrapping_add(strings.len() as u32 * 4)) == Some(begin)
            && let Some(len) = self.until_nul(begin)
        {
            strings.push((begin, len));
            expected = begin.checked_add(len).and_then(|end| end.checked_add(1));
        }
        let known = strings.len() as u32;
        fields.list(strings, |fields, (at, len)| {
            self.string(fields, at, len);
        });
        more(fields, known / ITEMS, 0);
    }

    fn until_nul(&self, at: u32) -> Option<u32> {
        // Longer than what any system passes.
        for len in 0..1u32 << 17 {
            if self.array(at.checked_add(len)?)? == [0] {
                return Some(len);
            }
        }
        None
    }

    /// The beginning of a string; false if it is not in the memory.
    fn string(&self, fields: &mut Fields<'_>, at: u32, len: u32) -> bool {
        let inside = self.memory.is_some_and(|m| u64::from(at) + u64::from(len) <= m.len() as u64);
        let mut bytes = vec![0; if inside { self.max_string.min(len as usize) } else { 0 }];
        let shown = inside && self.read(at, &mut bytes).is_some();
        if shown {
            fields.string(&bytes, bytes.len() < len as usize);
        }
        shown
    }

    fn int(&self, at: u32) -> Option<u32> {
        self.array(at).map(u32::from_le_bytes)
    }

    fn long(&self, at: u32) -> Option<u64> {
        self.array(at).map(u64::from_le_bytes)
    }

    fn array<const N: usize>(&self, at: u32) -> Option<[u8; N]> {
        let mut bytes = [0; N];
        self.read(at, &mut bytes).map(|()| bytes)
    }

    fn read(&self, at: u32, bytes: &mut [u8]) -> Option<()> {
        self.memory?.read(at as usize, bytes).ok()
    }
}

fn long_at(record: &[u8], at: usize) -> u64 {
    record[at..at + 8].iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte))
}

/// Pointer and length as they were passed.
fn raw(fields: &mut Fields<'_>, at: u32, len: u32) {
    fields.word(format_args!("{at:#x}, {len}"));
}

fn raw_pointer(fields: &mut Fields<'_>, at: u32) {
    fields.word(format_args!("{at:#x}"));
}

/// That a list continues.
fn more(fields: &mut Fields<'_>, count: u32, known: u32) {
    if count > known && fields.style != Style::Json {
        fields.out.extend_from_slice(b"...");
    }
}

fn one_of(fields: &mut Fields<'_>, value: u32, names: &[&str]) {
    match names.get(value as usize) {
        Some(name) => fields.word(name),
        None => integer(fields.out, value),
    }
}

fn rights(fields: &mut Fields<'_>, value: u64) {
    if value.count_ones() <= FEW_RIGHTS {
        flags(fields, value, RIGHTS);
    } else {
        fields.word(format_args!("{value:#x}"));
    }
}

/// Flags by name, and what has no name as a number.
fn flags(fields: &mut Fields<'_>, value: u64, names: &[&str]) {
    let quote: &[u8] = if fields.style == Style::Json { b"\"" } else { b"" };
    let out = &mut *fields.out;
    out.extend_from_slice(quote);
    let mut first = true;
    let mut separate = |out: &mut Vec<u8>| {
        if !std::mem::take(&mut first) {
            out.push(b'|');
        }
    };
    let mut rest = value;
    for (bit, name) in names.iter().enumerate().filter(|(bit, _)| value >> bit & 1 != 0) {
        separate(out);
        out.extend_from_slice(name.as_bytes());
        rest &= !(1 << bit);
    }
    if rest != 0 {
        separate(out);
        let _ = write!(out, "{rest:#x}");
    } else if value == 0 {
        out.push(b'0');
    }
    out.extend_from_slice(quote);
}
