//! Walking a guest's stack.

use crate::Module;
use crate::inspect::FunctionDefinition;
use crate::testing::TestFunction;
use wardian_module::SourceLocation;
use wardian_runtime::listen::LiveCall;
use wardian_runtime::listen::hook::Hook;
use wardian_runtime::stack::walk::Walk;
use wardian_runtime::store::inner::StoreInner;
use wardian_types::CodeOffset;

/// A position in compiled code. [`InternalFunction`] of the same step says what it means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ProgramCounter(pub u64);

/// The calls of a guest, the innermost first, walked in place: nothing is allocated, and nothing
/// happens before the first [`StackIterator::next`].
///
/// A listener gets one that begins at the function that was called; a host function by
/// [`crate::Caller::stack`], beginning at the function that called it. It walks all nested calls of the
/// store: see [`StackIterator::crossed_host`].
///
/// ```
/// use wardian::{FuncType, stack::{StackFrame, new_stack_iterator}, testing::TestFunction};
/// let f = TestFunction::new(FuncType::new([], [])).with_name("inner");
/// let g = TestFunction::new(FuncType::new([], [])).with_name("outer");
/// let frames = [StackFrame::new(f).with_pc(9), StackFrame::new(g).with_pc(2)];
/// let mut stack = new_stack_iterator(&frames);
/// let mut names = Vec::new();
/// while stack.next() {
///     names.push(stack.function().definition().name().unwrap().to_owned());
/// }
/// assert_eq!(names, ["inner", "outer"]);
/// ```
pub struct StackIterator<'a>(Source<'a>);

enum Source<'a> {
    /// At a listener, before the first step: most listeners take none.
    Listener {
        store: &'a StoreInner,
        hook: &'a Hook,
    },
    Live(Walk<'a>),
    Frames {
        frames: &'a [StackFrame],
        next: usize,
    },
}

impl<'a> StackIterator<'a> {
    pub(crate) fn live(walk: Walk<'a>) -> StackIterator<'a> {
        StackIterator(Source::Live(walk))
    }

    #[inline]
    pub(crate) fn of_listener(call: &LiveCall<'a>) -> StackIterator<'a> {
        StackIterator(Source::Listener { store: call.store(), hook: call.hook() })
    }

    /// The same stack from its top.
    pub(crate) fn restarted(&self) -> StackIterator<'a> {
        StackIterator(match &self.0 {
            Source::Listener { store, hook } => Source::Listener { store, hook },
            Source::Live(walk) => Source::Live(walk.restarted()),
            Source::Frames { frames, .. } => Source::Frames { frames, next: 0 },
        })
    }

    /// Goes to the next frame outwards; false when there is none.
    // The name of the interface that this follows; an `Iterator` could not lend its items.
    #[allow(clippy::should_implement_trait, reason = "items borrow the iterator")]
    pub fn next(&mut self) -> bool {
        if let Source::Listener { store, hook } = self.0 {
            self.0 = Source::Live(Walk::from_listener(store, hook));
        }
        match &mut self.0 {
            Source::Listener { .. } => false,
            Source::Live(walk) => walk.advance(),
            Source::Frames { frames, next } => {
                *next += usize::from(*next <= frames.len());
                *next <= frames.len()
            }
        }
    }

    /// The function of the current frame.
    ///
    /// # Panics
    ///
    /// There is no current frame: [`StackIterator::next`] was not called, or returned false. So for
    /// all methods here.
    pub fn function(&self) -> InternalFunction<'_> {
        match &self.0 {
            Source::Live(walk) => InternalFunction(Kind::Live(walk)),
            _ => InternalFunction(Kind::Frame(self.frame())),
        }
    }

    /// Where the current frame is: at a call, or, in the frame that a listener is notified of, at the
    /// beginning.
    pub fn program_counter(&self) -> ProgramCounter {
        match &self.0 {
            Source::Live(walk) => ProgramCounter(walk.pc()),
            _ => ProgramCounter(self.frame().pc),
        }
    }

