//! Walking the frames of a guest for a `StackIterator`, in place.

use crate::code::registry::Located;
use crate::listen::hook::Hook;
use crate::listen::hook::{Described, top_of};
use crate::store::inner::StoreInner;
use std::ops::Range;
use wardian_types::{CodeOffset, DefinedFuncIndex};
use wardian_vm::addr::CodeAddr;
use wardian_vm::frames::{Frames, Step};

/// A walk through the guests of a store whose innermost waits in a call into the host.
pub struct Walk<'a> {
    store: &'a StoreInner,
    /// The function that a listener is notified of; it has no frame yet.
    top: Option<&'a Hook>,
    state: State,
    frames: Option<Frames<'a>>,
    /// The code that the current frame is in; mostly the next one is in the same.
    code: Option<Located>,
    /// Where there is no code of modules: trampolines and wrappers, whose frames are left out.
    gap: Range<CodeAddr>,
    pc: CodeAddr,
    /// Position of the current function among those that its module defines.
    defined: DefinedFuncIndex,
    crossed_host: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Before,
    Top,
    Frame,
    End,
}

impl<'a> Walk<'a> {
    fn new(store: &'a StoreInner, top: Option<&'a Hook>) -> Walk<'a> {
        Walk {
            store,
            top,
            state: State::Before,
            frames: None,
            code: None,
            gap: CodeAddr::NULL..CodeAddr::NULL,
            pc: CodeAddr::NULL,
            defined: DefinedFuncIndex::from_u32(0),
            crossed_host: false,
        }
    }

    /// From a function that is about to be called, outwards.
    #[inline]
    pub fn from_listener(store: &'a StoreInner, hook: &'a Hook) -> Walk<'a> {
        Walk::new(store, Some(hook))
    }

    /// From the guest that is calling the host outwards; nothing if no guest is.
    pub fn from_host(store: &'a StoreInner) -> Walk<'a> {
        Walk::new(store, None)
    }

    /// The same walk from its beginning.
    pub fn restarted(&self) -> Walk<'a> {
        Walk::new(self.store, self.top)
    }

    /// Goes one frame outwards.
    pub fn advance(&mut self) -> bool {
        self.crossed_host = false;
        match self.state {
            State::Before if self.top.is_some() => {
                self.state = State::Top;
                return true;
            }
            State::End => return false,
            _ => {}
        }
        let store = self.store;
        let frames = self.frames.get_or_insert_with(|| {
            // SAFETY: a listener or a host function holds the store while its guest waits; nothing
            // runs on the guest's stack as long as this borrows the store.
            unsafe { Frames::at_host_call(&*store.ctx()) }
        });
        for step in frames.by_ref() {
            let pc = match step {
                Step::Host => {
                    self.crossed_host = true;
                    continue;
                }
                Step::Frame(pc) => pc,
            };
            if self.gap.contains(&pc) {
                continue;
            }
            if !self.code.as_ref().is_some_and(|c| c.contains(pc)) {
                match store.engine().code().locate_or_gap(pc) {
                    Ok(code) => self.code = Some(code),
                    Err(gap) => {
                        self.gap = gap;
                        continue;
                    }
                }
            }
            let found = self.code.as_ref().and_then(|c| c.code.function_at(pc));
            if let Some(defined) = found {
                (self.state, self.pc, self.defined) = (State::Frame, pc, defined);
                return true;
            }
        }
        self.state = State::End;
        false
    }

    /// Whether there are frames of the host between this and the one before.
    pub fn crossed_host(&self) -> bool {
        self.crossed_host
    }

    /// The program counter of the current frame.
    pub fn pc(&self) -> u64 {
        match self.state {
            State::Frame => self.pc.as_usize() as u64,
            _ => top_of(self.top()).1.as_usize() as u64,
        }
    }

    fn top(&self) -> &'a Hook {
        assert!(self.state == State::Top, "there is no current frame: see StackIterator::next");
        self.top.expect("the walk began at a listener")
    }

    fn located(&self) -> &Located {
        self.code.as_ref().expect("a frame lies in code")
    }

    /// The function of the current frame.
    pub fn definition(&self) -> Described<'_> {
        if self.state != State::Frame {
            return top_of(self.top()).0;
        }
        let module = &self.located().module;
        Described::Module(module, module.decoded.info().func_index(self.defined))
    }

    /// The offset in the code section for a program counter of the current function.
    pub fn source_offset(&self, pc: u64) -> Option<CodeOffset> {
        if self.state != State::Frame {
            let begins = pc == self.pc();
            return self.definition().body_offset().filter(|_| begins);
        }
        let located = self.located();
        let pc = CodeAddr::from_usize(usize::try_from(pc).ok()?);
        if !located.contains(pc) || located.code.function_at(pc) != Some(self.defined) {
            return None;
        }
        located.location(pc).or_else(|| self.definition().body_offset())
    }
}
