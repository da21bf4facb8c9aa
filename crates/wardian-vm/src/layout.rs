//! Where compiled code finds things.
//!
//! ```text
//!   a store                       an instance                          a table's elements
//!   StoreCtx  <----------------- +0  store                            +0  *VmFunc or null
//!    +0  host_sp                 +8  owner (Rust side)                +8  ...
//!    +8  wasm_sp                 +16 builtins  ---> [code; Builtin::COUNT]
//!    +16 interrupt               +24 signature ids ---> [u32; types]
//!    +24 stack_limit             +32 nested
//!    ...                         +40 listened ---> [*Listened; defined functions]
//!                                +48 interpreted ---> [*InterpretedFunc; 2 * defined functions]
//!                                +56 heap base
//!                                +64 globals        16 bytes each, the module's own
//!                                    memories       VmMemory, one for each memory it owns
//!                                    tables         VmTable, one for each table it owns
//!                                    memory refs    *VmMemory for each memory
//!                                    table refs     *VmTable for each table
//!                                    global refs    *value for each global
//!                                    imports        VmImport for each imported function
//!                                    entries        code address of each defined function
//!                                    targets        what interpreted code finds for each of them
//! ```
//!
//! The structs here are `repr(C)`; compiled code reads them at the offsets given by the constants,
//! which are made from the structs. The drawing is for pointers of 64 bits; where they have 32, an instance begins with
//! smaller words, and the arrays behind them have the same strides, of which an element uses the first half.

mod activation;
mod context;
mod ids;
mod offsets;
mod refused_access;

use crate::addr::{
    CodeAddr, CtxOffset, DataAddr, FuncIdentity, FuncPtr, OwnerPtr, SlotsPtr, StackAddr, VmCtxPtr,
};
pub use activation::{Activation, WasmSp};
pub use ids::{FuncId, InstanceId, InterpretedIndex};
pub use offsets::{func, host_func, listened, memory, noted, table};
pub use refused_access::{Refused, RefusedIn, refused};
use std::mem::offset_of;
use std::sync::atomic::{AtomicU64, AtomicUsize};
pub use wardian_types::Counts;
use wardian_types::{
    DefinedFuncIndex, DefinedGlobalIndex, DefinedTableIndex, FuncIndex, GlobalIndex, MemoryIndex,
    TableIndex, TypeNumber,
};

/// Words of [`StoreCtx::capture`].
pub const CAPTURE_WORDS: usize = 16;

