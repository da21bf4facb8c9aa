//! What comes after an entry that did not return: resuming it, or the error that it ended with.
//!
//! ```text
//!   Refused ── only deferred work ──> do it, enter again
//!   Ended ──── only deferred work ──> do it, resume the guest
//!      └────── a snapshot of this entry is to be restored ──> put it back, resume
//!   anything else ──> the error; calls that were open in it are aborted
//! ```

use crate::call::stopping::stop_reason;
use crate::error::LimitKind;
use crate::error::StopReason;
use crate::stack::backtrace::Backtrace;
use crate::store::inner::StoreInner;
use crate::{Error, ErrorKind};
use std::sync::atomic::Ordering;
use wardian_types::TrapCode;
use wardian_vm::activation::{Outcome, Suspended};
use wardian_vm::addr::VmCtxPtr;
use wardian_vm::contain::drop_contained;
use wardian_vm::frames::Frames;
use wardian_vm::interrupt::reason;
use wardian_vm::layout::StoreCtx;

/// Bits of the interrupt word, beside the reasons: an exit is on its way to the outermost call.
const EXITING: u64 = 1 << 16;
/// A snapshot is to be restored: on the way to the entry that it was taken in.
pub(crate) const RESTORING: u64 = 1 << 17;
/// A guest ran out of fuel: on the way to the outermost call, unless a host function gives more.
pub(crate) const OUT_OF_FUEL: u64 = 1 << 18;

/// What to do after an entry that did not return.
pub(crate) enum Next {
    /// Enter again: it was refused for nothing.
    Again,
    /// Go on where the guest stands.
    Resume(Suspended),
    /// It has ended.
    Fail(Error),
}

/// Whether the guest is to end, for whatever reason.
///
/// # Safety
///
/// The context is valid.
pub(crate) unsafe fn is_interrupted(ctx: *const StoreCtx) -> bool {
    // SAFETY: the caller's promise; the field is atomic.
    unsafe { (*ctx).interrupt.load(Ordering::Relaxed) & !reason::DEFERRED != 0 }
}

/// Whether the guest is to end because somebody outside of it says so.
///
/// # Safety
///
/// As for [`is_interrupted`].
pub(crate) unsafe fn must_end(ctx: *const StoreCtx) -> bool {
    // SAFETY: as there.
    unsafe {
        (*ctx).interrupt.load(Ordering::Relaxed)
            & (reason::DEADLINE | reason::CANCELLED | reason::CALL)
            != 0
    }
}

impl StoreInner {
    /// What to do about an entry through the context `ctx`.
    #[cold]
    pub(crate) fn after_entry(&mut self, outcome: Outcome, ctx: VmCtxPtr) -> Next {
        self.context.note_deep();
        self.run_deferred();
        if outcome == Outcome::Refused && self.is_idle() && self.word() & reason::CLOSED != 0 {
            // The call that it was meant for has ended meanwhile.
            self.interrupter().acknowledge(reason::CLOSED);
        }
        // Work may have been deferred again since: it ends nothing either, and is done next time.
        let nothing = !self.interrupted();
        match outcome {
            Outcome::Refused if nothing => return Next::Again,
            Outcome::Ended if nothing && !self.pending.has_error() && !self.was_ended() => {
                // SAFETY: it has just ended so, by the stub of a host function or builtin: those of listeners
                // do not leave for deferred work.
                return Next::Resume(unsafe { Suspended::ended(self.ctx(), ctx) });
            }
            Outcome::Ended if self.pending.restoring().is_some() => {
                // SAFETY: it has just ended.
                let ended = unsafe { Suspended::ended(self.ctx(), ctx) };
                if let Some(next) = self.try_restore(ended) {
                    return next;
                }
            }
            _ => {}
        }
        Next::Fail(self.outcome_error(outcome))
    }

    /// Whether a builtin asked to end the guest.
    fn was_ended(&self) -> bool {
        // SAFETY: the context is valid.
        unsafe { (*self.ctx()).exit != 0 }
    }

    /// The error of a host function that has just failed.
    pub(crate) fn take_pending(&mut self) -> Option<Error> {
        self.pending.take_error()
    }

    /// The interrupt word.
    pub(crate) fn word(&self) -> u64 {
        // SAFETY: the context is valid, the field atomic.
        unsafe { (*self.ctx()).interrupt.load(Ordering::Relaxed) }
    }

    pub(crate) fn set_word(&self, bits: u64) {
        // SAFETY: as above.
        unsafe { (*self.ctx()).interrupt.fetch_or(bits, Ordering::Relaxed) };
    }

