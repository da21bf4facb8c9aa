"""What kind of error an exception is."""

import pytest

import wardian
from wardian import (
    Cancelled, CheckpointError, ClosedError, Config, DeadlineExceeded, DecodeError, Engine, ErrorKind, ExitTrap, FuncType,
    GuestException, HostError, LimitError, LinkError, Linker, MemoryAllocator, Module, ModuleError, OutOfFuel, Stopped, Store, StoreBusy, Trap,
    TrapCode, UsageError, WardianError,
)


@pytest.fixture(params=["tiered", "compiled", "interpreted"], scope="module")
def engine(request):
    return Engine(Config(engine=request.param))


def exports(engine, store, text, linker=None):
    return (linker or Linker(engine)).instantiate(store, Module(engine, text)).exports(store)


TRAPS = """(module (memory 1) (table 2 funcref) (type $v (func)) (type $i (func (param i32)))
  (func $f (param i32)) (elem (i32.const 1) $f)
  (func (export "unreachable") (unreachable))
  (func (export "load") (drop (i64.load (i32.const 65536))))
  (func (export "table") (drop (table.get (i32.const 2))))
  (func (export "null") (call_indirect (type $v) (i32.const 0)))
  (func (export "undefined") (call_indirect (type $v) (i32.const 7)))
  (func (export "signature") (call_indirect (type $v) (i32.const 1)))
  (func (export "divide") (drop (i32.div_u (i32.const 1) (i32.const 0))))
  (func (export "overflow") (drop (i32.div_s (i32.const 0x80000000) (i32.const -1))))
  (func (export "convert") (drop (i32.trunc_f32_s (f32.const nan))))
  (func $deep (export "deep") (call $deep))
  (func (export "cast") (drop (ref.cast (ref i31) (ref.null any))))
  (func (export "i31") (drop (i31.get_s (ref.null i31)))))"""

CODES = {
    "unreachable": TrapCode.UNREACHABLE,
    "load": TrapCode.MEMORY_OUT_OF_BOUNDS,
    "table": TrapCode.TABLE_OUT_OF_BOUNDS,
    "null": TrapCode.INDIRECT_CALL_TO_NULL,
    "undefined": TrapCode.UNDEFINED_ELEMENT,
    "signature": TrapCode.BAD_SIGNATURE,
    "divide": TrapCode.INTEGER_DIVISION_BY_ZERO,
    "overflow": TrapCode.INTEGER_OVERFLOW,
    "convert": TrapCode.BAD_CONVERSION_TO_INTEGER,
    "deep": TrapCode.STACK_OVERFLOW,
    "cast": TrapCode.CAST_FAILURE,
    "i31": TrapCode.NULL_I31_REFERENCE,
}


@pytest.mark.parametrize("name", CODES)
def test_traps(engine, name):
    store = Store(engine)
    with pytest.raises(Trap) as raised:
        exports(engine, store, TRAPS)[name](store)
    error = raised.value
    assert error.kind is ErrorKind.TRAP and error.trap_code is CODES[name] is error.code
    assert error.code == CODES[name].value and error.exit_code is None and error.frames
    assert error.memory_access == ((65536, 8, 65536) if name == "load" else None)


def test_exits_and_closed_instances(engine):
    linker = Linker(engine)
    linker.define_wasi()
    store = Store(engine)
    exit_ = exports(engine, store, '(module (import "wasi_snapshot_preview1" "proc_exit" (func $e (param i32)))'
                                   ' (memory (export "memory") 1) (func (export "e") (call $e (i32.const 5))))', linker).e
    with pytest.raises(ExitTrap) as raised:
        exit_(store)
    assert (type(raised.value), raised.value.kind, raised.value.exit_code) == (ExitTrap, "exit", 5)
    with pytest.raises(ClosedError) as raised:
        exit_(store)
    assert (raised.value.kind, raised.value.code, raised.value.exit_code) == (ErrorKind.CLOSED, 5, 5)


def test_stops(engine):
    text = '(module (func (export "spin") (loop (br 0))))'
    store = Store(engine)
    spin = exports(engine, store, text).spin
    with pytest.raises(DeadlineExceeded) as raised:
        spin.call(store, timeout=0.02)
    assert (raised.value.kind, raised.value.reason) == (ErrorKind.STOPPED, "deadline")
    assert isinstance(raised.value, (Stopped, TimeoutError)) and "deadline" in str(raised.value)
    store.cancel_token().cancel()
    with pytest.raises(Cancelled):
        spin(store)
    fueled = Engine(Config(fuel=True))
    store = Store(fueled)
    store.set_fuel(1000)
    with pytest.raises(OutOfFuel):
        exports(fueled, store, text).spin(store)


def test_modules_imports_limits_and_checkpoints(engine):
    with pytest.raises(DecodeError) as raised:
        Module(engine, b"\0asm\2\0\0\0")
    assert raised.value.kind is ErrorKind.DECODE and isinstance(raised.value, ModuleError)
    store = Store(engine)
    with pytest.raises(LinkError) as raised:
        exports(engine, store, '(module (import "a" "b" (func)) (import "a" "c" (global i32)))')
    assert [problem[:2] for problem in raised.value.problems] == [("a", "b"), ("a", "c")]
    store.set_limits(memory_size=65536)
    with pytest.raises(LimitError) as raised:
        exports(engine, store, "(module (memory 2))")
    assert (raised.value.kind, raised.value.limit) == ("limit", "store")
    with pytest.raises(CheckpointError) as raised:
        wardian.Checkpoint.from_bytes(b"nothing")
    assert (raised.value.kind, raised.value.problem) == ("checkpoint", "damaged")


def test_exceptions_host_errors_and_wrong_uses(engine):
    store = Store(engine)
    with pytest.raises(GuestException) as raised:
        exports(engine, store, '(module (tag $e (param i32)) (func (export "t") (throw $e (i32.const 4))))').t(store)
    assert (raised.value.kind, raised.value.values) == ("exception", (4,))
    with pytest.raises(UsageError):
        store.set_fuel(1)  # The engine counts none.
    other = Store(engine)
    func = exports(engine, store, '(module (func (export "f")))').f
    with pytest.raises(UsageError) as raised:
        func(other)
    assert raised.value.kind is ErrorKind.USAGE
    missing = MemoryAllocator.file("/does/not/exist/memory")
    with pytest.raises(HostError) as raised:
        Linker(engine).instantiate(store, Module(engine, "(module (memory 1))"), memories=missing)
    assert raised.value.kind is ErrorKind.HOST


def test_all_are_wardian_errors_with_a_kind_of_their_own():
    classes = [c for c in vars(wardian).values() if isinstance(c, type) and issubclass(c, WardianError)]
    assert {c.kind for c in classes} | {wardian.Restored.kind} == set(ErrorKind)
    assert issubclass(StoreBusy, RuntimeError) and not issubclass(wardian.Restored, Exception)


def test_functions_are_validated_when_they_are_called():
    engine = Engine(Config(lazy_validation=True))
    text = '(module (func (export "good") (result i32) i32.const 7) (func (export "bad") i32.add drop))'
    with pytest.raises(DecodeError):
        Module(Engine(), text)
    store = Store(engine)
    found = exports(engine, store, text)
    for _ in range(2):
        with pytest.raises(DecodeError, match="type mismatch"):
            found.bad(store)
        assert found.good(store) == 7
