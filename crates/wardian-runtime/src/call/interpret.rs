//! Running an entry that has interpreted frames: one loop, whatever calls whatever.
//!
//! ```text
//!              ┌──────────────> executor ── exit ───────────┐
//!   entry ──> loop                                          ├──> what comes next
//!              └──────────────> compiled code ── status ────┘
//!
//!   boundary: compiled code or the embedder called        moved: compiled code does the frame's work
//!   ┌──────────┬───────────┬──────────────┬───────        ┌───────────┬─────────────────┬─────────
//!   │ Boundary │ arguments │ previous = ──┼── to it       │ arguments │ ip = 0          │
//!   └──────────┴───────────┴──────────────┴───────        └───────────┴─────────────────┴─────────
//! ```
//!
//! Neither the executor nor compiled code ever calls the other: each returns here with what it wants, and
//! when it is resumed it finds the results where it left room for them. All state between is in the frames:
//! so an entry can be left at any call, copied, and put back.
//!
//! A frame with an ip of zero is *moved*: compiled code above it does its work, and its results are the
//! frame's. That is so for loops that continue in compiled code, and for frames of calls that have no
//! interpreted frame of their own.

mod frames;

use crate::call::runtime_calls::WHOLE_FUNCTION;
use crate::call::unwind::unwind;
use crate::ids::InstanceId;
use crate::listen;
use crate::store::functions::FuncKind;
use crate::store::host::{Dispatch, HostDef};
use crate::{Error, ErrorKind};
use frames::vmctx_of;
use std::sync::atomic::Ordering;
use wardian_types::{DefinedFuncIndex, TrapCode};
use wardian_vm::activation::{WasmSp, status};
use wardian_vm::addr::{CodeAddr, SlotsPtr, StackAddr, VmCtxPtr};
use wardian_vm::interpreted::{Boundary, CallerLink, Function, PendingCall, exit, frame, target};
use wardian_vm::interrupt::reason;
use wardian_vm::layout::{HostFunc, StoreCtx, VmFunc};
use wardian_vm::segment;

/// What the loop does next.
enum Next {
    /// Run the interpreted frame at `interp_fp`.
    Execute,
    /// See what compiled code returned with.
    Compiled(u64),
    /// The entry is over, or left.
    End(u64),
}

/// A function that an instance defines, as the target words of the runtime name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Callee {
    pub(crate) instance: InstanceId,
    pub(crate) defined: DefinedFuncIndex,
}

impl Callee {
    /// The word that interpreted code finds where the runtime has to make the call.
    pub(crate) fn target(self) -> u64 {
        u64::from(self.instance.as_u32()) << 35
            | u64::from(self.defined.as_u32()) << 3
            | target::RUNTIME
    }

    fn of_target(word: u64) -> Callee {
        Callee {
            instance: InstanceId::from_u32((word >> 35) as u32),
            defined: DefinedFuncIndex::from_u32((word >> 3) as u32),
        }
    }
}

/// The word that interpreted code finds for a host function with so many slots.
pub(crate) fn host_target(slots: usize) -> u64 {
    (slots as u64) << 3 | target::HOST
}

/// Runs an entry in which there are interpreted frames: see [`wardian_vm::interpreted::Interpret`].
pub(crate) unsafe extern "C" fn interpret(ctx: *mut StoreCtx, why: u64) -> u64 {
    // SAFETY: called by `wardian_vm::activation` for the innermost entry of a store, whose `owner` is
    // set as for every entry.
    unsafe {
        let run = Run { ctx };
        let mut next = match why {
            status::START => run.start(),
            status::RESUME => run.go_on(),
            status::THROW => Next::End(status::ENDED),
            other => Next::Compiled(other),
        };
        loop {
            next = match next {
                Next::Execute => run.execute(),
                Next::Compiled(status::INTERPRET) => run.called_by_compiled(),
                Next::Compiled(fp) if fp >= status::FRAMES => {
                    run.compiled_returned(StackAddr::from_usize(fp as usize))
                }
                Next::Compiled(status::ENDED) | Next::End(status::ENDED) if run.catch() => {
                    run.go_on()
                }
                Next::Compiled(status) | Next::End(status) => return status,
            }
        }
    }
}

/// A call on its way.
struct Call {
    callee: Callee,
    /// The word `previous` of its frame.
    previous: CallerLink,
    /// Arguments, and room for results.
    slots: *mut u64,
    /// The context of the calling instance; zero for the embedder.
    caller: VmCtxPtr,
    /// Whether the caller's frame is gone already.
    is_tail: bool,
}

