//! Programs that an interpreter inside the guest runs: the calls that their authors know.
//!
//! ```text
//!   sample ── links ──> pairs (code, instruction) ─┐
//!   memory of a guest that stands ── links ────────┴─ Interpreter::function ──> name, file, line
//! ```
//!
//! Whatever is read is the guest's and may be anything: each read is within the memory, what is read is bounded,
//! and what makes no sense is left out.

mod cache;
#[cfg(test)]
mod image;
pub(crate) mod mixed;
pub(crate) mod php;
pub(crate) mod python;
pub(crate) mod ruby;
mod search;

pub(crate) use cache::FunctionCache;
pub(crate) use search::Search;

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use wardian::{
    Module,
    inspect::MemoryView,
    sampler::{Chain, SampledMemory},
};

/// How calls of a program are shown that an interpreter inside the guest runs, such as CPython.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum GuestFrames {
    /// Between the interpreter's own calls, each where it belongs.
    #[default]
    Mixed,
    /// Without the interpreter's own calls.
    Only,
    /// Not at all.
    Off,
}

impl GuestFrames {
    /// All of them.
    pub const ALL: [GuestFrames; 3] = [GuestFrames::Mixed, GuestFrames::Only, GuestFrames::Off];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            GuestFrames::Mixed => "mixed",
            GuestFrames::Only => "only",
            GuestFrames::Off => "off",
        }
    }
}

impl FromStr for GuestFrames {
    type Err = String;

    fn from_str(name: &str) -> Result<GuestFrames, String> {
        let found = GuestFrames::ALL.into_iter().find(|frames| frames.name() == name);
        found.ok_or_else(|| format!("`{name}` is none of mixed, only and off"))
    }
}

impl fmt::Display for GuestFrames {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The memory of a guest.
pub(crate) trait Bytes {
    /// How many bytes it has.
    fn len(&self) -> usize;

    /// Copies bytes; returns whether all are there.
    fn read(&self, at: usize, into: &mut [u8]) -> bool;

    /// The number at an address.
    fn word(&self, at: u32) -> Option<u32> {
        let mut word = [0; 4];
        self.read(at as usize, &mut word).then(|| u32::from_le_bytes(word))
    }
}

impl Bytes for SampledMemory {
    fn len(&self) -> usize {
        SampledMemory::len(self)
    }

    fn read(&self, at: usize, into: &mut [u8]) -> bool {
        SampledMemory::read(self, at, into)
    }
}

impl Bytes for MemoryView<'_> {
    fn len(&self) -> usize {
        MemoryView::len(self)
    }

    fn read(&self, at: usize, into: &mut [u8]) -> bool {
        MemoryView::read(self, at, into).is_ok()
    }
}

/// A function of the program.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct ScriptFunction {
    /// With those that it is in: `Shop.sell`.
    pub(crate) name: Arc<str>,
    pub(crate) file: Arc<str>,
    /// Where it begins.
    pub(crate) line: u32,
}

impl ScriptFunction {
    /// The name among those of the interpreter's functions: with the file, without its folders.
    pub(crate) fn display_name(&self) -> String {
        let file = self.file.rsplit('/').next().unwrap_or(&self.file);
        format!("{} ({file})", self.name)
    }
}

/// A function as the interpreter has it, with the lines of its instructions.
#[derive(Clone, Debug)]
pub(crate) struct Code {
    pub(crate) function: ScriptFunction,
    /// Address of the first instruction, and behind the last.
    pub(crate) instructions: (u32, u32),
    /// Where a line begins, in bytes from the first instruction, and which.
    pub(crate) lines: Vec<(u32, Option<u32>)>,
}

impl Code {
    /// The line of an instruction.
    pub(crate) fn line(&self, instruction: u32) -> Option<u32> {
        let offset = instruction.checked_sub(self.instructions.0)?;
        let after = self.lines.partition_point(|(start, _)| *start <= offset);
        self.lines.get(after.checked_sub(1)?)?.1
    }
}

/// A call of the program: its function's record, its instruction, and whether it is marked as [`Shape`] says.
pub(crate) type Link = (u32, u32, bool);

/// An interpreter that was found in a memory.
pub(crate) trait Interpreter: fmt::Debug + Send + Sync {
    /// How its links go together with its own calls.
    fn shape(&self) -> Shape;

    /// The chain of its calls.
    fn chain(&self) -> Option<Chain>;

    /// The links of a guest that stands, the innermost first.
    fn links(&self, memory: &dyn Bytes) -> Vec<Link>;

    /// What makes two readings of a function's record the same.
    fn fingerprint(&self, memory: &dyn Bytes, record: u32) -> Option<[u32; 6]>;

    /// Reads a function's record.
    fn code(&self, memory: &dyn Bytes, record: u32) -> Option<Code>;
}

/// A language whose interpreter is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Language {
    Python,
    Php,
    Ruby,
}

impl Language {
    /// The one whose interpreter a module looks like.
    pub(crate) fn of(module: &Module) -> Option<Language> {
        match module.bytes() {
            bytes if python::is_in(bytes) => Some(Language::Python),
            bytes if php::is_in(bytes) => Some(Language::Php),
            bytes if ruby::is_in(bytes) => Some(Language::Ruby),
            _ => None,
        }
    }

    /// Looks for its interpreter in a memory, of which `room` is kept for the next time.
    pub(crate) fn find(
        self,
        memory: &dyn Bytes,
        room: &mut Vec<u8>,
    ) -> Search<Arc<dyn Interpreter>> {
        match self {
            Language::Python => python::find(memory, room).map(|found| Arc::new(found) as _),
            Language::Php => php::find(memory, room).map(|found| Arc::new(found) as _),
            Language::Ruby => ruby::find(memory, room).map(|found| Arc::new(found) as _),
        }
    }

    /// What of it is known.
    pub(crate) fn known(self) -> &'static str {
        match self {
            Language::Python => {
                "CPython, but of a version or build whose frames cannot be read (3.11 to 3.14"
            }
            Language::Php => "PHP, but of a version or build whose calls cannot be read (8.2",
            Language::Ruby => {
                "CRuby, but of a version or build whose calls cannot be read (3.2 to 3.4"
            }
        }
    }
}

/// How the links of an interpreter go together with its own calls.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    /// The function of the interpreter that runs code: one call of it for each run of links.
    pub(crate) evaluator: &'static str,
    /// Whether that function is large, since what instructions do is in it, rather than in functions that it calls.
    pub(crate) evaluator_is_large: bool,
    /// Whether the marked link that ends a run is a call of the program.
    pub(crate) mark_is_call: bool,
    /// Whether functions of the interpreter's own have links, without code. These are no calls, and end no run.
    pub(crate) has_own_frames: bool,
}
