"""Wardian: a WebAssembly runtime that its embedder can see into and control.

    from wardian import Engine, Linker, Module, Store, i32

    engine = Engine()
    module = Module(engine, '''(module
        (import "host" "greet" (func $greet (param i32)))
        (func (export "run") (call $greet (i32.const 7))))''')
    linker = Linker(engine)

    def greet(who: i32) -> None:
        print("hello", who)

    linker.define_func("host", "greet", None, greet)
    store = Store(engine)
    instance = linker.instantiate(store, module)
    instance.exports(store).run(store)
"""

from ._wardian import (
    Attachment,
    Call,
    Caller,
    CancelToken,
    Checkpoint,
    Config,
    Engine,
    ExportType,
    Fork,
    Frame,
    Func,
    FuncType,
    Global,
    GlobalType,
    Image,
    ImportRequest,
    ImportType,
    Instance,
    InstanceCloser,
    Limits,
    Linker,
    Memory,
    MemoryAllocator,
    MemoryRequest,
    MemoryType,
    Module,
    Output,
    Profile,
    Profiler,
    Ref,
    Resumed,
    Snapshot,
    Store,
    Table,
    TableType,
    ValType,
    WasiConfig,
    WasiThreads,
    __version__,
    interrupt_on,
)
from ._memory import Exports, MemoryView
from .errors import (
    Cancelled,
    CheckpointError,
    ClosedError,
    CompileError,
    DeadlineExceeded,
    DecodeError,
    ErrorKind,
    ExitTrap,
    GuestException,
    HostError,
    HostStackExhausted,
    InternalError,
    Interrupted,
    LimitError,
    LinkError,
    ModuleError,
    OutOfFuel,
    Restored,
    Stopped,
    StoppedForCheckpoint,
    StoreBusy,
    Trap,
    TrapCode,
    UsageError,
    WardianError,
)

# For annotations of host functions.
i32 = ValType("i32")
i64 = ValType("i64")
f32 = ValType("f32")
f64 = ValType("f64")
v128 = ValType("v128")
externref = ValType("externref")
funcref = ValType("funcref")

__all__ = sorted(name for name in globals() if not name.startswith("_") and name != "errors")