/// What compiled code shares with the runtime, one for each store.
#[repr(C)]
#[derive(Debug)]
pub struct StoreCtx {
    /// Stack pointer of the embedder's stack, valid while a guest runs.
    pub host_sp: StackAddr,
    /// Where the guest stands, valid while a host function runs.
    pub wasm_sp: WasmSp,
    /// Non-zero when the guest must stop: a bit set of [`crate::interrupt`] reasons. Read at every
    /// return from the host, and by polls where code has them.
    pub interrupt: AtomicU64,
    /// Lowest stack address that a function may use; below it lies the guard. Read by compiled
    /// code only where there are no signals.
    pub stack_limit: StackAddr,
    /// The slots that carry arguments in and results out of the innermost entry.
    pub args: SlotsPtr,
    /// The instance whose code made the latest call through a table, or through an import that has
    /// a [`Noted`]; zero if the embedder made it.
    pub indirect_caller: VmCtxPtr,
    /// Non-zero when a host function or builtin ended the guest: see `exit`.
    pub exit: u64,
    /// Program counter of a trap caught by signal.
    pub trap_pc: CodeAddr,
    /// Frame pointer at a trap caught by signal.
    pub trap_fp: StackAddr,
    /// Address whose access faulted.
    pub trap_addr: DataAddr,
    /// Address range of the stack's guard pages.
    pub guard_start: StackAddr,
    /// End of that range.
    pub guard_end: StackAddr,
    /// Highest address of the wasm stack.
    pub stack_top: StackAddr,
    /// Start of the innermost entry's frames: where the stack stood when it was entered.
    pub entry_sp: StackAddr,
    /// Opaque pointer to the owner's data, for host functions.
    pub owner: OwnerPtr,
    /// Rust functions behind the builtins, in the order of [`Builtin`]. Pointers, not addresses: they are constants, and
    /// nobody exposes the provenance of those.
    pub builtins: *const *const (),
    /// Stack pointer at a trap caught by signal.
    pub trap_sp: StackAddr,
    /// The link register then, where the processor has one.
    pub trap_link: CodeAddr,
    /// The innermost entry, a list through the embedder's stack.
    pub activation: *const Activation,
    /// The thread that runs a guest of this store now, for those who want to interrupt it.
    pub thread: AtomicUsize,
    /// The context of the outermost entry, valid while there is a thread.
    pub root: AtomicUsize,
    /// How many entries were given a number.
    pub entries: u64,
    /// Where the wasm stack stood when the latest entry ended without returning.
    pub ended_sp: WasmSp,
    /// The number of that entry.
    pub ended_serial: u64,
    /// What the latest builtin returned, where a guest that is resumed after it needs that.
    pub result: u64,
    /// The [`crate::samples::SampleRing`] for samples of this store's guests; zero if nobody ever took
    /// any.
    pub samples: AtomicUsize,
    /// fp of the innermost interpreted frame, while [`Self::wasm_sp`] says that one is innermost, and
    /// while interpreted code runs.
    pub interp_fp: StackAddr,
    /// First free slot above the interpreted frames, while no interpreted code runs; zero while some
    /// does.
    pub interp_sp: StackAddr,
    /// End of the slots that interpreted frames may use.
    pub interp_limit: StackAddr,
    /// `interp_fp` when the latest entry ended without returning.
    pub ended_fp: StackAddr,
    /// `interp_sp` then.
    pub ended_slots: StackAddr,
    /// `args` then, if those were of compiled code that an interpreted frame had called; else zero.
    pub ended_args: SlotsPtr,
    /// The [`InterpretedFunc`] that compiled code has called.
    pub callee: *const InterpretedFunc,
    /// Its arguments, and room for its results.
    pub callee_slots: SlotsPtr,
    /// The trap that interpreted code ended with, as [`wardian_types::TrapCode`].
    pub trap_code: u64,
    /// What interpreted code asks the runtime to call.
    pub call: crate::interpreted::PendingCall,
    /// How interpreted code is run; none where everything is compiled.
    pub interpret: Option<crate::interpreted::Interpret>,
    /// The exception that is being thrown, as guests hold it; zero for none.
    pub thrown: u64,
    /// The exception that was caught last, as guests hold it: handlers in compiled code read it first.
    pub caught: u64,
    /// The number of the handler that caught it, in its function: handlers in compiled code that share an entry
    /// read it.
    pub caught_by: u64,
    /// Prepares a guest that threw an exception to be resumed at its handler; none if exceptions are never caught.
    pub unwind: Option<Unwind>,
    /// Fuel that is left, where it is counted; below zero the guest is to stop.
    pub fuel: i64,
    /// The access that code of a guest refused.
    pub refused: Refused,
    /// Where objects of the guest's are allocated.
    pub heap: crate::heap::HeapWords,
    /// The rows of the engine's [`crate::heap::Displays`].
    pub displays: DataAddr,
    /// Records of the store's functions by the handles that objects hold; the first is null.
    pub func_records: *const FuncPtr,
    /// How many there are.
    pub func_record_count: u64,
    /// Not zero when a checkpoint of the guest is wanted: compiled code that can be captured asks for it. All words are
    /// the same: each place that asks in a function reads other bytes, so that the compiler does not take one for the
    /// other.
    pub capture: [AtomicU64; CAPTURE_WORDS],
}

/// A function whose calls are observed: what its wrapper reads. The Rust side extends it.
#[repr(C)]
#[derive(Debug)]
pub struct Listened {
    /// The store.
    pub store: *mut StoreCtx,
    /// The code that the wrapper calls: the function as it is without listeners, or, if it makes tail calls,
    /// a variant that notifies listeners at its end.
    pub body: CodeAddr,
}

/// The context in a [`VmImport`] when the exporter wants to know who calls.
#[repr(C)]
#[derive(Debug)]
pub struct Noted {
    /// The importing instance.
    pub caller: VmCtxPtr,
    /// Code to call.
    pub code: CodeAddr,
    /// Context to pass.
    pub ctx: VmCtxPtr,
}