/// A frame that has returned.
struct Ended {
    /// Its word `previous`.
    previous: CallerLink,
    /// Where its results are.
    place: *mut u64,
    result_slots: usize,
    /// Its function and instance, if it was more than the stand-in for a call.
    function: Option<*const Function>,
    vmctx: VmCtxPtr,
}

/// The innermost entry of a store.
///
/// All methods are unsafe for the same reason: the store must be valid, this thread must have it, and
/// its interpreted frames must be as [`wardian_vm::interpreted`] describes. None keeps a reference into
/// the store while something else runs.
#[derive(Clone, Copy)]
struct Run {
    ctx: *mut StoreCtx,
}

impl Run {
    /// Prepares the guest to be resumed at the handler of the exception that it has thrown, if it has thrown one
    /// and there is a handler.
    unsafe fn catch(self) -> bool {
        // SAFETY: see [`Run`]: the entry was just left.
        unsafe { (*self.ctx).thrown != 0 && unwind(self.ctx) }
    }

    /// Runs interpreted code until it wants something.
    unsafe fn execute(self) -> Next {
        // SAFETY: see [`Run`].
        unsafe {
            if (*self.ctx).capture[0].load(Ordering::Relaxed) != 0 {
                // Interpreted code looks at this word at its safepoints.
                (*self.ctx).interrupt.fetch_or(reason::DEFERRED, Ordering::Relaxed);
            }
            (*self.ctx).interp_sp = StackAddr::NULL;
            let exit = wardian_interp::execute(self.ctx);
            if exit == exit::RETURN {
                return self.returned();
            }
            let fp = self.fp();
            self.free_above(fp);
            match exit {
                exit::CALL if (*self.ctx).call.tail != 0 => self.tail_call(fp),
                exit::CALL => self.pending_call(fp),
                exit::TRAP => {
                    (*self.ctx).trap_pc = CodeAddr::NULL;
                    Next::End(status::TRAPPED)
                }
                exit::ENTER_LOOP => self.enter_loop(fp),
                _ => Next::End(status::ENDED),
            }
        }
    }

    /// A frame has returned to no interpreted frame; the executor has saved what its results may have
    /// overwritten.
    unsafe fn returned(self) -> Next {
        // SAFETY: see [`Run`].
        unsafe {
            let PendingCall { target: previous, ctx: vmctx, code: function, slots, .. } =
                (*self.ctx).call;
            let function = function.as_usize() as *const Function;
            self.return_from(Ended {
                previous: CallerLink::from_word(previous as usize),
                place: slots.as_ptr(),
                result_slots: (*function).result_slots as usize,
                function: Some(function),
                vmctx,
            })
        }
    }

    /// A call that interpreted code leaves to the runtime.
    unsafe fn pending_call(self, fp: *mut usize) -> Next {
        // SAFETY: see [`Run`]; the executor has filled `call`.
        unsafe {
            let PendingCall { target, slots, .. } = (*self.ctx).call;
            self.call(Call {
                callee: Callee::of_target(target),
                previous: CallerLink::other_instance(fp.cast()),
                slots: slots.as_ptr(),
                caller: vmctx_of(fp),
                is_tail: false,
            })
        }
    }

    /// A tail call that interpreted code leaves to the runtime: the frame goes, its caller is to get the
    /// results.
    unsafe fn tail_call(self, fp: *mut usize) -> Next {
        // SAFETY: see [`Run`]. The arguments are moved downwards, to where those of the frame were.
        unsafe {
            let PendingCall { target, ctx, slots, arg_slots, .. } = (*self.ctx).call;
            let caller = vmctx_of(fp);
            let previous = CallerLink::from_word(*fp.offset(frame::PREVIOUS));
            let mut previous = previous.from_other_instance();
            if previous.is_listened() {
                let function = *fp.offset(frame::FUNCTION) as *const Function;
                if let Some(hook) = self.hook_of(caller, function)
                    && listen::tail(hook) != 0
                {
                    return self.ended_in(fp);
                }
                previous = previous.unlistened();
                *fp.offset(frame::PREVIOUS) = previous.as_word();
            }
            let start = self.results_of(fp);
            std::ptr::copy(slots.as_ptr(), start, arg_slots as usize);
            self.stand_in_caller(previous);
            match target & target::KIND {
                target::HOST => return self.call_host(ctx.as_ptr(), start, previous),
                // The executor would have made the call itself, if no listener had to be notified of the tail
                // call.
                target::INTERPRETED => {
                    let function = (target - target::INTERPRETED) as usize as *const Function;
                    return self.push(function, ctx, previous, start);
                }
                _ => {}
            }
            let callee = Callee::of_target(target);
            self.call(Call { callee, previous, slots: start, caller, is_tail: true })
        }
    }

