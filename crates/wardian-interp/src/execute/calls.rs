//! Calls.
//!
//! ```text
//!   caller    … operand stack | arguments |
//!   callee                    | parameters | previous | ip | function | vmctx | locals …
//!                                          ^ fp + end
//! ```
//!
//! The frames of a call to another instance say so in `previous`; calls within an instance, which are
//! nearly all, keep the bounds of memory 0 at hand, going and coming.

use super::state::{State, handlers};
use crate::call_targets;
use crate::op;
use crate::operand::{Far, U32};
use std::sync::atomic::{AtomicU64, Ordering};
use wardian_types::{TrapCode, TypeNumber};
use wardian_vm::addr::{CodeAddr, CtxOffset, FuncIdentity, SlotsPtr, StackAddr, VmCtxPtr};
use wardian_vm::interpreted::{CallerLink, Function, PendingCall, Service, exit, header, target};
use wardian_vm::layout::{HostFunc, VmFunc, VmImport, VmTable, instance};

type Dispatch = unsafe extern "C" fn(*mut HostFunc, *mut u64) -> u64;
type Resolve = unsafe extern "C" fn(VmCtxPtr, u64) -> u64;

/// What is called.
#[derive(Clone, Copy)]
pub(super) struct Callee {
    /// The target word.
    pub(super) word: u64,
    pub(super) ctx: VmCtxPtr,
    pub(super) code: CodeAddr,
    pub(super) defined: u64,
    /// Whether the callee may want to know who calls.
    pub(super) notes: bool,
}

/// A target word. Other threads may put in another one.
#[inline(always)]
pub(super) unsafe fn word(at: *mut u64) -> u64 {
    // SAFETY: a word of an instance or of a function's record, which are aligned.
    unsafe { AtomicU64::from_ptr(at).load(Ordering::Acquire) }
}

/// The function to interpret of a target word.
#[inline(always)]
pub(super) fn interpreted(word: u64) -> Option<*const Function> {
    let function = word.wrapping_sub(target::INTERPRETED);
    (word & target::KIND == target::INTERPRETED).then_some(function as usize as *const Function)
}

impl State {
    /// Whether there is room for a frame, and nobody wants the guest to stop.
    #[inline(always)]
    pub(super) unsafe fn may_enter(&self, function: *const Function, fp: *mut u64) -> bool {
        // SAFETY: a function of the target word.
        unsafe {
            let store = self.store();
            let end = StackAddr::of(fp).above((*function).frame_slots as usize * 8);
            end <= (*store).interp_limit && !self.interrupted()
        }
    }

    /// Ends a call whose frame [`State::may_enter`] refuses: with a trap if there is no room for it.
    #[inline(always)]
    pub(super) unsafe fn refuse(&self, function: *const Function, fp: *mut u64) -> u64 {
        // SAFETY: as above.
        unsafe {
            let end = StackAddr::of(fp).above((*function).frame_slots as usize * 8);
            if end > (*self.store()).interp_limit {
                return self.trap(TrapCode::StackOverflow);
            }
            self.ended_at(self.at)
        }
    }

    /// Makes a frame and goes to its first instruction. The instance stays the same.
    #[inline(always)]
    pub(super) unsafe fn enter(
        mut self,
        function: *const Function,
        fp: *mut u64,
        previous: CallerLink,
    ) -> u64 {
        // SAFETY: there is room for the frame.
        unsafe {
            *fp.offset(header::PREVIOUS) = previous.as_word() as u64;
            *fp.offset(header::FUNCTION) = function as u64;
            // For samples, until the frame writes it anew.
            *fp.offset(header::IP) = (*function).entry as u64;
            *fp.offset(header::VMCTX) = self.vmctx.as_usize() as u64;
            (*self.store()).interp_fp = StackAddr::of(fp);
            self.fp = fp;
            self.ip = (*function).entry;
            self.go()
        }
    }

