//! What compiled code leaves to the runtime: see [`wardian_vm::layout::Builtin`].
//!
//! Each function here runs on the embedder's stack while its guest waits. It must not unwind into
//! the guest, so everything goes through [`run`].

use crate::call::exit::{is_access, is_interrupted};
use crate::call::raw_bytes::{copy_raw, fill_raw};
use crate::call::runtime_calls::loop_header;
use crate::call::waits;
use crate::ids::{InstanceId, InterpretedIndex, TableId};
use crate::listen;
use crate::store::inner::StoreInner;
use crate::store::instance::MemoryRef;
use crate::{Error, ErrorKind, Result};
use std::panic::{AssertUnwindSafe, catch_unwind};
use wardian_module::ModuleInfo;
use wardian_types::{
    ArrayElementIndex, DataIndex, DataOffset, DefinedFuncIndex, ElemIndex, FuncIndex, GuestAddr,
    Index, MemoryIndex, SegmentElementIndex, TableElementIndex, TableIndex, TagIndex, TrapCode,
    TypeIndex,
};
use wardian_vm::addr::{StackAddr, VmCtxPtr};
use wardian_vm::heap::HeapRef;
use wardian_vm::interpreted::SERVICES;
use wardian_vm::interrupt::reason;
use wardian_vm::layout::{Builtin, HostFunc, StoreCtx};
use wardian_vm::park;

type Address = *const ();

/// The functions, in the order of [`Builtin`].
pub(crate) static TABLE: Table = Table([
    raise as Address,
    interrupt as Address,
    memory_grow as Address,
    memory_copy as Address,
    memory_fill as Address,
    memory_init as Address,
    data_drop as Address,
    table_grow as Address,
    table_copy as Address,
    table_fill as Address,
    table_init as Address,
    elem_drop as Address,
    ref_func as Address,
    waits::atomic_wait32 as Address,
    waits::atomic_wait64 as Address,
    atomic_notify as Address,
    move_bytes as Address,
    fill_bytes as Address,
    closed as Address,
    listen::before as Address,
    listen::after as Address,
    listen::tail as Address,
    out_of_fuel as Address,
    prepare as Address,
    prepare_host as Address,
    throw as Address,
    throw_ref as Address,
    struct_new as Address,
    array_new as Address,
    array_repeat as Address,
    array_copy as Address,
    array_new_data as Address,
    array_new_elem as Address,
    array_init_data as Address,
    array_init_elem as Address,
    ref_test as Address,
    any_from_extern as Address,
    extern_from_any as Address,
    checkpoint as Address,
    resolve as Address,
    resolve_import as Address,
    resolve_reference as Address,
    hot as Address,
]);

/// Builtins, and behind them services: see [`wardian_vm::interpreted::Service`].
pub(crate) struct Table([Address; Builtin::COUNT + SERVICES]);

// SAFETY: addresses of functions.
unsafe impl Sync for Table {}

impl Table {
    pub(crate) fn as_ptr(&self) -> *const Address {
        self.0.as_ptr()
    }
}

/// Bytes that a bulk operation moves between two looks at the interrupt word: about a millisecond.
const CHUNK: usize = 8 << 20;
/// The same in elements of tables, of which each may be an expression to be evaluated.
pub(crate) const ELEMENTS_CHUNK: usize = 1 << 16;

/// Runs a builtin for the guest whose context is `vm`; an error or panic ends the guest.
///
/// # Safety
///
/// `vm` is the context of an instance whose guest is calling.
#[inline]
unsafe fn run(vm: VmCtxPtr, work: impl FnOnce(&mut StoreInner, InstanceId) -> Result<u64>) -> u64 {
    // SAFETY: contexts begin with the store's context, whose `owner` is a `StoreData<_>` derived
    // from the `&mut` that the call into the guest holds; its first field is `inner`.
    unsafe {
        let ctx = vm.store();
        let position = vm.instance();
        let inner = (*ctx).owner.as_ptr::<StoreInner>();
        finish(ctx, inner, catch_unwind(AssertUnwindSafe(|| work(&mut *inner, position))))
    }
}