/// Bounds of a linear memory, as compiled code reads them.
#[repr(C)]
#[derive(Debug)]
pub struct VmMemory {
    /// First byte.
    pub base: *mut u8,
    /// Accessible length in bytes.
    pub len: AtomicUsize,
}

/// Bounds of a table.
#[repr(C)]
#[derive(Debug)]
pub struct VmTable {
    /// First element; each takes eight bytes: for `funcref` a `*mut VmFunc`, for `externref` a
    /// handle, zero for null.
    pub base: *mut u64,
    /// Number of elements.
    pub len: u64,
}

/// What a function reference points to. It lives as long as its store.
#[repr(C, align(8))]
#[derive(Debug)]
pub struct VmFunc {
    /// Code to call, in the Tail convention with `(context, params...)`.
    pub code: CodeAddr,
    /// The context to pass: the instance of a guest function, the [`HostFunc`] of a host function.
    pub ctx: VmCtxPtr,
    /// The engine's number for the signature.
    pub sig: TypeNumber,
    /// Which function of the store it is.
    pub index: FuncId,
    /// The word for this reference in raw slots.
    pub handle: u64,
    /// What interpreted code finds: see [`crate::interpreted::target`].
    pub target: u64,
    /// The entry trampoline of its signature, by which the embedder calls `code`; zero if it is to be
    /// called by way of the interpreter. Atomic because it is filled in through shared references, by
    /// whichever thread first wants to call the function, all with the same value.
    pub entry: AtomicUsize,
    /// Says which function of an instance this is, for callers that do without calling it: the address of its word in
    /// the instance's table of entries. Zero of a host function, and while somebody listens to the function.
    pub identity: FuncIdentity,
}

/// An imported function, as an instance calls it.
#[repr(C, align(8))]
#[derive(Clone, Copy, Debug)]
pub struct VmImport {
    /// Code to call.
    pub code: CodeAddr,
    /// Context to pass.
    pub ctx: VmCtxPtr,
    /// What interpreted code finds: see [`crate::interpreted::target`].
    pub target: u64,
}

/// The context of a host function.
#[repr(C)]
#[derive(Debug)]
pub struct HostFunc {
    /// The store.
    pub store: *mut StoreCtx,
    /// The instance that imports it; null when it is called through a table: then it is
    /// [`StoreCtx::indirect_caller`].
    pub caller: VmCtxPtr,
    /// Rust function to run on the embedder's stack: `extern "C" fn(*mut HostFunc, *mut u64) -> u64`,
    /// zero for success.
    pub dispatch: CodeAddr,
    /// Data of that function.
    pub data: OwnerPtr,
    /// As [`instance::NESTED`].
    pub nested: AtomicU64,
    /// Address of the stub that switches stacks and calls `dispatch`.
    pub stub: CodeAddr,
    /// The Rust side's definition of the function.
    pub definition: OwnerPtr,
    /// The trampoline of its signature, once somebody called it through [`crate::host_entry`].
    pub trampoline: CodeAddr,
}

/// A function that is interpreted, as compiled code calls it: what its trampoline gets as context.
/// Begins as [`HostFunc`] does.
#[repr(C)]
#[derive(Debug)]
pub struct InterpretedFunc {
    /// The store.
    pub store: *mut StoreCtx,
    /// The instance.
    pub vmctx: VmCtxPtr,
    /// Its position among the functions that the module defines.
    pub defined: u64,
    /// Whether the caller is noted in [`StoreCtx::indirect_caller`]; otherwise it is the instance.
    pub noted: u64,
    /// Slots of its parameters, and of its results.
    pub param_slots: u32,
    /// See above.
    pub result_slots: u32,
    /// Address of the stub that leaves to the interpreter.
    pub stub: CodeAddr,
    /// The trampoline of its signature, for host functions.
    pub trampoline: CodeAddr,
}

/// Prepares the guest of the innermost entry, which has thrown an exception, to be resumed at its handler. Returns
/// whether it has one in this entry.
pub type Unwind = unsafe extern "C" fn(*mut StoreCtx) -> bool;

