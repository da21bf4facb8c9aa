//! Calls of WASI in words: a table that says how each parameter is to be read, and nothing of what the
//! calls do.

mod names;
mod read;
mod table;
#[cfg(test)]
mod tests;

pub(super) use read::Reader;

use names::ERRNO;
use wardian::{FuncType, ValType};

/// How a parameter is read. By default it takes one slot.
#[derive(Clone, Copy, Debug)]
enum Read {
    /// A descriptor, a count, a length: decimal.
    Int,
    /// 64 bits: a size, an offset, a cookie, a time in nanoseconds.
    Long,
    /// 64 bits with a sign.
    Delta,
    /// A pointer or an opaque number: hexadecimal.
    Hex,
    /// A set of flags.
    Flags(&'static [&'static str]),
    /// `rights`.
    Rights,
    /// One of several numbers.
    Enum(&'static [&'static str]),
    /// `whence`.
    Whence,
    /// Pointer and length of a string. Two slots.
    String,
    /// Pointer and count of vectors with data. Two slots.
    Data,
    /// Subscriptions; their number is in this slot.
    Subscriptions(usize),
    /// What another parameter's reading has shown.
    Shown,
    /// A pointer to what the call answers, read afterwards.
    Out(Out),
    /// Pointer and length of a buffer that the call fills. Two slots. Before it the length is shown.
    Fill(Fill),
}

/// What a call answers, behind a pointer.
#[derive(Clone, Copy, Debug)]
enum Out {
    Int,
    Long,
    Flags(&'static [&'static str]),
    Filestat,
    Fdstat,
    Prestat,
    /// Events; their number is behind the pointer in this slot.
    Events(usize),
}

/// What a call fills.
#[derive(Clone, Copy, Debug)]
enum Fill {
    /// A buffer, all of it.
    Whole,
    /// A buffer, as long as the number behind the pointer in this slot says.
    Upto(usize),
    /// As before, vectors.
    Vectors(usize),
    /// As before, directory entries.
    Entries(usize),
    /// A list of pointers, and the strings that they point to, one after the other.
    Strings,
}

impl Read {
    fn slots(self) -> usize {
        if let Read::String | Read::Data | Read::Fill(_) = self { 2 } else { 1 }
    }
}

/// What the function's own result is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    Errno,
    /// The number of a thread, or a negative number.
    Thread,
    Nothing,
}

/// A function, as the table has it.
struct Row {
    name: &'static str,
    params: &'static [(&'static str, Read)],
    answer: Answer,
}

/// A function of WASI.
#[derive(Clone, Copy)]
pub(super) struct System {
    row: &'static Row,
    /// Whether it is that of `wasi_unstable`.
    unstable: bool,
}

/// The function of WASI that is imported by this name, if it has the type that it should have.
pub(super) fn find(module: &str, name: &str, ty: &FuncType) -> Option<System> {
    let rows = match module {
        "wasi_snapshot_preview1" | "wasi_unstable" => table::FUNCTIONS,
        "wasi" => table::THREADS,
        _ => return None,
    };
    let row = rows.iter().find(|row| row.name == name)?;
    let slots: usize = row.params.iter().map(|(_, read)| read.slots()).sum();
    let results: &[ValType] = if row.answer == Answer::Nothing { &[] } else { &[ValType::I32] };
    let integers = ty.params().iter().all(|ty| matches!(ty, ValType::I32 | ValType::I64));
    let fits = ty.params().len() == slots && ty.results() == results && integers;
    fits.then_some(System { row, unstable: module == "wasi_unstable" })
}

impl System {
    /// The name of the error with this number, or the number in hexadecimal if it has none.
    pub(super) fn error(self, results: &[u64]) -> Option<&'static str> {
        let result = results.first().map(|slot| *slot as u32)?;
        match self.row.answer {
            Answer::Errno if result != 0 => {
                Some(ERRNO.get(result as usize).copied().unwrap_or("unknown errno"))
            }
            Answer::Thread if (result as i32) < 0 => Some("no thread"),
            _ => None,
        }
    }

    /// Whether its own result is more than success or failure.
    pub(super) fn has_value(self) -> bool {
        self.row.answer != Answer::Errno
    }
}