/// What a builtin returns; an error or panic ends the guest.
///
/// # Safety
///
/// `ctx` is the context of the store `inner`, whose guest is calling.
#[inline]
pub(crate) unsafe fn finish(
    ctx: *mut StoreCtx,
    inner: *mut StoreInner,
    done: std::thread::Result<Result<u64>>,
) -> u64 {
    let error = match done {
        Ok(Ok(value)) => return value,
        Ok(Err(error)) => error,
        Err(panic) => Error::panic(panic),
    };
    // SAFETY: the caller's promise.
    unsafe {
        (*inner).fail(error);
        (*ctx).exit = 1;
    }
    0
}

/// With what has to be done first: `safepoint` where a collection may come, though nothing is allocated. Arguments
/// are `u64`, or indices.
macro_rules! builtins {
    (@first safepoint $store:ident $held:expr) => { $store.stress($held) };
    (@first other $store:ident $held:expr) => {};
    ($kind:ident: $($(#[$doc:meta])* fn $name:ident($store:ident, $instance:ident $(, $arg:ident $(: $index:ident)?)*) $body:block)*) => {
        $(
            $(#[$doc])*
            unsafe extern "C" fn $name(vmctx: VmCtxPtr $(, $arg: u64)*) -> u64 {
                let work = |$store: &mut StoreInner, $instance: InstanceId| -> Result<u64> {
                    builtins!(@first $kind $store &[$($arg),*]);
                    $( $( let $arg = $index::from_u32($arg as u32); )? )*
                    $body
                };
                // SAFETY: only called by compiled code, with its own context.
                unsafe { run(vmctx, work) }
            }
        )*
    };
}

builtins! { other:
    fn raise(store, _instance, code) {
        let code = TrapCode::from_u8(code as u8).unwrap_or(TrapCode::Unreachable);
        let backtrace = store.backtrace();
        let frame = backtrace.frames.first();
        let access = if is_access(code) { store.noted_access(frame) } else { None };
        Err(Error::from(code).with_access(access).with_trace(backtrace))
    }

    /// Called in place of functions of a closed instance.
    fn closed(store, instance) {
        let code = store.entities[instance].closed().unwrap_or_default();
        Err(Error::new(ErrorKind::Closed(code)))
    }

    /// The stub looks at the interrupt word by itself.
    fn interrupt(store, _instance) {
        store.stress(&[]);
        Ok(0)
    }

    /// The stub leaves the guest for deferred work, and where that is done the checkpoint is taken.
    fn checkpoint(store, _instance) {
        store.pending.poll();
        store.set_word(reason::DEFERRED);
        Ok(0)
    }

    fn out_of_fuel(store, _instance) {
        store.stress(&[]);
        store.out_of_fuel()
    }

    fn prepare(store, instance, which: InterpretedIndex) {
        store.prepare(instance, which)?;
        Ok(0)
    }

    fn resolve(store, instance, defined: DefinedFuncIndex) {
        store.resolve(instance, defined)
    }

    fn resolve_import(store, instance, import: FuncIndex) {
        store.resolve_import(instance, import)
    }

    fn resolve_reference(store, _instance, reference) {
        // SAFETY: interpreted code calls through references that it holds.
        unsafe { store.resolve_reference(reference) }
    }

    fn hot(store, instance, fp, header) {
        store.stress(&[]);
        // SAFETY: the executor passes the frame that it runs.
        unsafe { store.hot(instance, StackAddr::from_usize(fp as usize), loop_header(header)) }
    }

    fn throw(store, instance, tag: TagIndex, slots) {
        let module = store.entities[instance].module();
        let len = module.decoded.info().tag_type(tag).param_slots();
        // SAFETY: guests pass as many slots as the tag says.
        let values = unsafe { std::slice::from_raw_parts(slots as *const u64, len) };
        store.throw(instance, tag, values)?;
        Ok(0)
    }

    fn throw_ref(store, _instance, exception) {
        store.throw_reference(exception)?;
        Ok(0)
    }

    fn move_bytes(store, _instance, to, from, len) {
        // Compiled code has checked both ranges.
        let range = |at: u64| Range { at: at as *mut u8, len: len as usize, shared: false };
        store.copy(range(to), range(from))
    }

    fn fill_bytes(store, _instance, to, byte, len) {
        store.fill(Range { at: to as *mut u8, len: len as usize, shared: false }, byte as u8)
    }
}

builtins! { safepoint:
    fn memory_grow(store, instance, memory: MemoryIndex, pages) {
        store.grow_memory(instance, memory, pages)
    }

    fn memory_copy(store, instance, to_memory: MemoryIndex, from_memory: MemoryIndex, to, from, len) {
        let [to, from] = [to, from].map(GuestAddr::from_u64);
        let to = store.range(instance, to_memory, to, len)?;
        let from = store.range(instance, from_memory, from, len)?;
        store.copy(to, from)
    }

    fn memory_fill(store, instance, memory: MemoryIndex, to, byte, len) {
        let range = store.range(instance, memory, GuestAddr::from_u64(to), len)?;
        store.fill(range, byte as u8)
    }

    fn memory_init(store, instance, memory: MemoryIndex, segment: DataIndex, to, from: DataOffset, len) {
        let to = (memory, GuestAddr::from_u64(to));
        store.init_memory(instance, to, (segment, from), len, false)?;
        Ok(0)
    }

    fn data_drop(store, instance, segment: DataIndex) {
        store.entities[instance].segments_mut().drop_data(segment);
        Ok(0)
    }

    fn table_grow(store, instance, table: TableIndex, delta, init) {
        let table = store.entities[instance].tables()[table];
        // SAFETY: a guest runs, and this is the only use of the limiter.
        let limiter = unsafe { store.running_limiter() };
        let Some(new) = store.entities[table].grow(delta, limiter)? else { return Ok(u64::MAX) };
        let before = new.start as u64;
        store.fill_elements(table, new, init);
        Ok(before)
    }

    fn table_copy(store, instance, to_table: TableIndex, from_table: TableIndex, to, from, len) {
        let tables = store.entities[instance].tables();
        let (to_table, from_table) = (tables[to_table], tables[from_table]);
        let source = store.elements_of(from_table, TableElementIndex::from_u64(from), len)?;
        let target = store.elements_of(to_table, TableElementIndex::from_u64(to), len)?;
        let from = store.element_range(from_table, source);
        let to = store.element_range(to_table, target);
        store.copy(to, from)
    }

    fn table_fill(store, instance, table: TableIndex, to, element, len) {
        let table = store.entities[instance].tables()[table];
        let range = store.elements_of(table, TableElementIndex::from_u64(to), len)?;
        store.fill_elements(table, range, element);
        Ok(0)
    }

    fn table_init(store, instance, table: TableIndex, segment: ElemIndex, to, from: SegmentElementIndex, len) {
        let to = (table, TableElementIndex::from_u64(to));
        store.init_table(instance, to, (segment, from), len, false)?;
        Ok(0)
    }

    fn elem_drop(store, instance, segment: ElemIndex) {
        store.entities[instance].segments_mut().drop_elements(segment);
        Ok(0)
    }

    fn ref_func(store, instance, func: FuncIndex) {
        let func = store.instance_func(instance, func);
        Ok(store.reference_to(func))
    }

    fn struct_new(store, instance, ty: TypeIndex) {
        store.new_struct(instance, ty).map(HeapRef::as_word)
    }

    fn array_new(store, instance, ty: TypeIndex, length) {
        store.new_array(instance, ty, length as u32).map(HeapRef::as_word)
    }

    fn array_repeat(store, _instance, array: HeapRef, index: ArrayElementIndex, length) {
        store.array_repeat((array, index), length)?;
        Ok(0)
    }

    fn array_copy(store, _instance, to: HeapRef, to_index: ArrayElementIndex, from: HeapRef, from_index: ArrayElementIndex, length) {
        store.array_copy((to, to_index), (from, from_index), length)?;
        Ok(0)
    }

    fn array_new_data(store, instance, ty: TypeIndex, segment: DataIndex, from: DataOffset, length) {
        store.array_new_data(instance, ty, (segment, from), length)
    }

    fn array_new_elem(store, instance, ty: TypeIndex, segment: ElemIndex, from: SegmentElementIndex, length) {
        store.array_new_elem(instance, ty, (segment, from), length)
    }

    fn array_init_data(store, instance, array: HeapRef, index: ArrayElementIndex, segment: DataIndex, from: DataOffset, length) {
        store.array_init_data(instance, (array, index), (segment, from), length)?;
        Ok(0)
    }

    fn array_init_elem(store, instance, array: HeapRef, index: ArrayElementIndex, segment: ElemIndex, from: SegmentElementIndex, length) {
        store.array_init_elem(instance, (array, index), (segment, from), length)?;
        Ok(0)
    }

    fn ref_test(store, instance, reference, ty: TypeIndex) {
        store.is_of_module_type(instance, reference, ty).map(u64::from)
    }

    fn any_from_extern(store, _instance, handle) {
        store.any_from_extern(handle)
    }

    fn extern_from_any(store, _instance, word) {
        Ok(store.extern_from_any(word))
    }

    fn atomic_notify(store, instance, memory: MemoryIndex, address, count) {
        let address = GuestAddr::from_u64(address);
        match store.atomic_address(instance, memory, address, 4)? {
            Some(at) => Ok(u64::from(park::notify(at, count as u32))),
            // Nobody can wait on a memory that is not shared.
            None => Ok(0),
        }
    }
}

/// Called with the record of a host function in place of an instance.
unsafe extern "C" fn prepare_host(host: VmCtxPtr) -> u64 {
    let work = |store: &mut StoreInner, _: InstanceId| -> Result<u64> {
        // SAFETY: the stub passes the record of the host function that its guest calls.
        unsafe { store.prepare_host(host.as_ptr::<HostFunc>())? };
        Ok(0)
    };
    // SAFETY: such records begin with the store's context, as instances do.
    unsafe { run(host, work) }
}

/// A range of a linear memory, checked.
#[derive(Clone, Copy)]
pub(crate) struct Range {
    pub(crate) at: *mut u8,
    len: usize,
    pub(crate) shared: bool,
}

impl StoreInner {
    /// Base address and length of a memory, and whether it is shared.
    fn bounds(&mut self, instance: InstanceId, memory: MemoryIndex) -> (*mut u8, usize, bool) {
        match &self.entities[instance].memories()[memory] {
            MemoryRef::Own(own) => {
                let memory = &self.entities[*own];
                (memory.base(), memory.len(), false)
            }
            MemoryRef::Shared(shared) => (shared.vm().base, shared.raw_len(), true),
        }
    }

    pub(crate) fn range(
        &mut self,
        instance: InstanceId,
        memory: MemoryIndex,
        start: GuestAddr,
        len: u64,
    ) -> Result<Range> {
        let (base, size, shared) = self.bounds(instance, memory);
        let inside = start.checked_add(len).is_some_and(|end| end.as_u64() <= size as u64);
        if !inside {
            let access = self.access(instance, memory, start, len);
            return Err(Error::from(TrapCode::MemoryOutOfBounds).with_access(access));
        }
        // SAFETY: at most one past the end of the memory.
        Ok(Range { at: unsafe { base.add(start.as_u64() as usize) }, len: len as usize, shared })
    }

    fn grow_memory(
        &mut self,
        instance: InstanceId,
        memory: MemoryIndex,
        pages: u64,
    ) -> Result<u64> {
        // SAFETY: a guest runs, and this is the only use of the limiter.
        let limiter = unsafe { self.running_limiter() };
        let before = match &self.entities[instance].memories()[memory] {
            MemoryRef::Own(own) => {
                let (own, ctx) = (*own, self.ctx());
                // SAFETY: the context is valid as long as the store.
                let stop = || unsafe { is_interrupted(ctx) };
                self.entities[own].grow(pages, limiter, &stop)?
            }
            MemoryRef::Shared(shared) => shared.grow_limited(pages, limiter)?,
        };
        Ok(before.unwrap_or(u64::MAX))
    }

    /// So many elements of a table from one on, checked.
    fn elements_of(
        &self,
        table: TableId,
        start: TableElementIndex,
        count: u64,
    ) -> Result<std::ops::Range<usize>> {
        let range = start.checked_range(count, self.entities[table].len());
        range.ok_or_else(|| TrapCode::TableOutOfBounds.into())
    }

    /// Elements of a table as a range of bytes; they have been checked.
    fn element_range(&mut self, table: TableId, range: std::ops::Range<usize>) -> Range {
        let elements = &mut self.entities[table].elements_mut()[range];
        Range { at: elements.as_mut_ptr().cast(), len: size_of_val(elements), shared: false }
    }

    /// Fills elements of a table, which have been checked.
    fn fill_elements(&mut self, table: TableId, range: std::ops::Range<usize>, element: u64) {
        // Null elements that are null already need no memory.
        let write = |chunk: &mut [u64]| {
            if element != 0 || chunk.iter().any(|e| *e != 0) {
                chunk.fill(element);
            }
        };
        let mut at = range.start;
        while at < range.end {
            let end = range.end.min(at + ELEMENTS_CHUNK);
            self.entities[table].elements_mut()[at..end].chunks_mut(512).for_each(write);
            at = end;
            if self.look_up().is_err() {
                break;
            }
        }
    }

    /// Stops in the middle of bulk work if the guest is to end. What is done stays done.
    fn look_up(&self) -> Result<(), Stop> {
        if self.interrupted() { Err(Stop) } else { Ok(()) }
    }

    fn copy(&mut self, to: Range, from: Range) -> Result<u64> {
        let racy = to.shared || from.shared;
        // Overlapping ranges are copied from the end that is not overwritten first.
        let backwards =
            (to.at as usize) > from.at as usize && (to.at as usize) < from.at as usize + from.len;
        let mut done = 0;
        while done < to.len {
            let len = CHUNK.min(to.len - done);
            let offset = if backwards { to.len - done - len } else { done };
            // SAFETY: inside both ranges, which are accessible.
            unsafe { copy_raw(to.at.add(offset), from.at.add(offset), len, racy) };
            done += len;
            if self.look_up().is_err() {
                break;
            }
        }
        Ok(0)
    }

    fn fill(&mut self, range: Range, byte: u8) -> Result<u64> {
        let mut done = 0;
        while done < range.len {
            let len = CHUNK.min(range.len - done);
            // SAFETY: inside the range, which is accessible.
            unsafe { fill_raw(range.at.add(done), byte, len, range.shared) };
            done += len;
            if self.look_up().is_err() {
                break;
            }
        }
        Ok(0)
    }

    /// Copies so many bytes from a place in a data segment to one in a memory. `whole` says that it is done whatever stops
    /// guests: an instantiation is done or not, and its segments are no longer than the module.
    pub(crate) fn init_memory(
        &mut self,
        instance: InstanceId,
        (memory, to): (MemoryIndex, GuestAddr),
        (segment, from): (DataIndex, DataOffset),
        len: u64,
        whole: bool,
    ) -> Result<()> {
        let data = &self.entities[instance];
        let module = data.module().clone();
        let bytes: &[u8] = match data.segments().has_dropped_data(segment) {
            true => &[],
            false => {
                let range = module.decoded.info().data[segment].range.clone();
                &module.decoded.bytes()[range]
            }
        };
        let out = || Error::from(TrapCode::MemoryOutOfBounds);
        let bytes = &bytes[from.checked_range(len, bytes.len()).ok_or_else(out)?];
        let to = self.range(instance, memory, to, len)?;
        let from = Range { at: bytes.as_ptr().cast_mut(), len: bytes.len(), shared: false };
        if whole {
            // SAFETY: `to` is as long as `bytes`; a module's bytes are in no guest's memory.
            unsafe { copy_raw(to.at, from.at, from.len, to.shared) };
        } else {
            self.copy(to, from)?;
        }
        if let MemoryRef::Own(own) = self.entities[instance].memories()[memory] {
            self.entities[own].set_written();
        }
        Ok(())
    }

    /// Copies so many elements from an element segment to a table, as [`Self::init_memory`].
    pub(crate) fn init_table(
        &mut self,
        instance: InstanceId,
        (table, to): (TableIndex, TableElementIndex),
        (segment, from): (ElemIndex, SegmentElementIndex),
        len: u64,
        whole: bool,
    ) -> Result<()> {
        let data = &self.entities[instance];
        let table = data.tables()[table];
        let module = data.module().clone();
        let info: &ModuleInfo = module.decoded.info();
        let items = &info.elements[segment].items;
        let count = if data.segments().has_dropped_elements(segment) { 0 } else { items.len() };
        let source = from.checked_range(len, count).ok_or(TrapCode::TableOutOfBounds)?;
        let target = self.elements_of(table, to, len)?;
        for (source, target) in source.map(SegmentElementIndex::from_usize).zip(target) {
            if !whole && target.is_multiple_of(ELEMENTS_CHUNK) && self.look_up().is_err() {
                break;
            }
            let value = self.segment_element(instance, info, segment, source)?;
            self.entities[table].elements_mut()[target] = value;
        }
        Ok(())
    }
}

struct Stop;