/// Offsets in [`StoreCtx`] that compiled code uses.
pub mod store_ctx {
    use super::{StoreCtx, offset_of};
    /// [`StoreCtx::interrupt`]
    pub const INTERRUPT: i32 = offset_of!(StoreCtx, interrupt) as i32;
    /// [`StoreCtx::capture`]
    pub const CAPTURE: i32 = offset_of!(StoreCtx, capture) as i32;
    /// [`StoreCtx::stack_limit`]
    pub const STACK_LIMIT: i32 = offset_of!(StoreCtx, stack_limit) as i32;
    /// [`StoreCtx::args`]
    pub const ARGS: i32 = offset_of!(StoreCtx, args) as i32;
    /// [`StoreCtx::indirect_caller`]
    pub const INDIRECT_CALLER: i32 = offset_of!(StoreCtx, indirect_caller) as i32;
    /// [`StoreCtx::caught`]
    pub const CAUGHT: i32 = offset_of!(StoreCtx, caught) as i32;
    /// [`StoreCtx::caught_by`]
    pub const CAUGHT_BY: i32 = offset_of!(StoreCtx, caught_by) as i32;
    /// [`StoreCtx::fuel`]
    pub const FUEL: i32 = offset_of!(StoreCtx, fuel) as i32;
    /// [`crate::heap::HeapWords::base`]
    pub const HEAP_BASE: i32 = offset_of!(StoreCtx, heap.base) as i32;
    /// [`crate::heap::HeapWords::next`]
    pub const HEAP_NEXT: i32 = offset_of!(StoreCtx, heap.next) as i32;
    /// [`crate::heap::HeapWords::limit`]
    pub const HEAP_LIMIT: i32 = offset_of!(StoreCtx, heap.limit) as i32;
    /// [`StoreCtx::displays`]
    pub const DISPLAYS: i32 = offset_of!(StoreCtx, displays) as i32;
    /// [`StoreCtx::func_records`]
    pub const FUNC_RECORDS: i32 = offset_of!(StoreCtx, func_records) as i32;
    /// [`StoreCtx::func_record_count`]
    pub const FUNC_RECORD_COUNT: i32 = offset_of!(StoreCtx, func_record_count) as i32;
    /// [`super::Refused::ctx`]
    pub const REFUSED_CTX: i32 = offset_of!(StoreCtx, refused.ctx) as i32;
    /// [`super::Refused::start`]
    pub const REFUSED_START: i32 = offset_of!(StoreCtx, refused.start) as i32;
    /// [`super::Refused::size`]
    pub const REFUSED_SIZE: i32 = offset_of!(StoreCtx, refused.size) as i32;
    /// [`super::Refused::memory`]
    pub const REFUSED_MEMORY: i32 = offset_of!(StoreCtx, refused.memory) as i32;
}

/// Offsets at the start of every instance.
pub mod instance {
    /// Bytes of a pointer.
    const WORD: i32 = size_of::<usize>() as i32;
    /// `*mut StoreCtx`
    pub const STORE: i32 = 0;
    /// Which instance of the store it is, an [`InstanceId`](super::InstanceId), as a word.
    pub const OWNER: i32 = WORD;
    /// Pointer to the code addresses of the builtins, in the order of [`super::Builtin`].
    pub const BUILTINS: i32 = 2 * WORD;
    /// Pointer to the engine's `u32` number of each signature of the module.
    pub const SIGNATURES: i32 = 3 * WORD;
    /// An `AtomicU64`: how many entries through this instance are open inside of others. Written by
    /// the store's thread only.
    pub const NESTED: i32 = 4 * WORD;
    /// Pointer to a `*Listened` for each function that the module defines; null as long as there
    /// are none. While nobody listens to any of them [`NOBODY_LISTENS`] is set in it: as a signed number it is positive
    /// where somebody listens, and nowhere else.
    pub const LISTENED: i32 = NESTED + 8;
    /// A bit that no address has.
    pub const NOBODY_LISTENS: usize = 1 << (usize::BITS - 1);
    /// Pointer to two `*InterpretedFunc` for each function that the module defines, null until they
    /// are needed: for calls from the instance itself, and for others.
    pub const INTERPRETED: i32 = LISTENED + WORD;
    /// First byte of the heap, as in [`crate::heap::HeapWords::base`]. Null if there was no heap when the instance was
    /// made, which is so only if its module has no types of objects.
    pub const HEAP: i32 = INTERPRETED + WORD;
    /// Where the arrays begin.
    pub const ARRAYS: u32 = ((HEAP + WORD) as u32).next_multiple_of(16);
}

