//! A profile as data.

use super::kind::{MAX_VALUES, ProfileKind, ValueType};
use super::summary::Summary;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// What a [`crate::Profiler`] found out. It refers to nothing of the runtime.
///
/// Stacks form a tree in which each has its caller's stack as parent, and only what was measured right
/// there as values: what was measured in callees is in theirs.
#[derive(Clone, Debug)]
pub struct Profile {
    pub(crate) kind: ProfileKind,
    pub(crate) meta: Meta,
    pub(crate) modules: Vec<Arc<str>>,
    pub(crate) functions: Vec<Function>,
    pub(crate) locations: Vec<Location>,
    /// A parent stands before its children.
    pub(crate) stacks: Vec<Stack>,
    pub(crate) timeline: Vec<TimelineSample>,
}

/// How a profile came about, and what is missing in it.
#[derive(Clone, Debug)]
pub struct Meta {
    /// What was run, for people.
    pub program: String,
    /// How its code was run, for people.
    pub engine: String,
    /// When the profiler was made.
    pub start: SystemTime,
    /// From then until the profile was made.
    pub duration: Duration,
    /// Time from one sample to the next on average, if there are samples.
    pub interval: Option<Duration>,
    /// Samples that are in the profile.
    pub samples: u64,
    /// Samples that there was no room for.
    pub dropped: u64,
    /// Ticks at which no sample could be taken: see [`wardian::sampler::Samples::missed`].
    pub missed: u64,
    /// Samples whose outer frames were cut off.
    pub truncated: u64,
    /// Calls, samples or allocations that are shown as `<other>`, since there were too many stacks, or too deep
    /// ones.
    pub overflow: u64,
    /// What else a reader of the profile should know, a sentence each.
    pub notes: Vec<String>,
}

/// A function, of a guest or of its host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Function {
    /// Its name for people.
    pub name: String,
    /// Its name as the module has it.
    pub system_name: String,
    /// Which of the profile's modules it is of.
    pub module: Option<usize>,
    /// The source file, as the compiler recorded it.
    pub file: Option<Arc<str>>,
    /// The line where it begins, or the first that is known.
    pub line: Option<u32>,
    /// Whose function it is.
    pub kind: FunctionKind,
}

/// Whose function something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FunctionKind {
    /// A guest's.
    Guest,
    /// The host's, or the runtime's.
    Host,
    /// Not known, or left out.
    Other,
}

/// A place in code.
#[derive(Clone, Debug)]
pub struct Location {
    /// Which of the profile's modules it is in.
    pub module: Option<usize>,
    /// Offset in the module's code section.
    pub offset: Option<u32>,
    /// The functions there, the innermost inlined one first; the last is the one that has the code.
    /// There is at least one.
    pub lines: Vec<Line>,
}

/// A function at a [`Location`], and where in it.
#[derive(Clone, Debug)]
pub struct Line {
    /// Which of the profile's functions.
    pub function: usize,
    /// The source file, as the compiler recorded it.
    pub file: Option<Arc<str>>,
    /// The line, from 1.
    pub line: Option<u32>,
}

/// A stack, and what was measured at its top.
#[derive(Clone, Copy, Debug)]
pub struct Stack {
    /// The caller's stack, which stands earlier in [`Profile::stacks`]. None if nobody called.
    pub parent: Option<usize>,
    /// Which of the profile's locations.
    pub location: usize,
    pub(crate) values: [u64; MAX_VALUES],
}

/// When a stack was seen.
#[derive(Clone, Copy, Debug)]
pub struct TimelineSample {
    /// Since the profiler was made.
    pub time: Duration,
    /// For how much time it stands: the interval at which it was taken.
    pub wall: Duration,
    /// Processor time since the sample before.
    pub cpu: Duration,
    /// Which of the profile's stacks; none if the guest was just being entered or left.
    pub stack: Option<usize>,
    /// Which of the watched stores, from 0.
    pub store: u32,
}

impl Profile {
    /// Adds what was measured of something that is not in any stack that was seen.
    pub(crate) fn add_alone(&mut self, name: &str, kind: FunctionKind, values: [u64; MAX_VALUES]) {
        let known = self.functions.iter().position(|f| f.name == name && f.module.is_none());
        let function = known.unwrap_or_else(|| {
            let (name, system_name) = (name.to_owned(), name.to_owned());
            let (module, file, line) = (None, None, None);
            self.functions.push(Function { name, system_name, module, file, line, kind });
            self.functions.len() - 1
        });
        let lines = vec![Line { function, file: None, line: None }];
        self.locations.push(Location { module: None, offset: None, lines });
        let location = self.locations.len() - 1;
        self.stacks.push(Stack { parent: None, location, values });
    }

    /// How it was made.
    pub fn kind(&self) -> ProfileKind {
        self.kind
    }

    /// How it came about, and what is missing in it.
    pub fn meta(&self) -> &Meta {
        &self.meta
    }

    /// The same, to be changed: say to name the program.
    pub fn meta_mut(&mut self) -> &mut Meta {
        &mut self.meta
    }

    /// The quantities that stacks have.
    pub fn value_types(&self) -> &'static [ValueType] {
        self.kind.value_types()
    }

    /// Which of the quantities has this name.
    pub fn value_index(&self, name: &str) -> Option<usize> {
        self.value_types().iter().position(|v| v.name == name)
    }

    /// The quantity that is shown unless another is asked for: time, or bytes. Of memory it is how far
    /// memories grew if no allocation was seen.
    pub fn main_value(&self) -> usize {
        let usual = self.kind.main_value();
        let grown = self.value_index("grown_space").filter(|_| self.total(usual) == 0);
        grown.unwrap_or(usual)
    }

    /// Names of modules.
    pub fn modules(&self) -> impl ExactSizeIterator<Item = &str> {
        self.modules.iter().map(|name| &**name)
    }

    /// The functions.
    pub fn functions(&self) -> &[Function] {
        &self.functions
    }

    /// The places.
    pub fn locations(&self) -> &[Location] {
        &self.locations
    }

    /// The stacks, each after its parent.
    pub fn stacks(&self) -> &[Stack] {
        &self.stacks
    }

    /// What was measured at the top of a stack, in the order of [`Profile::value_types`].
    pub fn values<'a>(&self, stack: &'a Stack) -> &'a [u64] {
        &stack.values[..self.value_types().len()]
    }

    /// What was measured of a quantity in all.
    pub fn total(&self, value: usize) -> u64 {
        self.stacks.iter().map(|s| s.values[value]).sum()
    }

    /// The samples in the order of time, of those profiles that have some, as far as there was room.
    pub fn timeline(&self) -> &[TimelineSample] {
        &self.timeline
    }

    /// What was measured in each function and line.
    pub fn summary(&self) -> Summary {
        Summary::new(self)
    }
}
