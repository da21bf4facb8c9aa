"""Resolvers of imports, close notifiers, and allocators of memories."""

import gc
import sys
import threading
import weakref

import pytest

from wardian import (
    ClosedError, Config, Engine, Func, FuncType, Instance, LimitError, Limits, Linker, LinkError, Memory, MemoryAllocator,
    MemoryType, Module, Store, Trap,
)


@pytest.fixture(params=["tiered", "compiled", "interpreted"], scope="module")
def engine(request):
    return Engine(Config(engine=request.param))


NEEDS = """(module $needs
  (import "numbers" "3" (func $three (result i32)))
  (import "numbers" "4" (func $four (result i32)))
  (func (export "run") (result i32) (i32.add (call $three) (call $four))))"""


def test_a_resolver_gives_functions_instances_and_nothing(engine):
    store = Store(engine)
    asked = []

    def resolve(request):
        asked.append((request.module, request.name, request.importer, str(request.type)))
        if request.name == "3":
            return Func(store, FuncType([], ["i32"]), lambda: 3)
        return None

    linker = Linker(engine)
    linker.define_func("numbers", "4", FuncType([], ["i32"]), lambda: 4)
    run = linker.instantiate(store, Module(engine, NEEDS), resolver=resolve, name="it").exports(store).run
    assert run(store) == 7
    assert [one[:3] for one in asked] == [("numbers", "3", "it"), ("numbers", "4", "it")]

    both = Instance(store, Module(engine, '(module (func (export "3") (result i32) (i32.const 30))'
                                          ' (func (export "4") (result i32) (i32.const 40)))'))
    instance = Linker(engine).instantiate(store, Module(engine, NEEDS), resolver=lambda request: both)
    assert instance.exports(store).run(store) == 70
    # Without a linker it is asked before the list.
    four = Func(store, FuncType([], ["i32"]), lambda: 400)
    instance = Instance(store, Module(engine, NEEDS), [four, four], resolver=resolve)
    assert instance.exports(store).run(store) == 403
    with pytest.raises(LinkError):
        Linker(engine).instantiate(store, Module(engine, NEEDS), resolver=lambda request: None)


def test_what_a_resolver_raises_comes_out(engine):
    store = Store(engine)

    def resolve(request):
        raise KeyError(request.name)

    with pytest.raises(KeyError) as raised:
        Linker(engine).instantiate(store, Module(engine, NEEDS), resolver=resolve)
    assert [entry.name for entry in raised.traceback][-1] == "resolve"
    with pytest.raises(TypeError, match="can be imported"):
        Linker(engine).instantiate(store, Module(engine, NEEDS), resolver=lambda request: 5)
    # Instances in a resolver, in the same store.
    given = Module(engine, '(module (func (export "3") (result i32) (i32.const 1)) (func (export "4") (result i32) (i32.const 2)))')
    made = Linker(engine).instantiate(store, Module(engine, NEEDS), resolver=lambda request: Instance(store, given))
    assert made.exports(store).run(store) == 3


def test_resolvers_are_collected(engine):
    class Mark:
        pass

    def make():
        store, mark = Store(engine), Mark()
        Linker(engine).instantiate(store, Module(engine, "(module)"), resolver=lambda r: (store, mark),
                                   on_close=lambda name, code: (store, mark))
        return weakref.ref(mark)

    mark = make()
    gc.collect()
    assert mark() is None


def test_close_notifiers(engine, monkeypatch):
    linker = Linker(engine)
    linker.define_wasi()
    store, seen = Store(engine), []
    module = Module(engine, '(module $m (import "wasi_snapshot_preview1" "proc_exit" (func $e (param i32)))'
                            ' (memory (export "memory") 1) (func (export "exit") (call $e (i32.const 3)))'
                            ' (func (export "spin") (loop (br 0))))')

    def make(name):
        return linker.instantiate(store, module, name=name, on_close=lambda *given: seen.append(given))

    first, second, third = make("first"), make(None), make("third")
    with pytest.raises(Exception):
        first.exports(store).exit(store)
    assert seen == [("first", 3)] and first.exit_code(store) == 3
    assert second.exit_code(store) is None
    assert second.close(store, 9) and not second.close(store)
    assert seen[1:] == [("m", 9)]
    with pytest.raises(ClosedError):
        second.exports(store).spin(store)
    closer = third.closer(store)
    threading.Timer(0.05, closer.close, (4,)).start()
    with pytest.raises(ClosedError) as raised:
        third.exports(store).spin(store)
    assert raised.value.exit_code == 4 == closer.exit_code and seen[2:] == [("third", 4)]

    # What a notifier raises is nobody's, and is reported so.
    unraisable = []
    monkeypatch.setattr(sys, "unraisablehook", unraisable.append)

    def fail(name, code):
        raise KeyError("nobody's")

    assert linker.instantiate(store, module, on_close=fail).close(store)
    assert len(unraisable) == 1 and "nobody's" in str(unraisable[0].exc_value)


