//! Compiled code as bytes.

use super::{CompiledCode, CompiledFunction};
use crate::compiled::error::CodeFormatError;
use crate::compiled::frames::FrameTables;
use crate::compiled::inlined::Inlined;
use crate::compiled::maps::StackMaps;

/// Begins stored code; the last byte is the format's revision.
const MAGIC: [u8; 8] = *b"wardjit\x07";
/// Magic, origin, alignment, lengths of text, functions, traps, locations, calls, scopes, handlers, maps and
/// their slots, ends and words of the tables of frames, ends and bodies of functions in others, and notes.
const HEADER: usize = 8 + 32 + 4 * 15;

impl CompiledCode {
    /// Stores the code: a header, then the arrays as they are, little endian.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(
            HEADER
                + self.text.len()
                + 9 * self.functions.len()
                + 5 * self.trap_offsets.len()
                + 8 * self.location_offsets.len()
                + 24 * self.call_offsets.len()
                + 12 * self.scopes.len()
                + 4 * self.handlers.len()
                + self.maps.stored_len()
                + 4 * (self.frames.ends.len() + self.frames.words.len())
                + 4 * (self.inlined_ends.len() + Inlined::WORDS * self.inlined.len())
                + self.notes.len(),
        );
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&self.origin);
        for n in [
            self.align as usize,
            self.text.len(),
            self.functions.len(),
            self.trap_offsets.len(),
            self.location_offsets.len(),
            self.call_offsets.len(),
            self.scopes.len(),
            self.handlers.len(),
            self.maps.len(),
            self.maps.slots().len(),
            self.frames.ends.len(),
            self.frames.words.len(),
            self.inlined_ends.len(),
            self.inlined.len(),
            self.notes.len(),
        ] {
            out.extend_from_slice(&(n as u32).to_le_bytes());
        }
        put(&mut out, self.functions.as_slice().as_flattened());
        put(&mut out, &self.trap_offsets);
        put(&mut out, &self.location_offsets);
        put(&mut out, &self.location_wasm);
        put(&mut out, &self.call_offsets);
        put(&mut out, self.call_frames.as_flattened());
        put(&mut out, self.scopes.as_flattened());
        put(&mut out, &self.handlers);
        self.maps.columns().into_iter().for_each(|column| put(&mut out, column));
        for slot in self.maps.slots() {
            out.extend_from_slice(&slot.as_u32().to_le_bytes());
        }
        put(&mut out, &self.frames.ends);
        put(&mut out, &self.frames.words);
        put(&mut out, &self.inlined_ends);
        put(&mut out, self.inlined.as_flattened());
        out.extend_from_slice(self.saved.as_slice());
        out.extend_from_slice(&self.trap_codes);
        out.extend_from_slice(&self.text);
        out.extend_from_slice(&self.notes);
        out
    }

    /// Reads what [`CompiledCode::to_bytes`] wrote.
    ///
    /// Whatever the bytes, this does not panic, nor do the look-ups in the result.
    ///
    /// # Safety
    ///
    /// The bytes were written by [`CompiledCode::to_bytes`], and have not been changed: they hold machine
    /// code that will be run, and nothing in them can be checked that would make that safe.
    #[allow(unsafe_code, reason = "the obligation is the caller's; nothing unsafe happens here")]
    pub unsafe fn from_bytes(bytes: &[u8]) -> Result<CompiledCode, CodeFormatError> {
        let rest = bytes.strip_prefix(&MAGIC).ok_or(CodeFormatError("it begins otherwise"))?;
        let mut reader = Reader { rest };
        let origin = reader.take(32)?.try_into().expect("as many were taken");
        let header = reader.words(15)?;
        let [
            align,
            text,
            functions,
            traps,
            locations,
            calls,
            scopes,
            handlers,
            maps,
            slots,
            frame_ends,
            frame_words,
            inlined_ends,
            inlined,
            notes,
        ] = header[..]
        else {
            return Err(CodeFormatError("it is too short"));
        };
        let functions = reader.words(functions as usize * 2)?;
        let code = CompiledCode {
            origin,
            align,
            functions: functions.as_chunks::<2>().0.to_vec().into(),
            trap_offsets: reader.words(traps as usize)?,
            location_offsets: reader.words(locations as usize)?,
            location_wasm: reader.words(locations as usize)?,
            call_offsets: reader.words(calls as usize)?,
            call_frames: reader.words(calls as usize * 5)?.as_chunks::<5>().0.to_vec(),
            scopes: reader.words(scopes as usize * 3)?.as_chunks::<3>().0.to_vec(),
            handlers: reader.words(handlers as usize)?,
            maps: StackMaps::from_columns([
                reader.words(maps as usize)?,
                reader.words(maps as usize)?,
                reader.words(maps as usize)?,
                reader.words(slots as usize)?,
            ]),
            frames: FrameTables {
                ends: reader.words(frame_ends as usize)?,
                words: reader.words(frame_words as usize)?,
            },
            inlined_ends: reader.words(inlined_ends as usize)?,
            inlined: reader
                .words(inlined as usize * Inlined::WORDS)?
                .as_chunks::<{ Inlined::WORDS }>()
                .0
                .to_vec(),
            saved: reader.take(functions.len() / 2)?.to_vec().into(),
            trap_codes: reader.take(traps as usize)?.to_vec(),
            text: reader.take(text as usize)?.to_vec(),
            notes: reader.take(notes as usize)?.to_vec(),
        };
        if !reader.rest.is_empty() {
            return Err(CodeFormatError("it is too long"));
        }
        code.check()?;
        Ok(code)
    }

    /// Checks what look-ups and the loader rely on.
    fn check(&self) -> Result<(), CodeFormatError> {
        if !self.align.is_power_of_two() || self.align > 4096 {
            return Err(CodeFormatError("its alignment is wrong"));
        }
        let mut last = 0;
        for [start, end] in &self.functions {
            if *start < last || end < start || *end as usize > self.text.len() {
                return Err(CodeFormatError("a function lies outside of the text"));
            }
            if start % self.align.min(CompiledFunction::LEAST_ALIGN) != 0 {
                return Err(CodeFormatError("a function is not aligned"));
            }
            last = *end;
        }
        for offsets in [&self.trap_offsets, &self.location_offsets, &self.call_offsets] {
            if !offsets.is_sorted() {
                return Err(CodeFormatError("a table is not in order"));
            }
        }
        if !self.maps.is_sound() {
            return Err(CodeFormatError("its stack maps are not in order"));
        }
        Ok(())
    }
}

fn put(out: &mut Vec<u8>, words: &[u32]) {
    for word in words {
        out.extend_from_slice(&word.to_le_bytes());
    }
}

struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn take(&mut self, len: usize) -> Result<&'a [u8], CodeFormatError> {
        let (taken, rest) =
            self.rest.split_at_checked(len).ok_or(CodeFormatError("it is too short"))?;
        self.rest = rest;
        Ok(taken)
    }

    fn words(&mut self, count: usize) -> Result<Vec<u32>, CodeFormatError> {
        let bytes = count.checked_mul(4).ok_or(CodeFormatError("it is too short"))?;
        let bytes = self.take(bytes)?;
        Ok(bytes.as_chunks::<4>().0.iter().map(|w| u32::from_le_bytes(*w)).collect())
    }
}