    /// Calls a function that an instance defines.
    unsafe fn call(self, call: Call) -> Next {
        // SAFETY: see [`Run`].
        unsafe {
            let Callee { instance, defined } = call.callee;
            let inner = self.inner();
            let data = &(&(*inner).entities)[instance];
            let (vmctx, variant) = (data.vm().address(), data.variant());
            if let Some(code) = data.closed() {
                return self.failed(Error::new(ErrorKind::Closed(code)));
            }
            if data.module().compiled(variant, defined).is_some() && !self.must_interpret(&call) {
                return self.call_compiled(call, vmctx);
            }
            let hook = (*inner).active_hook(instance, defined);
            let code = match data.module().interpreted(defined) {
                Ok(code) => code,
                Err(error) => return self.failed(error),
            };
            let function: *const Function = code.function();
            let mut previous = call.previous;
            if let Some(hook) = hook {
                if (*hook).vm.body.is_null() {
                    (*hook).vm.body = CodeAddr::of((*function).entry.cast());
                }
                let fp = StackAddr::of(call.slots.add((*function).param_slots as usize));
                if listen::before_interpreted(hook, call.slots, call.caller, fp) != 0 {
                    return Next::End(status::ENDED);
                }
                previous = previous.listened();
            }
            self.push(function, vmctx, previous, call.slots)
        }
    }

    /// Makes the frame of an interpreted function whose arguments are at `slots`.
    unsafe fn push(
        self,
        function: *const Function,
        vmctx: VmCtxPtr,
        previous: CallerLink,
        slots: *mut u64,
    ) -> Next {
        // SAFETY: see [`Run`].
        unsafe {
            let fp = slots.add((*function).param_slots as usize).cast::<usize>();
            if !self.has_room(fp.cast::<u64>().add((*function).frame_slots as usize)) {
                return self.failed(TrapCode::StackOverflow.into());
            }
            *fp.offset(frame::PREVIOUS) = previous.as_word();
            *fp.offset(frame::IP) = (*function).entry as usize;
            *fp.offset(frame::FUNCTION) = function as usize;
            *fp.offset(frame::VMCTX) = vmctx.as_usize();
            // A sample finds the frame at its first instruction, not in a call.
            (*self.ctx).interp_sp = StackAddr::NULL;
            self.stand_in(fp);
            Next::Execute
        }
    }

    /// Calls compiled code.
    unsafe fn call_compiled(self, call: Call, vmctx: VmCtxPtr) -> Next {
        // SAFETY: see [`Run`].
        unsafe {
            let inner = self.inner();
            let Callee { instance, defined } = call.callee;
            if let Err(error) = (*inner).install(instance, defined) {
                return self.failed(error);
            }
            let (_, code, _) = (*inner).code_of(instance, defined);
            let module = (&(*inner).entities)[instance].module().clone();
            let entry = match module.entry_trampoline(defined) {
                Ok(entry) => entry,
                Err(error) => return self.failed(error),
            };
            let ty = module.decoded.info().defined_type(defined);
            let end = call.slots.add(ty.buffer_slots());
            let (link, free) = if !call.previous.is_boundary() && !call.is_tail {
                (call.previous.address().as_ptr(), end)
            } else {
                match self.push_moved(call.previous, ty.result_slots(), call.slots, end) {
                    Ok(link) => (link, link.cast::<u64>().add(frame::HEADER)),
                    Err(error) => return self.failed(error),
                }
            };
            (*self.ctx).indirect_caller = call.caller;
            self.enter_compiled(link, free, vmctx, code, call.slots, entry)
        }
    }

    /// Enters compiled code for the frame `link`.
    unsafe fn enter_compiled(
        self,
        link: *mut usize,
        free: *mut u64,
        vmctx: VmCtxPtr,
        code: CodeAddr,
        slots: *mut u64,
        entry: CodeAddr,
    ) -> Next {
        // SAFETY: see [`Run`]; below `sp` the wasm stack is free, as only interpreted frames came since.
        unsafe {
            self.stand_in(link);
            let sp = (*self.ctx).wasm_sp.sp();
            (*self.ctx).interp_sp = StackAddr::of(free);
            (*self.ctx).args = SlotsPtr::of(slots);
            Next::Compiled(segment::enter(self.ctx, vmctx, code, slots, entry, sp))
        }
    }

