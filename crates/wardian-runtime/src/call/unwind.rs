//! Finding the handler of an exception, and resuming its guest there.
//!
//! ```text
//!   throw (builtin), or a host function's error ──> the entry is left ──> the code that runs it asks here
//!        1. search: frame by frame, handlers by program counter, tags by the frame's instance
//!        2. calls that are unwound are aborted, innermost first
//!        3. the guest is prepared to be resumed at the handler, with the values
//! ```
//!
//! The search changes nothing. So an exception that no frame of the entry catches leaves the frames as they
//! are, for a backtrace, and becomes an error where the host called the guest.

use crate::Error;
use crate::code::registry::{Handler, Located};
use crate::ids::TagId;
use crate::listen::keep_first;
use crate::listen::listener::AbortReason;
use crate::store::inner::StoreInner;
use std::panic::{AssertUnwindSafe, catch_unwind};
use wardian_interp::Handler as InterpretedHandler;
use wardian_vm::addr::{CodeAddr, StackAddr, VmCtxPtr};
use wardian_vm::compiled::{CallHandlers, InstanceAt};
use wardian_vm::contain::Payload;
use wardian_vm::interpreted::{Function, frame};
use wardian_vm::layout::StoreCtx;
use wardian_vm::unwind::{Place, Saved, Unwinding};

/// Prepares the guest of the innermost entry to be resumed where the exception that it has thrown is caught: see
/// [`wardian_vm::layout::Unwind`].
pub(crate) unsafe extern "C" fn unwind(ctx: *mut StoreCtx) -> bool {
    // SAFETY: called for the innermost entry of a store, which was left by a call of the host; `owner` is set
    // as for every entry, and no reference to the store is held by who runs the entry.
    unsafe {
        let inner = &mut *((*ctx).owner.as_ptr::<StoreInner>());
        let done = catch_unwind(AssertUnwindSafe(|| inner.catch()));
        done.unwrap_or_else(|panic| {
            inner.end_throw();
            inner.fail(panicked(panic));
            false
        })
    }
}

fn panicked(panic: Payload) -> Error {
    Error::panic(panic)
}

/// Where an exception is caught, in the frame that a walk has come to.
enum Landing {
    Compiled { handler: Handler },
    Interpreted { handler: InterpretedHandler, ip: CodeAddr },
}

/// Compiled code, with what was found last: the next address is often in the same module's.
struct Code<'a> {
    engine: &'a crate::Engine,
    located: Option<Located>,
}

impl Code<'_> {
    fn new(engine: &crate::Engine) -> Code<'_> {
        Code { engine, located: None }
    }

    /// The code of a module around an address.
    fn around(&mut self, address: CodeAddr) -> Option<&Located> {
        if !self.located.as_ref().is_some_and(|l| l.contains(address)) {
            self.located = self.engine.code().locate(address);
        }
        self.located.as_ref()
    }

    /// Which registers the code saves that a call returns to.
    fn saved_at(&mut self, pc: CodeAddr) -> Saved {
        let of_function = self.around(pc.before()).and_then(|l| l.code.saved_at(pc.before()));
        of_function.unwrap_or_else(|| self.engine.saved_by_glue(pc.before()))
    }
}

impl StoreInner {
    /// See [`unwind`].
    ///
    /// # Safety
    ///
    /// As there.
    unsafe fn catch(&mut self) -> bool {
        // A stop, an exit or a restore is on its way: those cannot be caught.
        if self.interrupted() {
            return false;
        }
        // SAFETY: the caller's promise.
        unsafe {
            // It stays in one place: to copy what was just written would take as long as a walk does.
            let mut walk = Unwinding::begin(self.ctx());
            let Some(landing) = self.find_handler(&mut walk) else { return false };
            if let Err(panic) = self.abort_unwound(&walk) {
                self.end_throw();
                self.pending.discard_error();
                self.fail(panicked(panic));
                return false;
            }
            self.land(&mut walk, &landing);
        }
        self.pending.discard_error();
        true
    }

    /// Where the innermost frame is that catches the exception; the walk begins, and then is there.
    ///
    /// # Safety
    ///
    /// As for [`unwind`].
    unsafe fn find_handler(&self, walk: &mut Unwinding) -> Option<Landing> {
        let (tag, _) = self.exceptions.get(self.thrown())?;
        let mut code = Code::new(self.engine());
        // SAFETY: the caller's promise: frames are such as a guest left them.
        unsafe {
            loop {
                let landing = match walk.place()? {
                    Place::Compiled { pc, fp } => {
                        self.compiled_handler(walk, &mut code, (pc, fp), tag)
                    }
                    Place::Interpreted { fp } => self.interpreted_handler(fp, tag),
                };
                if landing.is_some() {
                    return landing;
                }
                walk.outward();
            }
        }
    }