    /// Makes a frame for a function of an instance that may be another.
    #[inline(always)]
    pub(super) unsafe fn enter_with(
        mut self,
        function: *const Function,
        ctx: VmCtxPtr,
        fp: *mut u64,
        previous: CallerLink,
    ) -> u64 {
        // SAFETY: there is room for the frame.
        unsafe {
            if ctx == self.vmctx {
                return self.enter(function, fp, previous);
            }
            self.vmctx = ctx;
            *fp.offset(header::FUNCTION) = function as u64;
            self.fp = fp;
            self.with_memory0().enter(function, fp, previous.from_other_instance())
        }
    }

    /// Calls whatever it is.
    #[inline(always)]
    unsafe fn call(self, callee: Callee, Far(end): Far, U32(args): U32) -> u64 {
        // SAFETY: the arguments lie before `end`.
        unsafe {
            let (fp, store) = (self.fp.offset(end.as_isize()), self.store());
            let slots = fp.sub(args as usize);
            if let Some(function) = interpreted(callee.word) {
                if !self.may_enter(function, fp) {
                    return self.refuse(function, fp);
                }
                *self.fp.offset(header::IP) = self.ip as u64;
                return self.enter_with(
                    function,
                    callee.ctx,
                    fp,
                    CallerLink::same_instance(self.fp),
                );
            }
            *self.fp.offset(header::IP) = self.ip as u64;
            if callee.word == 0 {
                // The runtime could not say what to call, and has said why.
                *self.fp.offset(header::IP) = self.at as u64;
                return exit::ENDED;
            }
            if callee.notes {
                (*store).indirect_caller = self.vmctx;
            }
            if callee.word & target::KIND == target::HOST {
                return self.call_host(callee, slots);
            }
            (*store).call = pending(callee, slots, args, 0);
            exit::CALL
        }
    }

    #[inline(always)]
    unsafe fn call_host(self, callee: Callee, slots: *mut u64) -> u64 {
        // SAFETY: the target word says that the context is a host function, and how many slots it needs.
        unsafe {
            let store = self.store();
            (*store).interp_fp = StackAddr::of(self.fp);
            (*store).interp_sp = StackAddr::of(slots).above((callee.word & !target::KIND) as usize);
            let host = callee.ctx.as_ptr::<HostFunc>();
            let dispatch: Dispatch = std::mem::transmute((*host).dispatch.to_function());
            if dispatch(host, slots) != 0 || self.interrupted() {
                return exit::ENDED;
            }
            self.back_from_host()
        }
    }

    /// A function of the module. Asks for its target word if there is none yet.
    #[inline(always)]
    pub(super) unsafe fn own(&self, at: U32, U32(defined): U32) -> Callee {
        // SAFETY: a target word of the instance.
        unsafe {
            let word = match word(self.instance(at.in_instance())) {
                0 => self.resolve(Service::Resolve, u64::from(defined)),
                word => word,
            };
            Callee {
                word,
                ctx: self.vmctx,
                code: CodeAddr::NULL,
                defined: u64::from(defined),
                notes: false,
            }
        }
    }

    /// An import.
    #[inline(always)]
    pub(super) unsafe fn import(&self, at: U32, U32(index): U32) -> Callee {
        // SAFETY: an import of the instance; what the service does may change it.
        unsafe {
            let import: *mut VmImport = self.instance(at.in_instance());
            let word = match word(&raw mut (*import).target) {
                0 => self.resolve(Service::ResolveImport, u64::from(index)),
                word => word,
            };
            let VmImport { code, ctx, .. } = *import;
            Callee { word, ctx, code, defined: 0, notes: true }
        }
    }

    /// What a function reference points to.
    #[inline(always)]
    pub(super) unsafe fn referred(&self, func: *mut VmFunc) -> Callee {
        // SAFETY: a function reference that is not null.
        unsafe {
            (*self.store()).indirect_caller = self.vmctx;
            let word = match word(&raw mut (*func).target) {
                0 => self.resolve(Service::ResolveRef, func as u64),
                word => word,
            };
            Callee { word, ctx: (*func).ctx, code: (*func).code, defined: 0, notes: true }
        }
    }

    unsafe fn resolve(&self, service: Service, what: u64) -> u64 {
        // SAFETY: the services of the store. The frame can be seen while they run.
        unsafe {
            let store = self.store();
            *self.fp.offset(header::IP) = self.at as u64;
            let function = *self.fp.offset(header::FUNCTION) as *const Function;
            (*store).interp_sp = StackAddr::of(self.fp.add((*function).frame_slots as usize));
            let resolve: Resolve = std::mem::transmute(self.service(service));
            let word = resolve(self.vmctx, what);
            (*store).interp_sp = StackAddr::NULL;
            word
        }
    }