const _: () = {
    let word = size_of::<usize>();
    assert!(offset_of!(StoreCtx, host_sp) == 0 && offset_of!(StoreCtx, wasm_sp) == word);
    assert!(offset_of!(VmFunc, code) == offset_of!(VmImport, code));
    assert!(offset_of!(VmFunc, ctx) == offset_of!(VmImport, ctx));
    assert!(offset_of!(HostFunc, store) == 0 && offset_of!(Listened, store) == 0);
    assert!(offset_of!(HostFunc, nested) == instance::NESTED as usize);
    assert!(offset_of!(InterpretedFunc, store) == 0);
    // Compiled code takes them for each other: where there is any, pointers have 64 bits.
    assert!(
        !crate::COMPILED_CODE || offset_of!(InterpretedFunc, stub) == offset_of!(HostFunc, stub)
    );
};

/// Size of a [`VmImport`].
const IMPORT: u32 = size_of::<VmImport>() as u32;

/// Offsets of the arrays in an instance, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InstanceLayout {
    counts: Counts,
    memories: u32,
    tables: u32,
    memory_refs: u32,
    table_refs: u32,
    global_refs: u32,
    imports: u32,
    entries: u32,
    targets: u32,
    size: u32,
}

impl InstanceLayout {
    /// The layout for a module with these counts.
    ///
    /// Validation bounds every count (a million functions, globals, …), so the sums fit `u32`.
    pub fn new(counts: Counts) -> InstanceLayout {
        let memories = instance::ARRAYS + 16 * counts.defined_globals;
        let tables = memories + 16 * counts.memories;
        let memory_refs = tables + 16 * counts.defined_tables;
        let table_refs = memory_refs + 8 * counts.memories;
        let global_refs = table_refs + 8 * counts.tables;
        let imports = global_refs + 8 * counts.globals;
        let entries = imports + IMPORT * counts.imported_functions;
        let targets = entries + 8 * counts.defined_functions;
        let size = targets + 8 * counts.defined_functions;
        InstanceLayout {
            counts,
            memories,
            tables,
            memory_refs,
            table_refs,
            global_refs,
            imports,
            entries,
            targets,
            size,
        }
    }

    /// The counts it was made from.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// Value of a global that the module defines: 16 bytes, aligned.
    pub fn global(&self, defined: DefinedGlobalIndex) -> CtxOffset {
        CtxOffset::from_u32(instance::ARRAYS + 16 * defined.as_u32())
    }

    /// [`VmMemory`] of a memory, in use only if the module owns it (defined, not shared).
    pub fn memory(&self, index: MemoryIndex) -> CtxOffset {
        CtxOffset::from_u32(self.memories + 16 * index.as_u32())
    }

    /// [`VmTable`] of a table that the module defines.
    pub fn table(&self, defined: DefinedTableIndex) -> CtxOffset {
        CtxOffset::from_u32(self.tables + 16 * defined.as_u32())
    }

    /// `*mut VmMemory` of a memory, owned or not.
    pub fn memory_ref(&self, index: MemoryIndex) -> CtxOffset {
        CtxOffset::from_u32(self.memory_refs + 8 * index.as_u32())
    }

    /// `*mut VmTable` of a table, owned or not.
    pub fn table_ref(&self, index: TableIndex) -> CtxOffset {
        CtxOffset::from_u32(self.table_refs + 8 * index.as_u32())
    }

    /// Pointer to the value of a global, owned or not.
    pub fn global_ref(&self, index: GlobalIndex) -> CtxOffset {
        CtxOffset::from_u32(self.global_refs + 8 * index.as_u32())
    }

    /// [`VmImport`] of an imported function.
    pub fn import(&self, index: FuncIndex) -> CtxOffset {
        debug_assert!(index.as_u32() < self.counts.imported_functions, "{index} is not imported");
        CtxOffset::from_u32(self.imports + IMPORT * index.as_u32())
    }

    /// Code address of a function that the module defines.
    pub fn entry(&self, defined: DefinedFuncIndex) -> CtxOffset {
        CtxOffset::from_u32(self.entries + 8 * defined.as_u32())
    }

    /// What interpreted code finds for a function that the module defines: see
    /// [`crate::interpreted::target`].
    pub fn target(&self, defined: DefinedFuncIndex) -> CtxOffset {
        CtxOffset::from_u32(self.targets + 8 * defined.as_u32())
    }

