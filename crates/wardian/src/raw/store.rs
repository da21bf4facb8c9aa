//! The inside of a store.

use crate::raw::gc::objects::Gc;
use crate::raw::listen::listening::Listening;
use crate::raw::parts::arena::Arena;
use crate::raw::parts::exceptions::{Exceptions, TagData};
use crate::raw::parts::externrefs::ExternRefs;
use crate::raw::parts::functions::{FuncKind, Functions};
use crate::raw::parts::image::ImageData;
use crate::raw::parts::instance::InstanceData;
use crate::raw::parts::memory::MemoryData;
use crate::raw::parts::pending::PendingExit;
use crate::raw::parts::samples::SamplePlace;
mod lifetime;

use super::signatures::Signature;
use crate::backtrace::{Backtrace, Frame};
use crate::cancel::Tokens;
use crate::checkpoint::Requests;
use crate::close::Shared;
use crate::code::Located;
use crate::limits::ResourceLimiter;
use crate::raw::parts::snapshot::SnapshotData;
use crate::raw::parts::suspension::Suspension;
use crate::raw::parts::table::TableData;
use crate::raw::parts::waiting::{ServeCheckpoints, Waiting};
use crate::{Engine, Error, Module, Result};
use std::ptr::NonNull;
use std::sync::{Arc, Weak};
use wardian_types::FuncType;
use wardian_vm::frames::{Frames, Step};
use wardian_vm::interpreted::FrameLayout;
use wardian_vm::interrupt::Interrupter;
use wardian_vm::layout::{StoreCtx, VmFunc};
use wardian_vm::stack::WasmStack;

/// A store with the embedder's data.
#[repr(C)]
pub(crate) struct StoreData<T: 'static> {
    // First, so that a pointer to the whole is one to this, whatever `T` is.
    pub(crate) inner: StoreInner,
    pub(crate) limiter: Option<LimiterOf<T>>,
    pub(crate) refuel: Option<RefuelOf<T>>,
    pub(crate) host_state: Option<HostStateOf<T>>,
    pub(crate) data: T,
}

/// Gives the limiter in the embedder's data.
pub(crate) type LimiterOf<T> =
    Box<dyn (FnMut(&mut T) -> &mut dyn ResourceLimiter) + Send + Sync + 'static>;

/// Gives the state of the embedder's that checkpoints have, by name.
pub(crate) type HostStateOf<T> =
    Box<dyn (FnMut(&mut T) -> Result<Vec<(String, Vec<u8>)>>) + Send + Sync + 'static>;

/// Asked when fuel runs out.
pub(crate) type RefuelOf<T> = Box<dyn (FnMut(&mut T) -> Option<u64>) + Send + Sync + 'static>;

/// What of a store does not depend on the embedder's data.
pub struct StoreInner {
    ctx: NonNull<StoreCtx>,
    id: u64,
    engine: Engine,
    stack: Option<WasmStack>,
    /// Whether a guest may have used much of the stack.
    pub(super) deep: bool,
    /// Whether a guest has run. Then any memory may have been written to: guests reach those of
    /// other instances through their functions.
    pub(super) has_run: bool,
    pub(crate) instances: Vec<InstanceData>,
    pub(crate) memories: Vec<MemoryData>,
    pub(crate) tables: Vec<TableData>,
    pub(crate) externrefs: ExternRefs,
    /// Objects of guests. Apart, so that a store is small enough to be allocated quickly.
    pub(super) gc: Box<Gc>,
    pub(super) exceptions: Exceptions,
    pub(super) tags: Vec<TagData>,
    pub(super) host_globals: Arena<[u64; 2]>,
    pub(super) host_global_refs: Vec<NonNull<u64>>,
    pub(crate) funcs: Functions,
    /// Why the guest is being left.
    pub(super) pending: PendingExit,
    /// How many instances have been closed.
    pub(super) closed: usize,
    /// Hooks of listeners, and the calls that are open.
    pub(super) listening: Listening,
    /// Of host functions that no module of the store needs to have.
    signatures: Vec<Signature>,
    /// Tokens that stop single calls.
    pub(crate) call_tokens: Tokens,
    /// Whether host functions may take snapshots.
    pub(crate) snapshots: bool,
    /// Snapshots whose bytes may hold references to values of the embedder's.
    pub(super) snapshots_with_references: Vec<Weak<SnapshotData>>,
    /// Images of the store that somebody may have.
    pub(super) images: Vec<Weak<ImageData>>,
    /// What the store shares with those who close instances, once there are any.
    pub(crate) shared: Option<Arc<Shared>>,
    /// Guests that wait in asynchronous host functions.
    pub(crate) suspension: Suspension,
    interrupter: Option<Arc<Interrupter>>,
    /// Checkpoints that other threads wait for, once one has asked.
    pub(crate) checkpoint_requests: Option<Arc<Requests>>,
    /// Takes those of a `StoreData<T>` whose address is passed, for builtins; once one has asked.
    pub(crate) serve_checkpoints: Option<ServeCheckpoints>,
    /// The atomic wait that the guest is in.
    pub(super) waiting: Option<Waiting>,
    /// Where samples of its guests go, or went: see [`super::sampling`].
    pub(super) samples: Option<SamplePlace>,
    /// Gives the limiter of a `StoreData<T>` whose address is passed, for builtins.
    limiter: unsafe fn(usize) -> Option<NonNull<dyn ResourceLimiter>>,
    /// Asks a `StoreData<T>` whose address is passed for more fuel: see [`super::fuel`].
    pub(super) refuel: unsafe fn(usize) -> Option<u64>,
}