GROW = """(module (memory (export "m") 1 10)
  (func (export "grow") (param i32) (result i32) (memory.grow (local.get 0)))
  (func (export "load") (param i32) (result i32) (i32.load (local.get 0)))
  (func (export "store") (param i32 i32) (i32.store (local.get 0) (local.get 1))))"""


@pytest.mark.parametrize("name", ["guarded", "heap", "fixed"])
def test_built_in_memories(engine, name):
    store = Store(engine)
    allocator = getattr(MemoryAllocator, name)()
    exports = Linker(engine).instantiate(store, Module(engine, GROW), memories=allocator).exports(store)
    exports.store(store, 65532, 7)
    assert exports.grow(store, 2) == 1 and exports.load(store, 65532) == 7 and exports.load(store, 3 * 65536 - 4) == 0
    assert exports.grow(store, 9) == -1
    with pytest.raises(Trap):
        exports.load(store, 3 * 65536 - 3)
    memory = Memory(store, MemoryType(Limits(1, 2)), allocator=allocator)
    memory.write(store, b"abc")
    assert memory.read(store, 0, 3) == b"abc" and allocator.in_use is None


def test_pools(engine):
    pool = MemoryAllocator.pooled(1, 2 * 65536)
    module = Module(engine, GROW)
    store = Store(engine)
    exports = Linker(engine).instantiate(store, module, memories=pool).exports(store)
    assert pool.in_use == 1 and exports.grow(store, 1) == 1 and exports.grow(store, 1) == -1
    with pytest.raises(LimitError) as raised:
        Linker(engine).instantiate(Store(engine), module, memories=pool)
    assert raised.value.limit == "allocator"
    del store, exports
    gc.collect()
    assert pool.in_use == 0
    Linker(engine).instantiate(Store(engine), module, memories=pool)


def test_files(engine, tmp_path):
    path = tmp_path / "memory"
    module = Module(engine, GROW)

    def visit():
        store = Store(engine)
        exports = Linker(engine).instantiate(store, module, memories=MemoryAllocator.file(path)).exports(store)
        exports.store(store, 64, exports.load(store, 64) + 1)
        # A second memory is refused.
        with pytest.raises(Exception, match="locked"):
            Linker(engine).instantiate(Store(engine), module, memories=MemoryAllocator.file(path))
        return exports.load(store, 64)

    assert [visit(), visit(), visit()] == [1, 2, 3]
    gc.collect()
    assert path.read_bytes()[64] == 3
    with pytest.raises(Exception, match=str(tmp_path / "no")):
        Linker(engine).instantiate(Store(engine), module, memories=MemoryAllocator.file(tmp_path / "no" / "memory"))


def test_an_allocator_that_chooses(engine):
    asked = []

    def choose(request):
        asked.append((request.minimum, request.maximum, request.shared, request.module_name, request.instance_name))
        if request.minimum > 65536:
            raise KeyError("too large")
        return MemoryAllocator.heap() if len(asked) == 1 else "none"

    allocator = MemoryAllocator.choose(choose)
    store = Store(engine)
    Linker(engine).instantiate(store, Module(engine, "(module $m (memory 1 3))"), memories=allocator, name="n")
    assert asked == [(65536, 3 * 65536, False, "m", "n")]
    with pytest.raises(TypeError, match="allocator has to be chosen"):
        Linker(engine).instantiate(store, Module(engine, "(module (memory 1))"), memories=allocator)
    with pytest.raises(KeyError, match="too large"):
        Linker(engine).instantiate(store, Module(engine, "(module (memory 2))"), memories=allocator)