    pub(crate) fn clear_word(&self, bits: u64) {
        // SAFETY: as above.
        unsafe { (*self.ctx()).interrupt.fetch_and(!bits, Ordering::Relaxed) };
    }

    /// Whether no guest of the store is open.
    pub fn is_idle(&self) -> bool {
        // SAFETY: the context is valid.
        unsafe { (*self.ctx()).activation.is_null() }
    }

    /// Whether the guest is to stop, or an exit is on its way.
    fn must_stop(&self) -> bool {
        const REASONS: u64 = reason::DEADLINE | reason::CANCELLED | reason::CLOSED | reason::CALL;
        self.word() & (REASONS | EXITING | OUT_OF_FUEL) != 0
    }

    /// Whether the guest is to end, for whatever reason.
    pub fn interrupted(&self) -> bool {
        // SAFETY: the context is valid.
        unsafe { is_interrupted(self.ctx()) }
    }

    /// Whether what stops a guest lets a snapshot be restored.
    pub(crate) fn may_restore(&self) -> bool {
        !self.must_stop() && !self.pending.is_sticky()
    }

    /// The error of an entry that did not return.
    fn outcome_error(&mut self, outcome: Outcome) -> Error {
        let error = match outcome {
            Outcome::NoSignalStack => Error::limit(
                LimitKind::System,
                "the system has no memory for the signal stack of the calling thread",
            ),
            Outcome::HostStackExhausted => Error::new(ErrorKind::HostStackExhausted),
            Outcome::Trapped => self.trap_error(),
            Outcome::Interrupted => {
                let backtrace = self.trap_backtrace();
                self.stop_error().with_trace(backtrace)
            }
            _ => match self.pending.take_error() {
                Some(error) if matches!(error.kind(), ErrorKind::Suspended) => return error,
                Some(error) if error.is_sticky() || !self.must_stop() => self.uncaught(error),
                // A host function that noticed may report it in whatever way it likes.
                Some(mut error) => {
                    let trace = error.take_trace();
                    drop_contained(error);
                    match trace {
                        Some(trace) => self.stop_error().with_boxed_trace(trace),
                        None => self.stop_error(),
                    }
                }
                None if outcome == Outcome::Ended => match self.thrown_error() {
                    Some(error) if !self.must_stop() => self.uncaught(error),
                    _ => self.stop_error_in_call(),
                },
                None => self.stop_error(),
            },
        };
        self.settle(&error);
        error
    }

    /// An error with which an entry has just ended; an exception gets the backtrace of where it was thrown.
    fn uncaught(&self, error: Error) -> Error {
        if error.exception().is_none() || error.has_trace() {
            return error;
        }
        // SAFETY: called right after an entry ended so, before another begins.
        let frames = unsafe { Frames::at_end(&*self.ctx()) };
        error.with_trace(self.symbolize(frames))
    }

    /// Puts the interrupt word right after an entry that ended with this error.
    pub(crate) fn settle(&mut self, error: &Error) {
        self.end_throw();
        // SAFETY: the entry is over; the context is ours.
        unsafe { (*self.ctx()).exit = 0 };
        if self.is_idle() {
            self.clear_word(EXITING | RESTORING | OUT_OF_FUEL);
            self.pending.cancel_restore();
            if self.word() & reason::CLOSED != 0 {
                self.interrupter().acknowledge(reason::CLOSED);
            }
            return;
        }
        if let ErrorKind::Exit(code) = error.kind() {
            // Host functions between here and the outermost call cannot stop an exit.
            self.pending.exit(*code);
            self.set_word(EXITING);
        }
        if error.stop_reason() == Some(StopReason::Fuel) {
            self.set_word(OUT_OF_FUEL);
        }
        self.forget_overruled_restore();
        if self.word() & reason::CLOSED != 0 {
            self.renew_closing();
        }
    }

    /// The error for the reasons in the interrupt word.
    fn stop_error(&self) -> Error {
        let word = self.word();
        if word & EXITING != 0 {
            return Error::exit(self.pending.exit_code());
        }
        let kind = if word & reason::CLOSED != 0 {
            // It comes and goes with the bit, which this thread alone clears.
            let code = self.known_interrupter().and_then(|i| i.closing_code());
            ErrorKind::Closed(code.unwrap_or_default())
        } else if word & (reason::CANCELLED | reason::CALL) != 0 {
            ErrorKind::Stopped(StopReason::Cancelled)
        } else if word & reason::DEADLINE != 0 && self.is_unwatched() {
            return Error::limit(
                LimitKind::System,
                "the system gives no thread to watch the call's deadline",
            );
        } else if word & reason::DEADLINE != 0 {
            ErrorKind::Stopped(StopReason::Deadline)
        } else if word & OUT_OF_FUEL != 0 {
            ErrorKind::Stopped(StopReason::Fuel)
        } else if word & RESTORING != 0 {
            ErrorKind::Restored
        } else {
            ErrorKind::Internal("a guest ended without a reason".into())
        };
        Error::new(kind)
    }