// SAFETY: a store owns all that its pointers point to, and is only used through `&` and `&mut` by
// one thread at a time; suspended guests hold nothing that belongs to a thread.
unsafe impl Send for StoreInner {}

// SAFETY: `&StoreInner` only reads.
unsafe impl Sync for StoreInner {}

impl std::fmt::Debug for StoreInner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StoreInner").field("id", &self.id).finish_non_exhaustive()
    }
}

impl StoreInner {
    #[inline]
    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    pub(crate) fn engine(&self) -> &Engine {
        &self.engine
    }

    #[inline]
    pub(crate) fn ctx(&self) -> *mut StoreCtx {
        self.ctx.as_ptr()
    }

    /// The limiter, for a builtin of the guest that runs now.
    ///
    /// # Safety
    ///
    /// A guest of this store runs, and what was given before is no longer used.
    pub(super) unsafe fn running_limiter<'a>(&self) -> Option<&'a mut dyn ResourceLimiter> {
        // SAFETY: while a guest runs `owner` is this store, and builtins hold nothing of it but
        // `inner`.
        unsafe {
            let owner = (*self.ctx()).owner;
            (self.limiter)(owner).map(|mut l| l.as_mut())
        }
    }

    /// Makes sure that there is a stack for guests.
    #[inline]
    pub(super) fn ensure_stack(&mut self) -> Result<()> {
        if self.stack.is_some() { Ok(()) } else { self.attach_stack() }
    }

    #[cold]
    fn attach_stack(&mut self) -> Result<()> {
        let stack = self
            .engine
            .stacks()
            .take()
            .map_err(|e| Error::system("no memory for a guest's stack", e))?;
        // SAFETY: no guest runs, so nobody else uses the context.
        stack.attach(unsafe { self.ctx.as_mut() });
        self.stack = Some(stack);
        Ok(())
    }

    /// Makes sure that there is a stack with room for interpreted frames, which a compiling engine's stacks do not
    /// have. No guest runs.
    pub(super) fn ensure_slots(&mut self) -> Result<()> {
        self.ensure_stack()?;
        // SAFETY: the context is valid.
        let has_slots = unsafe { (*self.ctx()).interp_limit > (*self.ctx()).stack_top };
        if has_slots {
            return Ok(());
        }
        let slots = self.engine.config().stack_size;
        let stack = self.engine.stacks().take_with_slots(slots);
        let stack = stack.map_err(|e| Error::system("no memory for a guest's stack", e))?;
        // SAFETY: no guest runs, so nobody else uses the context, and nothing is on the stack that goes.
        stack.attach(unsafe { self.ctx.as_mut() });
        if let Some(before) = self.stack.replace(stack) {
            self.engine.stacks().give_back(before, self.deep);
        }
        Ok(())
    }

    /// Keeps a signature, with its number and its trampolines, as long as the store.
    pub(crate) fn keep_signature(&mut self, signature: Signature) {
        if self.signatures.iter().all(|kept| kept.number() != signature.number()) {
            self.signatures.push(signature);
        }
    }

    /// A record that references to a function point to.
    pub(crate) fn add_func(&mut self, code: usize, ctx: usize, sig: u32, kind: FuncKind) -> u32 {
        let (store, vmctx) = (self.id, self.ctx());
        // SAFETY: the context is the store's own, and the caller has the store to itself, so no code of guests runs.
        unsafe { self.funcs.add(store, vmctx, (code, ctx, sig), kind) }
    }