    /// Makes a frame for a call that has none: when it returns, its results are at `place`.
    unsafe fn push_moved(
        self,
        previous: CallerLink,
        result_slots: usize,
        place: *mut u64,
        at: *mut u64,
    ) -> Result<*mut usize, Error> {
        // SAFETY: see [`Run`].
        unsafe {
            let fp = at.cast::<usize>();
            if !self.has_room(fp.cast::<u64>().add(frame::HEADER)) {
                return Err(TrapCode::StackOverflow.into());
            }
            *fp.offset(frame::PREVIOUS) = previous.as_word();
            *fp.offset(frame::IP) = 0;
            *fp.offset(frame::FUNCTION) = result_slots << 1 | 1;
            *fp.offset(frame::VMCTX) = place as usize;
            Ok(fp)
        }
    }

    /// Calls a host function in a frame of its own.
    unsafe fn call_host(self, host: *mut HostFunc, slots: *mut u64, previous: CallerLink) -> Next {
        // SAFETY: see [`Run`]. Records of host functions live as long as the store, and what they
        // dispatch to takes slots for its signature.
        unsafe {
            let (ty, dispatch) = {
                let def = &*((*host).definition.as_ptr::<HostDef>().cast_const());
                (def.ty.clone(), (*host).dispatch)
            };
            let end = slots.add(ty.buffer_slots());
            let fp = match self.push_moved(previous, ty.result_slots(), slots, end) {
                Ok(fp) => fp,
                Err(error) => return self.failed(error),
            };
            self.stand_in(fp);
            self.free_above(fp);
            let dispatch: Dispatch = std::mem::transmute(dispatch.to_function());
            let done = dispatch(host, slots);
            if done != 0 || (*self.inner()).word() != 0 {
                return Next::End(status::ENDED);
            }
            self.return_from(self.ended(fp))
        }
    }

    /// A loop, or a function from its beginning, continues in compiled code.
    unsafe fn enter_loop(self, fp: *mut usize) -> Next {
        // SAFETY: see [`Run`]. The code was compiled for this very loop, and reads the frame.
        unsafe {
            let function = &*(*fp.offset(frame::FUNCTION) as *const Function);
            let vmctx = vmctx_of(fp);
            let code = (*self.ctx).call.code.as_usize();
            let inner = self.inner();
            let is_whole = code & WHOLE_FUNCTION != 0;
            let entry = match is_whole {
                true => (*inner).function_entry(vmctx, function.defined),
                false => (*inner).loop_entry(vmctx, function.defined),
            };
            let entry = match entry {
                Ok(entry) => entry,
                Err(error) => return self.failed(error),
            };
            // A loop's one argument is the frame. Results go above it, for they may need more room than
            // the parameters, behind which the header lies.
            let (params, results) = (function.param_slots as usize, function.result_slots as usize);
            let slots = fp.cast::<u64>().add(function.frame_slots as usize);
            let end = slots.add(params.max(results).max(1));
            if !self.has_room(end) {
                return self.failed(TrapCode::StackOverflow.into());
            }
            if is_whole {
                std::ptr::copy_nonoverlapping(self.results_of(fp), slots, params);
            } else {
                slots.write(fp as u64);
            }
            *fp.offset(frame::IP) = 0;
            let code = CodeAddr::from_usize(code & !WHOLE_FUNCTION);
            self.enter_compiled(fp, end, vmctx, code, slots, entry)
        }
    }

    /// Compiled code that was entered for the frame at `fp` has returned.
    unsafe fn compiled_returned(self, fp: StackAddr) -> Next {
        // SAFETY: see [`Run`]; `args` are again those of the code that returned.
        unsafe {
            let sp = (*self.ctx).wasm_sp.sp().above(segment::LINK);
            (*self.ctx).wasm_sp = WasmSp::compiled(sp);
            let fp = fp.as_ptr();
            self.stand_in(fp);
            if *fp.offset(frame::IP) != 0 {
                return Next::Execute;
            }
            let ended = self.ended(fp);
            let results = (*self.ctx).args.as_ptr();
            if results != ended.place {
                std::ptr::copy(results, ended.place, ended.result_slots);
            }
            self.return_from(ended)
        }
    }

