//! The inside of a store.

mod lifetime;

pub use crate::store::remote::CheckpointRequests;

use crate::checkpoint::Standing;
use crate::code::registry::Located;
use crate::code::signatures::Signature;
use crate::gc::objects::Gc;
use crate::ids::{FuncId, InstanceId, MemoryId, TableId};
use crate::limiter::Limiter;
use crate::listen::listening::Listening;
use crate::stack::backtrace::{Backtrace, Frame};
use crate::store::asked::Asked;
use crate::store::context::Context;
use crate::store::entities::Entities;
use crate::store::exceptions::Exceptions;
use crate::store::externrefs::ExternRefs;
use crate::store::functions::FuncKind;
use crate::store::host::HostCall;
use crate::store::instance::InstanceData;
use crate::store::memory::MemoryData;
use crate::store::pending::PendingExit;
use crate::store::remote::Remote;
use crate::store::samples::SamplePlace;
use crate::store::suspension::Suspension;
use crate::store::table::TableData;
use crate::store::taken::Taken;
use crate::{Engine, Result};
use std::sync::Arc;
use wardian_types::{FuncType, IndexVec, TypeNumber};
use wardian_vm::addr::{CodeAddr, FuncIdentity, VmCtxPtr};
use wardian_vm::frames::{Frames, Step};
use wardian_vm::interpreted::FrameLayout;
use wardian_vm::interrupt::Interrupter;
use wardian_vm::layout::{StoreCtx, VmFunc};

/// A store with the embedder's data.
#[repr(C)]
pub struct StoreData<T: Embedder> {
    // First, so that a pointer to the whole is one to this, whatever `T` is.
    /// What does not depend on the embedder's data.
    pub inner: StoreInner,
    /// The embedder's data.
    pub data: T,
}

/// What the runtime asks the embedder for who has a store.
pub trait Embedder: Sized + 'static {
    /// Decides what the store may use; none for no limits.
    fn limiter(&mut self) -> Option<&mut dyn Limiter>;
    /// Asked when fuel runs out.
    fn refuel(&mut self) -> Option<u64>;
    /// Takes the checkpoints that somebody waits for, of a guest that stands so.
    ///
    /// # Errors
    ///
    /// The guest is to end.
    fn serve_checkpoints(store: &mut StoreData<Self>, standing: Standing) -> Result<()>;
}

/// What of a store does not depend on the embedder's data.
pub struct StoreInner {
    pub(crate) context: Context,
    id: u64,
    engine: Engine,
    pub(crate) entities: Entities,
    pub(crate) externrefs: ExternRefs,
    /// Objects of guests. Apart, so that a store is small enough to be allocated quickly.
    pub(crate) gc: Box<Gc>,
    pub(crate) exceptions: Exceptions,
    /// Why the guest is being left.
    pub(crate) pending: PendingExit,
    /// Hooks of listeners, and the calls that are open.
    pub(crate) listening: Listening,
    pub(crate) remote: Remote,
    pub(crate) taken: Taken,
    pub(crate) suspension: Suspension,
    /// Where samples of its guests go, or went: see [`crate::stack::sampling`].
    pub(crate) samples: Option<SamplePlace>,
    pub(crate) asked: Asked,
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
    /// Its number in the process.
    #[inline]
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Its engine.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Its instances.
    pub fn instances(&self) -> &IndexVec<InstanceId, InstanceData> {
        self.entities.instances()
    }

    /// One of its instances.
    #[inline]
    pub fn instance(&self, instance: InstanceId) -> &InstanceData {
        &self.entities[instance]
    }

    /// One of its memories that are not shared.
    #[inline]
    pub fn memory(&self, memory: MemoryId) -> &MemoryData {
        &self.entities[memory]
    }

    /// The same, to be changed.
    #[inline]
    pub fn memory_mut(&mut self, memory: MemoryId) -> &mut MemoryData {
        &mut self.entities[memory]
    }

    /// One of its tables.
    pub fn table(&self, table: TableId) -> &TableData {
        &self.entities[table]
    }

    /// The same, to be changed.
    pub fn table_mut(&mut self, table: TableId) -> &mut TableData {
        &mut self.entities[table]
    }