    /// The element that a call through a table names, checked, or why it cannot be called.
    #[inline(always)]
    pub(super) unsafe fn element(
        &self,
        index: Far,
        table: U32,
        ty: U32,
    ) -> Result<*mut VmFunc, TrapCode> {
        // SAFETY: a table of the instance and a type of its module.
        unsafe {
            let table: *const VmTable = *self.instance(table.in_instance());
            let index = *self.far(index);
            if index >= (*table).len {
                return Err(TrapCode::UndefinedElement);
            }
            let func = *(*table).base.add(index as usize) as *mut VmFunc;
            if func.is_null() {
                return Err(TrapCode::IndirectCallToNull);
            }
            let signatures: *const TypeNumber = *self.instance(CtxOffset::of(instance::SIGNATURES));
            if (*func).sig != *signatures.add(ty.0 as usize) {
                return Err(TrapCode::BadSignature);
            }
            Ok(func)
        }
    }

    /// Notes that a call through a table or a reference calls a function of the own instance.
    #[inline(always)]
    unsafe fn note_target(&self, site: U32, identity: FuncIdentity) {
        if identity.is_null() {
            return;
        }
        // SAFETY: the frame's function has words for each of its calls that note.
        unsafe {
            let caller = *self.fp.offset(header::FUNCTION) as *const Function;
            let entry = identity.entry_in(self.vmctx);
            let words = (*caller).targets.add(site.0 as usize * call_targets::WORDS);
            call_targets::note(&*words.cast(), entry);
        }
    }

    /// As [`Self::element`], and with functions of subtypes. `top` is the first slot that is free.
    #[inline(always)]
    pub(super) unsafe fn element_of_subtype(
        &self,
        index: Far,
        table: U32,
        ty: U32,
        top: Far,
    ) -> Result<*mut VmFunc, TrapCode> {
        // SAFETY: as there; where the signature is another there is such an element, and it is not null.
        unsafe {
            match self.element(index, table, ty) {
                Err(TrapCode::BadSignature) => {
                    let table: *const VmTable = *self.instance(table.in_instance());
                    let func = *(*table).base.add(*self.far(index) as usize);
                    let fits = self.ask_whether(func, top, ty);
                    if fits { Ok(func as *mut VmFunc) } else { Err(TrapCode::BadSignature) }
                }
                known => known,
            }
        }
    }

    /// The function that a reference points to, which validation has proved to be of the right type.
    #[inline(always)]
    pub(super) unsafe fn reference(&self, func: Far) -> Result<*mut VmFunc, TrapCode> {
        // SAFETY: a slot of the frame, which holds a reference to a function.
        let func = unsafe { *self.far(func) } as *mut VmFunc;
        if func.is_null() { Err(TrapCode::NullFunctionReference) } else { Ok(func) }
    }
}

/// A call that is left to the runtime.
pub(super) fn pending(callee: Callee, slots: *mut u64, args: u32, tail: u64) -> PendingCall {
    PendingCall {
        target: callee.word,
        ctx: callee.ctx,
        code: callee.code,
        defined: callee.defined,
        slots: SlotsPtr::of(slots),
        tail,
        arg_slots: u64::from(args),
    }
}