    /// The handler for a tag of the compiled frame at hand, at `fp`, which waits in the call that returns to `pc`.
    ///
    /// # Safety
    ///
    /// As for [`unwind`].
    unsafe fn compiled_handler(
        &self,
        walk: &mut Unwinding,
        code: &mut Code<'_>,
        (pc, fp): (CodeAddr, StackAddr),
        tag: TagId,
    ) -> Option<Landing> {
        // Trampolines and wrappers are no code of a module, and catch nothing.
        let CallHandlers { frame_size, instance, .. } =
            code.around(pc.before())?.code.handlers_at(pc)?.call;
        let sp = fp.below(frame_size as usize);
        // SAFETY: the compiler has put the instance there, in the frame of this very call or in a register.
        let vmctx = unsafe {
            match instance {
                InstanceAt::Stack(offset) => *sp.above(offset.index()).as_ptr(),
                InstanceAt::Register(at) => {
                    VmCtxPtr::from_usize(walk.register(at, |pc| code.saved_at(pc)))
                }
            }
        };
        let handlers = code.around(pc.before())?.code.handlers_at(pc)?;
        let tags = self.entities[self.instance_at(vmctx)?].tags();
        let handler = handlers.find(|index| tags.get(index) == Some(&tag))?;
        Some(Landing::Compiled { handler })
    }

    /// The handler for a tag of the interpreted frame at `fp`.
    ///
    /// # Safety
    ///
    /// As for [`unwind`].
    unsafe fn interpreted_handler(&self, fp: StackAddr, tag: TagId) -> Option<Landing> {
        // SAFETY: a frame that is not moved has a function and an instance.
        let (ip, function, vmctx) = unsafe {
            let words = fp.as_ptr::<usize>();
            let function = &*(*words.offset(frame::FUNCTION) as *const Function);
            (
                CodeAddr::from_usize(*words.offset(frame::IP)),
                function,
                VmCtxPtr::from_usize(*words.offset(frame::VMCTX)),
            )
        };
        let data = &self.entities[self.instance_at(vmctx)?];
        let code = data.module().interpreted(function.defined).ok()?;
        // Behind the call, but for a frame that has not begun.
        let call = if ip == code.start() { ip } else { ip.before() };
        let handler = code.handlers_at(call).find(|handler| {
            handler.tag.is_none_or(|wanted| data.tags().get(wanted) == Some(&tag))
        })?;
        let ip = code.address_of(handler.target);
        Some(Landing::Interpreted { handler: *handler, ip })
    }

    /// Aborts the calls that are unwound, innermost first.
    ///
    /// # Safety
    ///
    /// As for [`unwind`].
    unsafe fn abort_unwound(&mut self, walk: &Unwinding) -> Result<(), Payload> {
        // SAFETY: the caller's promise.
        let is_unwound =
            |frame: Option<StackAddr>| frame.is_some_and(|frame| unsafe { walk.leaves(frame) });
        if !self.listening.innermost().is_some_and(|(_, frame)| is_unwound(frame)) {
            return Ok(());
        }
        let Some(exception) = self.exception_of(self.thrown()) else { return Ok(()) };
        let reason = AbortReason::Exception(&exception);
        let mut first = Ok(());
        while let Some((depth, frame)) = self.listening.innermost()
            && is_unwound(frame)
        {
            first = keep_first(first, self.abort_to(depth, &reason));
        }
        first
    }

    /// Prepares the guest to be resumed at a handler.
    ///
    /// # Safety
    ///
    /// As for [`unwind`]; the handler was found by this walk for the exception that is thrown.
    unsafe fn land(&mut self, walk: &mut Unwinding, landing: &Landing) {
        let handle = self.end_throw();
        let ctx = self.ctx();
        let Some((_, values)) = self.exceptions.get(handle) else { return };
        // SAFETY: the caller's promise. The slots of an interpreted handler are within its frame. The values
        // stay where they are until the next exception is made, which is after compiled code has read them.
        let by_reference = unsafe {
            (*ctx).exit = 0;
            (*ctx).caught = handle;
            match landing {
                Landing::Compiled { handler } => {
                    let payload = values.as_ptr() as u64;
                    (*ctx).caught_by = handler.number.as_u32().into();
                    let (size, pc) = (handler.frame_size, handler.pc);
                    let mut code = Code::new(self.engine());
                    walk.land_compiled(ctx, size, pc, payload, |pc| code.saved_at(pc));
                    handler.by_reference
                }
                Landing::Interpreted { handler, ip } => {
                    if let Some(Place::Interpreted { fp }) = walk.place() {
                        let slots = fp.as_ptr::<u64>();
                        if handler.tag.is_some() {
                            let at = slots.offset(handler.values.as_isize());
                            std::ptr::copy_nonoverlapping(values.as_ptr(), at, values.len());
                        }
                        if let Some(slot) = handler.reference {
                            *slots.offset(slot.as_isize()) = handle;
                        }
                    }
                    walk.land_interpreted(ctx, *ip);
                    handler.reference.is_some()
                }
            }
        };
        self.exceptions.caught(handle, by_reference);
    }
}