    /// Bytes in the whole instance.
    pub fn size(&self) -> u32 {
        self.size
    }
}

/// Work that compiled code leaves to the runtime.
///
/// A builtin is called in C's convention as `(vmctx, args...) -> i64` with all arguments
/// `i64`, at most five of them; it switches to the embedder's stack. When it ends the guest it does
/// not return.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Builtin {
    /// `(trap code)`: ends the guest with this trap. Never returns.
    Raise,
    /// `()`: called when a poll found the interrupt word set.
    Interrupt,
    /// `(memory, pages) -> previous pages or -1`
    MemoryGrow,
    /// `(memory to, memory from, to, from, length)`
    MemoryCopy,
    /// `(memory, to, byte, length)`
    MemoryFill,
    /// `(memory, segment, to, from, length)`
    MemoryInit,
    /// `(segment)`
    DataDrop,
    /// `(table, delta, initial element) -> previous size or -1`
    TableGrow,
    /// `(table to, table from, to, from, length)`
    TableCopy,
    /// `(table, to, element, length)`
    TableFill,
    /// `(table, segment, to, from, length)`
    TableInit,
    /// `(segment)`
    ElemDrop,
    /// `(function) -> *VmFunc`
    RefFunc,
    /// `(memory, address, expected, timeout in nanoseconds) -> 0 woken, 1 not equal, 2 timed out`
    AtomicWait32,
    /// As `AtomicWait32`, on 64 bits.
    AtomicWait64,
    /// `(memory, address, count) -> number woken`
    AtomicNotify,
    /// `(to, from, length)`: moves bytes between addresses that have been checked, of memories that
    /// are not shared.
    MoveBytes,
    /// `(to, byte, length)`: fills bytes at an address that has been checked, of a memory that is
    /// not shared.
    FillBytes,
    /// `()`: called in place of a function of an instance that is closed. Never returns.
    Closed,
    /// `(slots of the parameters, calling instance)`: a listened function begins. This and the next
    /// two take a `*Listened` where others take the instance, and return nothing.
    ListenBefore,
    /// `(slots of the results)`: a listened function returns.
    ListenAfter,
    /// `()`: a listened function is about to make a tail call.
    ListenTail,
    /// `()`: called when a check found the fuel below zero. Returns when there is more.
    OutOfFuel,
    /// `(position in the instance's table of interpreted functions)`: fills it. Called by the stub
    /// through which compiled code calls interpreted functions.
    Prepare,
    /// `()`: makes the trampoline of a host function, whose record is given in place of the instance.
    PrepareHost,
    /// `(tag, slots of the values)`: throws an exception. Never returns.
    Throw,
    /// `(exception)`: throws an exception again. Never returns.
    ThrowRef,
    /// `(type) -> object`: a struct, all zero but for its header; for when [`crate::heap`]'s window is full.
    StructNew,
    /// `(type, length) -> object`: an array of a type of the module, with its header, otherwise zero.
    ArrayNew,
    /// `(array, index, length)`: makes so many elements equal to the one at the index, which they begin with.
    ArrayRepeat,
    /// `(array to, index, array from, index, length)`: copies elements, of equal size. No array is null.
    ArrayCopy,
    /// `(type, segment, from, length) -> object`: an array of bytes of a data segment.
    ArrayNewData,
    /// `(type, segment, from, length) -> object`: an array of references of an element segment.
    ArrayNewElem,
    /// `(array, index, segment, from, length)`: as [`Builtin::ArrayNewData`], into an array that is not null.
    ArrayInitData,
    /// `(array, index, segment, from, length)`: as [`Builtin::ArrayNewElem`], into an array that is not null.
    ArrayInitElem,
    /// `(reference, type) -> 0 or 1`: whether an object, or a function by its record, is of a type.
    RefTest,
    /// `(externref) -> reference`: `any.convert_extern`
    AnyFromExtern,
    /// `(reference) -> externref`: `extern.convert_any`
    ExternFromAny,
    /// `()`: called where the frame can be captured, when a checkpoint is wanted.
    Checkpoint,
}

impl Builtin {
    /// How many builtins there are.
    pub const COUNT: usize = 39;

    /// Offset of its address in the table of builtins.
    pub const fn offset(self) -> i32 {
        self as i32 * size_of::<usize>() as i32
    }
}