handlers! {
    fn call(s, op::call { target, end, .. }) {
        let Some(function) = interpreted(word(s.instance(target.in_instance()))) else {
            return s.instead(call_other);
        };
        let fp = s.far(end);
        if !s.may_enter(function, fp) {
            return s.instead(call_other);
        }
        *s.fp.offset(header::IP) = s.ip as u64;
        s.enter(function, fp, CallerLink::same_instance(s.fp))
    }

    #[cold]
    fn call_other: call(s, op::call { target, end, defined, args }) {
        s.call(s.own(target, defined), end, args)
    }

    fn call_import(s, op::call_import { import, end, index, args }) {
        s.call(s.import(import, index), end, args)
    }

    fn call_indirect(s, op::call_indirect { index, table, ty, end, .. }) {
        let func = match s.element(index, table, ty) {
            Ok(func) => func,
            // It may be of a subtype.
            Err(TrapCode::BadSignature) => return s.instead(call_element),
            Err(code) => return s.trap(code),
        };
        let Some(function) = interpreted(word(&raw mut (*func).target)) else {
            return s.instead(call_element);
        };
        let fp = s.far(end);
        if (*func).ctx != s.vmctx || !s.may_enter(function, fp) {
            return s.instead(call_element);
        }
        (*s.store()).indirect_caller = s.vmctx;
        *s.fp.offset(header::IP) = s.ip as u64;
        s.enter(function, fp, CallerLink::same_instance(s.fp))
    }

    fn call_indirect_noted(s, op::call_indirect_noted { index, table, ty, end, site, .. }) {
        let func = match s.element(index, table, ty) {
            Ok(func) => func,
            Err(TrapCode::BadSignature) => return s.instead(call_element_noted),
            Err(code) => return s.trap(code),
        };
        if (*func).ctx != s.vmctx {
            return s.instead(call_element_noted);
        }
        s.note_target(site, (*func).identity);
        let Some(function) = interpreted(word(&raw mut (*func).target)) else {
            return s.instead(call_element_noted);
        };
        let fp = s.far(end);
        if !s.may_enter(function, fp) {
            return s.instead(call_element_noted);
        }
        (*s.store()).indirect_caller = s.vmctx;
        *s.fp.offset(header::IP) = s.ip as u64;
        s.enter(function, fp, CallerLink::same_instance(s.fp))
    }

    fn call_ref(s, op::call_ref { func, end, .. }) {
        let func = match s.reference(func) {
            Ok(func) => func,
            Err(code) => return s.trap(code),
        };
        let Some(function) = interpreted(word(&raw mut (*func).target)) else {
            return s.instead(call_referred);
        };
        let fp = s.far(end);
        if (*func).ctx != s.vmctx || !s.may_enter(function, fp) {
            return s.instead(call_referred);
        }
        (*s.store()).indirect_caller = s.vmctx;
        *s.fp.offset(header::IP) = s.ip as u64;
        s.enter(function, fp, CallerLink::same_instance(s.fp))
    }

    fn call_ref_noted(s, op::call_ref_noted { func, end, site, .. }) {
        let func = match s.reference(func) {
            Ok(func) => func,
            Err(code) => return s.trap(code),
        };
        if (*func).ctx != s.vmctx {
            return s.instead(call_referred_noted);
        }
        s.note_target(site, (*func).identity);
        let Some(function) = interpreted(word(&raw mut (*func).target)) else {
            return s.instead(call_referred_noted);
        };
        let fp = s.far(end);
        if !s.may_enter(function, fp) {
            return s.instead(call_referred_noted);
        }
        (*s.store()).indirect_caller = s.vmctx;
        *s.fp.offset(header::IP) = s.ip as u64;
        s.enter(function, fp, CallerLink::same_instance(s.fp))
    }

    #[cold]
    fn call_referred_noted: call_ref_noted(s, op::call_ref_noted { func, end, args, .. }) {
        match s.reference(func) {
            Ok(func) => s.call(s.referred(func), end, args),
            Err(code) => s.trap(code),
        }
    }

    #[cold]
    fn call_referred: call_ref(s, op::call_ref { func, end, args }) {
        match s.reference(func) {
            Ok(func) => s.call(s.referred(func), end, args),
            Err(code) => s.trap(code),
        }
    }

    #[cold]
    fn call_element_noted: call_indirect_noted(s, op::call_indirect_noted { index, table, ty, end, args, .. }) {
        match s.element_of_subtype(index, table, ty, end) {
            Ok(func) => s.call(s.referred(func), end, args),
            Err(code) => s.trap(code),
        }
    }

    #[cold]
    fn call_element: call_indirect(s, op::call_indirect { index, table, ty, end, args }) {
        match s.element_of_subtype(index, table, ty, end) {
            Ok(func) => s.call(s.referred(func), end, args),
            Err(code) => s.trap(code),
        }
    }
}
