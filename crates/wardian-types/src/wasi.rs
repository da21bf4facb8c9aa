//! What the functions of WASI are: one description, by which the linker types them, traces print their calls, and
//! `wardian inspect` says what a module can do.
//!
//! Names and records are those of the witx files of `wasi_snapshot_preview1` and `wasi_unstable`, and of the proposal
//! wasi-threads.

pub mod names;
mod table;

pub use table::{FUNCTIONS, THREADS};

/// A function of WASI.
#[derive(Debug)]
pub struct Function {
    /// The name that it is imported by.
    pub name: &'static str,
    /// What it gives a module the ability to do.
    pub ability: Ability,
    /// Its parameters by name. One of them can take two slots: see [`Param::slots`].
    pub params: &'static [(&'static str, Param)],
    /// What its own result is.
    pub result: ResultKind,
}

/// What the functions of a module let it do. A descriptor can be of a file, a stream or a socket, so each function
/// has the one that it is used for most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Ability {
    /// Reads files.
    ReadFiles,
    /// Writes files.
    WriteFiles,
    /// Lists and changes folders.
    Folders,
    /// Uses sockets.
    Network,
    /// Uses the clock.
    Clock,
    /// Gets random numbers.
    Random,
    /// Gets arguments and environment.
    Arguments,
    /// Ends the program.
    Exit,
    /// Makes threads.
    Threads,
    /// Looks after descriptors.
    Descriptors,
    /// Lets others run.
    Yield,
}

/// The type of a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Slot {
    /// A 32-bit integer: a handle, a flag, a guest pointer or a length.
    I32,
    /// A 64-bit integer: an offset, a time, a set of rights.
    I64,
}

/// How a parameter is read. By default it takes one slot.
#[derive(Clone, Copy, Debug)]
pub enum Param {
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
    Out(Output),
    /// Pointer and length of a buffer that the call fills. Two slots. Before it the length is shown.
    Fill(Buffer),
}

/// What a call answers, behind a pointer.
#[derive(Clone, Copy, Debug)]
pub enum Output {
    /// 32 bits.
    Int,
    /// 64 bits.
    Long,
    /// A set of flags.
    Flags(&'static [&'static str]),
    /// The record `filestat`.
    Filestat,
    /// The record `fdstat`.
    Fdstat,
    /// The record `prestat`.
    Prestat,
    /// Events; their number is behind the pointer in this slot.
    Events(usize),
}

/// What a call fills.
#[derive(Clone, Copy, Debug)]
pub enum Buffer {
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

impl Param {
    /// The types of the slots that it takes: one or two.
    pub const fn slots(self) -> &'static [Slot] {
        match self {
            Param::String | Param::Data | Param::Fill(_) => &[Slot::I32, Slot::I32],
            Param::Long | Param::Delta | Param::Rights => &[Slot::I64],
            _ => &[Slot::I32],
        }
    }
}

/// What the function's own result is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResultKind {
    /// An error number, 0 for success.
    Errno,
    /// The number of a thread, or a negative number.
    Thread,
    /// There is none.
    Nothing,
}

impl Function {
    /// The function with this name in a module that a guest imports from, if there is one.
    pub fn find(module: &str, name: &str) -> Option<&'static Function> {
        let functions = match module {
            "wasi_snapshot_preview1" => FUNCTIONS,
            // It came later.
            "wasi_unstable" if name != "sock_accept" => FUNCTIONS,
            "wasi" => THREADS,
            _ => return None,
        };
        functions.iter().find(|function| function.name == name)
    }

    /// The types of its parameters, slot by slot.
    pub fn param_slots(&self) -> impl Iterator<Item = Slot> {
        self.params.iter().flat_map(|(_, param)| param.slots()).copied()
    }

    /// The types of its results.
    pub const fn result_slots(&self) -> &'static [Slot] {
        match self.result {
            ResultKind::Nothing => &[],
            ResultKind::Errno | ResultKind::Thread => &[Slot::I32],
        }
    }
}
