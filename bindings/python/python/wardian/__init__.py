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
    Frame,
    Func,
    FuncType,
    Global,
    GlobalType,
    ImportType,
    Instance,
    Limits,
    Linker,
    Memory,
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
    __version__,
    interrupt_on,
)
from ._memory import Exports, MemoryView
from .errors import (
    CheckpointError,
    ExitTrap,
    GuestException,
    HostStackExhausted,
    InternalError,
    LimitError,
    LinkError,
    ModuleError,
    Restored,
    Stopped,
    StoreBusy,
    Trap,
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