    /// Whether a host function lies between this frame and the one before: the guest of this frame
    /// called it, and it called the guest of the frame before.
    pub fn crossed_host(&self) -> bool {
        match &self.0 {
            Source::Live(walk) => walk.crossed_host(),
            _ => false,
        }
    }

    fn frame(&self) -> &StackFrame {
        let frame = match &self.0 {
            Source::Frames { frames, next } => next.checked_sub(1).and_then(|i| frames.get(i)),
            _ => None,
        };
        frame.expect("next() has returned true")
    }
}

impl std::fmt::Debug for StackIterator<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("StackIterator")
    }
}

/// The function of a frame.
#[derive(Clone, Copy)]
pub struct InternalFunction<'a>(Kind<'a>);

#[derive(Clone, Copy)]
enum Kind<'a> {
    Live(&'a Walk<'a>),
    Frame(&'a StackFrame),
}

impl<'a> InternalFunction<'a> {
    /// Its definition.
    pub fn definition(&self) -> FunctionDefinition<'a> {
        match self.0 {
            Kind::Live(walk) => FunctionDefinition::of(walk.definition()),
            Kind::Frame(frame) => frame.function.definition(),
        }
    }

    /// The module of the function; none for a double, and for host functions that are no imports.
    pub fn module(&self) -> Option<Module> {
        self.definition().module()
    }

    /// The offset in the module's code section of a program counter of this function. None if it is of
    /// another function.
    pub fn source_offset_for_pc(&self, pc: ProgramCounter) -> Option<u32> {
        match self.0 {
            Kind::Live(walk) => walk.source_offset(pc.0).map(CodeOffset::as_u32),
            Kind::Frame(frame) => (pc.0 == frame.pc).then_some(frame.source_offset),
        }
    }

    /// Source lines of a program counter of this function, the innermost inlined function first;
    /// empty without debug information. Slow, and allocates.
    pub fn source_locations_for_pc(&self, pc: ProgramCounter) -> Vec<SourceLocation> {
        let offset = self.source_offset_for_pc(pc);
        let module = self.module();
        module.zip(offset).map(|(m, o)| m.source_locations(o)).unwrap_or_default()
    }
}

impl std::fmt::Debug for InternalFunction<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "InternalFunction({:?})", self.definition())
    }
}

/// A frame of a double, for tests of listeners: see [`new_stack_iterator`].
#[derive(Clone, Debug)]
pub struct StackFrame {
    /// The function.
    pub function: TestFunction,
    /// Its arguments as raw slots.
    pub params: Vec<u64>,
    /// Its results as raw slots, for when it returns.
    pub results: Vec<u64>,
    /// The program counter.
    pub pc: u64,
    /// The offset of the program counter in the code section.
    pub source_offset: u32,
}

impl StackFrame {
    /// A frame of a function without values, at 0.
    pub fn new(function: TestFunction) -> StackFrame {
        let (params, results) = (Vec::new(), Vec::new());
        StackFrame { function, params, results, pc: 0, source_offset: 0 }
    }

    /// Sets the arguments.
    pub fn with_params(mut self, params: impl Into<Vec<u64>>) -> Self {
        self.params = params.into();
        self
    }

    /// Sets the results.
    pub fn with_results(mut self, results: impl Into<Vec<u64>>) -> Self {
        self.results = results.into();
        self
    }

    /// Sets the program counter.
    pub fn with_pc(mut self, pc: u64) -> Self {
        self.pc = pc;
        self
    }

    /// Sets the offset in the code section.
    pub fn with_source_offset(mut self, offset: u32) -> Self {
        self.source_offset = offset;
        self
    }
}

/// An iterator over frames of doubles, the top frame first.
pub fn new_stack_iterator(frames: &[StackFrame]) -> StackIterator<'_> {
    StackIterator(Source::Frames { frames, next: 0 })
}