    /// The function of a reference as guests hold it: the address of a record, or zero.
    ///
    /// # Safety
    ///
    /// The reference comes from a guest of this store, or from [`Self::reference_to`].
    pub(super) unsafe fn func_of_reference(&self, reference: u64) -> Option<u32> {
        // SAFETY: validation keeps guests from making references up, and records live as long as
        // the store.
        unsafe { (reference as *const VmFunc).as_ref().map(|f| f.index) }
    }

    /// A reference as guests hold it.
    pub(crate) fn reference_to(&self, func: u32) -> u64 {
        self.funcs.record(func).as_ptr() as u64
    }

    /// The word in raw slots for a reference.
    ///
    /// # Safety
    ///
    /// As for [`Self::func_of_reference`].
    pub(super) unsafe fn func_handle(&self, reference: u64) -> u64 {
        // SAFETY: as there.
        unsafe { (reference as *const VmFunc).as_ref().map_or(0, |f| f.handle) }
    }

    /// The reference behind a handle from a raw slot, if it is one of this store's.
    pub(crate) fn reference_of_handle(&self, handle: u64) -> Option<u64> {
        if handle == 0 {
            return Some(0);
        }
        let index = (handle & u64::from(u32::MAX)).checked_sub(1)?;
        let known = handle >> 32 == self.id & u64::from(u32::MAX);
        let func = self.funcs.get(index as u32).filter(|_| known)?;
        Some(func.as_ptr() as u64)
    }

    /// The signature of a function.
    pub(crate) fn func_type(&self, func: u32) -> &FuncType {
        match self.funcs.kind(func) {
            FuncKind::Wasm { instance, func } => {
                self.instances[*instance as usize].module.decoded.info().func_type(*func)
            }
            FuncKind::Host(def) => &def.ty,
        }
    }

    /// The stopping side, made on first need.
    pub(crate) fn interrupter(&mut self) -> &Arc<Interrupter> {
        let ctx = self.ctx();
        self.interrupter.get_or_insert_with(|| {
            // SAFETY: the context stays until `drop`, which detaches first.
            unsafe { Interrupter::new(ctx) }
        })
    }

    /// Whether guests were stopped since nothing could watch their deadline.
    pub(super) fn is_unwatched(&self) -> bool {
        self.interrupter.as_ref().is_some_and(|interrupter| interrupter.is_unwatched())
    }

    /// The stopping side, if anybody has needed it.
    pub(crate) fn known_interrupter(&self) -> Option<&Arc<Interrupter>> {
        self.interrupter.as_ref()
    }

    /// Where the guest is that calls the host right now.
    pub(crate) fn backtrace(&self) -> Backtrace {
        // SAFETY: the context is valid; the frames are not used after this borrow.
        unsafe {
            if (*self.ctx()).activation.is_null() {
                return Backtrace::default();
            }
            self.symbolize(Frames::at_host_call(&*self.ctx()))
        }
    }

    pub(super) fn symbolize(&self, mut frames: Frames<'_>) -> Backtrace {
        let mut backtrace = Backtrace::default();
        let most = self.engine.config().backtrace_frames;
        let mut code: Option<Located> = None;
        while let Some(step) = frames.next() {
            let Step::Frame(pc) = step else { continue };
            if backtrace.frames.len() == most {
                // Those of deep stacks are many, and mostly in the same code.
                if !code.as_ref().is_some_and(|code| code.contains(pc)) {
                    code = self.engine.code().locate(pc);
                }
                if let Some(code) = &code {
                    backtrace.omitted += 1 + frames.skip_in(&code.code.range());
                }
                continue;
            }
            // Trampolines are in no module.
            let Some(position) = self.engine.code().find(pc) else { continue };
            let module = Module(position.module);
            let mut frame = Frame::new(&module, position.func, position.offset);
            if self.engine.config().backtrace_locals {
                self.keep_values(&mut frame, &frames, pc);
            }
            backtrace.frames.push(frame);
        }
        backtrace
    }

    /// Notes the locals of the frame that was given last, if it has them in known places, and the objects that
    /// it refers to.
    fn keep_values(&self, frame: &mut Frame, frames: &Frames<'_>, pc: usize) {
        let types = frame.local_types();
        let params = frame.definition().ty().params().len();
        let (params, further) = types.split_at(types.len().min(params));
        let layout = FrameLayout::new(params, further.iter().copied());
        let slots = layout.locals.iter().zip(&types).flat_map(|(first, ty)| {
            let slots = i32::try_from(ty.slots()).unwrap_or_default();
            (0..slots).map(move |i| first + i)
        });
        frame.locals = slots.map(|slot| frames.slot(slot)).collect();
        frame.objects = self.objects_of_frame(frame, &layout, &types, frames, pc);
    }
}