    /// Why the innermost guest, which was suspended, cannot be resumed, if so. Since `closed` instances
    /// had been closed it was not asked whether one that was takes part in its call.
    pub(crate) fn stop_while_suspended(&mut self, closed: usize) -> Option<Error> {
        self.run_deferred();
        if self.entities.closed_instances() != closed {
            // The thread that closed it did not see it run.
            self.renew_closing();
        }
        if !self.must_stop() {
            return None;
        }
        let error = self.stop_error();
        Some(match error.stop_reason() {
            Some(_) => error.with_trace(self.backtrace()),
            None => error,
        })
    }

    /// The error of a guest that was left and is about to be resumed, if an instance that takes part in its
    /// call was closed meanwhile: the thread that closed it did not see it run. `closed` is how many
    /// instances had been closed when that was last checked.
    ///
    /// # Safety
    ///
    /// The guest was left in this store, in the same nesting of entries, and not resumed since.
    pub(crate) unsafe fn closed_while_left(
        &mut self,
        guest: &Suspended,
        closed: &mut usize,
    ) -> Option<Error> {
        if self.entities.closed_instances() == *closed {
            return None;
        }
        let ctx = self.ctx();
        // SAFETY: the caller's promise.
        let error = unsafe {
            guest.as_host(ctx, || {
                self.renew_closing();
                self.must_stop().then(|| self.stop_error())
            })
        };
        *closed = self.entities.closed_instances();
        error.inspect(|error| self.settle(error))
    }

    /// The same for a guest that was stopped while it waited in a call.
    fn stop_error_in_call(&self) -> Error {
        let error = self.stop_error();
        if error.stop_reason().is_none() {
            return error;
        }
        // SAFETY: called right after an entry ended so, before another begins.
        let frames = unsafe { Frames::at_end(&*self.ctx()) };
        error.with_trace(self.symbolize(frames))
    }

    fn trap_error(&mut self) -> Error {
        // SAFETY: the context is valid and the entry over.
        let ctx = unsafe { &*self.ctx() };
        let (pc, address) = (ctx.trap_pc, ctx.trap_addr);
        let overflow = ctx.in_guard(address);
        let code = if pc.is_null() {
            TrapCode::from_u8(ctx.trap_code as u8)
        } else if overflow {
            Some(TrapCode::StackOverflow)
        } else {
            self.engine().code().find(pc).and_then(|p| p.trap)
        };
        let error = match code {
            Some(code) => Error::from(code),
            None => Error::new(ErrorKind::Internal(format!(
                "compiled code faulted where it should not (address {address:?})"
            ))),
        };
        let backtrace = self.trap_backtrace();
        let frame = backtrace.frames.first();
        let access = match code {
            Some(TrapCode::MemoryOutOfBounds) if !pc.is_null() && !address.is_null() => {
                self.faulting_access(address, frame)
            }
            Some(code) if is_access(code) => self.noted_access(frame),
            _ => None,
        };
        error.with_access(access).with_trace(backtrace)
    }

    fn trap_backtrace(&self) -> Backtrace {
        let start_of = |pc| self.engine().code().find(pc).map(|p| p.start);
        // SAFETY: called right after an entry ended so, before another begins.
        let frames = unsafe { Frames::at_trap(&*self.ctx(), start_of) };
        self.symbolize(frames)
    }
}

/// Whether a trap is because of an access to memory.
pub(crate) fn is_access(code: TrapCode) -> bool {
    matches!(code, TrapCode::MemoryOutOfBounds | TrapCode::UnalignedAtomic)
}

impl StoreInner {
    /// Says why work for the store is to stop, if so: also because of the token of a call that runs. It does not borrow
    /// the store, so that the work may change it.
    pub(crate) fn stop_check(&self) -> impl Fn() -> Option<StopReason> + use<> {
        // Without one nobody has a token.
        let interrupter = self.known_interrupter().cloned();
        move || stop_reason(interrupter.as_ref()?.reasons(), reason::CANCELLED | reason::CALL)
    }
}