    /// What stands behind a function, if there is one of that number.
    pub fn func_kind(&self, func: FuncId) -> Option<&FuncKind> {
        self.entities.funcs().find(func)
    }

    /// Says which call of an asynchronous host function can be made again, if one can. Returns what was there before.
    pub fn set_repeatable(&mut self, call: Option<HostCall>) -> Option<HostCall> {
        self.suspension.set_repeatable(call)
    }

    /// Whether host functions may take snapshots.
    pub fn allows_snapshots(&self) -> bool {
        self.taken.allows_snapshots()
    }

    /// Sets whether they may.
    pub fn allow_snapshots(&mut self, allowed: bool) {
        self.taken.allow_snapshots(allowed);
    }

    /// What asks for checkpoints of the store, if anybody has.
    pub fn checkpoint_requests(&self) -> Option<&Arc<dyn CheckpointRequests>> {
        self.remote.requests()
    }

    /// Whether somebody waits for a checkpoint.
    pub fn has_checkpoint_requests(&self) -> bool {
        self.remote.requests().is_some_and(|requests| !requests.is_empty())
    }

    /// What compiled code knows of it.
    #[inline]
    pub fn ctx(&self) -> *mut StoreCtx {
        self.context.as_ptr()
    }

    /// The limiter, for a builtin of the guest that runs now.
    ///
    /// # Safety
    ///
    /// A guest of this store runs, and what was given before is no longer used.
    pub(crate) unsafe fn running_limiter<'a>(&self) -> Option<&'a mut dyn Limiter> {
        // SAFETY: while a guest runs `owner` is this store, and builtins hold nothing of it but
        // `inner`.
        unsafe {
            let owner = (*self.ctx()).owner;
            self.asked.limiter(owner).map(|mut l| l.as_mut())
        }
    }

    /// Makes sure that there is a stack for guests.
    #[inline]
    pub(crate) fn ensure_stack(&mut self) -> Result<()> {
        if self.context.has_stack() { Ok(()) } else { self.attach_stack() }
    }

    #[cold]
    fn attach_stack(&mut self) -> Result<()> {
        // SAFETY: without a stack no guest runs.
        unsafe { self.context.attach(self.engine.stacks()) }
    }

    /// Makes sure that there is a stack with room for interpreted frames, which a compiling engine's stacks do not
    /// have. No guest runs.
    pub(crate) fn ensure_slots(&mut self) -> Result<()> {
        self.ensure_stack()?;
        if self.context.has_slots() {
            return Ok(());
        }
        let slots = self.engine.settings().stack_size;
        // SAFETY: no guest runs, and nothing is on the stack that goes.
        unsafe { self.context.attach_with_slots(self.engine.stacks(), slots) }
    }

    /// Keeps a signature, with its number and its trampolines, as long as the store.
    pub fn keep_signature(&mut self, signature: Signature) {
        self.entities.funcs_mut().keep_signature(signature);
    }

    /// A record that references to a function point to.
    pub(crate) fn add_func(
        &mut self,
        code: CodeAddr,
        ctx: VmCtxPtr,
        sig: TypeNumber,
        kind: FuncKind,
    ) -> FuncId {
        let (store, vmctx) = (self.id, self.ctx());
        let identity = match kind {
            FuncKind::Wasm { instance, func } => self.identity_of(instance, func),
            FuncKind::Host(_) => FuncIdentity::NULL,
        };
        // SAFETY: the context is the store's own, and the caller has the store to itself, so no code of guests runs.
        unsafe { self.entities.funcs_mut().add(store, vmctx, (code, ctx, sig), (kind, identity)) }
    }

    /// The function of a reference as guests hold it: the address of a record, or zero.
    ///
    /// # Safety
    ///
    /// The reference comes from a guest of this store, or from [`Self::reference_to`].
    pub(crate) unsafe fn func_of_reference(&self, reference: u64) -> Option<FuncId> {
        // SAFETY: validation keeps guests from making references up, and records live as long as
        // the store.
        unsafe { (reference as *const VmFunc).as_ref().map(|f| f.index) }
    }

    /// A reference as guests hold it.
    pub(crate) fn reference_to(&self, func: FuncId) -> u64 {
        self.entities.funcs().record(func).as_ptr() as u64
    }