    /// Compiled code has called a function that is interpreted.
    unsafe fn called_by_compiled(self) -> Next {
        // SAFETY: see [`Run`]. The stub has noted the record and the slots, and its frame is at `wasm_sp`.
        unsafe {
            let ctx = self.ctx;
            let record = &*(*ctx).callee;
            let native = (*ctx).callee_slots;
            let boundary = (*ctx).interp_sp.as_ptr::<Boundary>();
            let slots = boundary.add(1).cast::<u64>();
            let of_entry = self.activation().args.get();
            let params = record.param_slots as usize;
            if !self.has_room(slots.add(params)) {
                return self.failed(TrapCode::StackOverflow.into());
            }
            // Not for deferred work, after which it would be resumed behind the call.
            if (*self.inner()).interrupted() {
                return Next::End(status::ENDED);
            }
            boundary.write(Boundary {
                wasm_sp: (*ctx).wasm_sp,
                slots: native,
                args: if (*ctx).args == of_entry { SlotsPtr::NULL } else { (*ctx).args },
                result_slots: record.result_slots as usize,
            });
            std::ptr::copy_nonoverlapping(native.as_ptr(), slots, params);
            let caller = if record.noted != 0 { (*ctx).indirect_caller } else { record.vmctx };
            let defined = record.defined as u32;
            let Some(instance) = (*self.inner()).instance_at(record.vmctx) else {
                return self.failed(Error::new(ErrorKind::Internal("a call of nobody".into())));
            };
            self.call(Call {
                callee: Callee { instance, defined: DefinedFuncIndex::from_u32(defined) },
                previous: CallerLink::boundary(boundary),
                slots,
                caller,
                is_tail: false,
            })
        }
    }

    /// A frame has returned; its results are in their place.
    unsafe fn return_from(self, ended: Ended) -> Next {
        // SAFETY: see [`Run`].
        unsafe {
            let Ended { previous, place, .. } = ended;
            if previous.is_listened()
                && let Some(function) = ended.function
                && let Some(hook) = self.hook_of(ended.vmctx, function)
            {
                (*self.ctx).interp_sp = StackAddr::of(place.add(ended.result_slots));
                if listen::after(hook, place) != 0 {
                    return Next::End(status::ENDED);
                }
            }
            let caller = previous.address();
            if !previous.is_boundary() {
                self.stand_in(caller.as_ptr());
                return Next::Execute;
            }
            let Boundary { wasm_sp, slots, args, result_slots } = *caller.as_ptr();
            let of_entry = self.activation().args.get();
            (*self.ctx).interp_sp = caller;
            if wasm_sp.is_none() {
                std::ptr::copy_nonoverlapping(place, of_entry.as_ptr(), result_slots);
                return Next::End(status::RETURNED);
            }
            std::ptr::copy_nonoverlapping(place, slots.as_ptr(), result_slots);
            (*self.ctx).args = if args.is_null() { of_entry } else { args };
            (*self.ctx).wasm_sp = wasm_sp;
            Next::Compiled(segment::resume(self.ctx))
        }
    }

    /// Begins an entry: the embedder calls the function at the store's `call`.
    unsafe fn start(self) -> Next {
        // SAFETY: see [`Run`]. `args` fit the function's signature.
        unsafe {
            let ctx = self.ctx;
            let func = (*ctx).call.target as usize as *const VmFunc;
            let inner = self.inner();
            let kind = (*inner).entities.funcs().kind((*func).index).clone();
            let ty = (*inner).func_type((*func).index).clone();
            let boundary = (*ctx).interp_sp.as_ptr::<Boundary>();
            let slots = boundary.add(1).cast::<u64>();
            (*ctx).wasm_sp = WasmSp::interpreted((*ctx).entry_sp);
            (*ctx).interp_fp = StackAddr::NULL;
            if !self.has_room(slots.add(ty.buffer_slots())) {
                return self.failed(TrapCode::StackOverflow.into());
            }
            boundary.write(Boundary::of_embedder(ty.result_slots()));
            std::ptr::copy_nonoverlapping((*ctx).args.as_ptr(), slots, ty.param_slots());
            let previous = CallerLink::boundary(boundary);
            match kind {
                FuncKind::Host(_) => self.call_host((*func).ctx.as_ptr(), slots, previous),
                FuncKind::Wasm { instance, func } => {
                    let module = &(&(*inner).entities)[instance].module();
                    let defined = module.decoded.info().defined_function(func);
                    let defined = defined.expect("a function of an instance has a body");
                    let callee = Callee { instance, defined };
                    self.call(Call {
                        callee,
                        previous,
                        slots,
                        caller: VmCtxPtr::NULL,
                        is_tail: false,
                    })
                }
            }
        }
    }

    /// Resumes an entry that was left.
    unsafe fn go_on(self) -> Next {
        // SAFETY: see [`Run`]. It stands where it stood, or where a snapshot of it stood.
        unsafe {
            if !(*self.ctx).wasm_sp.is_interpreted() {
                return Next::Compiled(segment::resume(self.ctx));
            }
            let fp = self.fp();
            if *fp.offset(frame::IP) != 0 {
                return Next::Execute;
            }
            // A host function that was called in a frame of its own has returned.
            self.return_from(self.ended(fp))
        }
    }
}