    /// The word in raw slots for a reference.
    ///
    /// # Safety
    ///
    /// As for [`Self::func_of_reference`].
    pub(crate) unsafe fn func_handle(&self, reference: u64) -> u64 {
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
        let func = self.entities.funcs().get(FuncId::from_u32(index as u32)).filter(|_| known)?;
        Some(func.as_ptr() as u64)
    }

    /// The signature of a function.
    pub fn func_type(&self, func: FuncId) -> &FuncType {
        match self.entities.funcs().kind(func) {
            FuncKind::Wasm { instance, func } => {
                self.entities[*instance].module().decoded.info().func_type(*func)
            }
            FuncKind::Host(def) => &def.ty,
        }
    }

    /// The stopping side, made on first need.
    pub fn interrupter(&mut self) -> &Arc<Interrupter> {
        let ctx = self.ctx();
        // SAFETY: the context stays until `drop`, which detaches first.
        unsafe { self.remote.interrupter(ctx) }
    }

    /// Whether guests were stopped since nothing could watch their deadline.
    pub(crate) fn is_unwatched(&self) -> bool {
        self.remote.known_interrupter().is_some_and(|interrupter| interrupter.is_unwatched())
    }

    /// The stopping side, if anybody has needed it.
    pub(crate) fn known_interrupter(&self) -> Option<&Arc<Interrupter>> {
        self.remote.known_interrupter()
    }

    /// Where the guest is that calls the host right now.
    pub fn backtrace(&self) -> Backtrace {
        // SAFETY: the context is valid; the frames are not used after this borrow.
        unsafe {
            if (*self.ctx()).activation.is_null() {
                return Backtrace::default();
            }
            self.symbolize(Frames::at_host_call(&*self.ctx()))
        }
    }

    pub(crate) fn symbolize(&self, mut frames: Frames<'_>) -> Backtrace {
        let mut backtrace = Backtrace::default();
        let most = self.engine().settings().backtrace_frames;
        let mut code: Option<Located> = None;
        while let Some(step) = frames.next() {
            let Step::Frame(pc) = step else { continue };
            if backtrace.frames.len() == most {
                // Those of deep stacks are many, and mostly in the same code.
                if !code.as_ref().is_some_and(|code| code.contains(pc)) {
                    code = self.engine().code().locate(pc);
                }
                if let Some(code) = &code {
                    backtrace.omitted += 1 + frames.skip_in(&code.code.range());
                }
                continue;
            }
            // Trampolines are in no module.
            let Some(position) = self.engine().code().find(pc) else { continue };
            if let Some((func, offset)) = position.inlined {
                backtrace.frames.push(Frame::new(position.module.clone(), func, Some(offset)));
            }
            let mut frame = Frame::new(position.module, position.func, position.offset);
            if self.engine().settings().backtrace_locals {
                self.keep_values(&mut frame, &frames, pc);
            }
            backtrace.frames.push(frame);
        }
        backtrace
    }

    /// Notes the locals of the frame that was given last, if it has them in known places, and the objects that
    /// it refers to.
    fn keep_values(&self, frame: &mut Frame, frames: &Frames<'_>, pc: CodeAddr) {
        let types = frame.module.local_types(frame.func);
        let params = frame.module.decoded.info().func_type(frame.func).params().len();
        let (params, further) = types.split_at(types.len().min(params));
        let layout = FrameLayout::new(params, further.iter().copied());
        let slots = layout.locals.iter().zip(&types).flat_map(|(first, ty)| {
            let slots = i32::try_from(ty.slots()).unwrap_or_default();
            (0..slots).map(move |i| first.add(i))
        });
        frame.locals = slots.map(|slot| frames.slot(slot)).collect();
        frame.objects = self.objects_of_frame(frame, &layout, &types, frames, pc);
    }
}

impl<T: Embedder> StoreData<T> {
    /// Takes the checkpoints that somebody waits for, of a guest that stands so.
    ///
    /// # Errors
    ///
    /// The guest is to end.
    pub(crate) fn serve_checkpoints(&mut self, standing: Standing) -> Result<()> {
        T::serve_checkpoints(self, standing)
    }
}
