"""Images and forks."""

import gc
import threading
import weakref

import pytest

from wardian import (
    CheckpointError, Config, Engine, FuncType, Image, Linker, Module, Store, StoreBusy, UsageError, WardianError,
)

COUNT = """(module (memory (export "m") 4) (global $n (mut i32) (i32.const 0))
  (func (export "next") (result i32)
    (global.set $n (i32.add (global.get $n) (i32.const 1)))
    (i32.store (i32.const 200000) (global.get $n))
    (i32.load (i32.const 200000)))
  (func (export "fail") (unreachable)))"""


@pytest.fixture(params=["tiered", "compiled", "interpreted"], scope="module")
def engine(request):
    return Engine(Config(engine=request.param, checkpoints="calls"))


def counter(engine, text=COUNT, linker=None):
    store = Store(engine)
    return store, (linker or Linker(engine)).instantiate(store, Module(engine, text))


def test_a_store_returns_to_its_images(engine):
    store, instance = counter(engine)
    next_ = instance.exports(store).next
    assert next_(store) == 1
    one = store.image()
    assert [next_(store) for _ in range(3)] == [2, 3, 4]
    four = store.image()
    for image, then in [(one, 2), (four, 5), (one, 2)]:
        store.reset_to(image)
        assert next_(store) == then
    with pytest.raises(WardianError):
        instance.exports(store).fail(store)
    store.reset_to(one)
    assert next_(store) == 2
    assert isinstance(one, Image)
    other, _ = counter(engine)
    with pytest.raises(UsageError):
        other.reset_to(one)


def test_images_are_not_for_host_functions(engine):
    linker = Linker(engine)
    linker.define_func("h", "f", FuncType([], []), lambda: store.image())
    store, instance = counter(engine, '(module (import "h" "f" (func $f)) (func (export "run") (call $f)))', linker)
    with pytest.raises(UsageError, match="a guest of the store runs"):
        instance.exports(store).run(store)


def test_forks_continue_by_themselves(engine):
    store, instance = counter(engine)
    exports = instance.exports(store)
    assert exports.next(store) == 1
    store.set_limits(memory_size=5 * 65536)
    fork = store.fork()
    assert (exports.next(store), exports.next(store)) == (2, 3)
    child, next_ = fork.store, fork.counterpart(exports.next)
    results = []
    thread = threading.Thread(target=lambda: results.append(next_(child)))
    thread.start()
    thread.join()
    assert results == [2] and not fork.resumed.is_running
    assert fork.counterpart(instance).exports(child).next(child) == 3
    assert fork.counterpart(exports.m).read(child, 200000, 200004) == b"\3\0\0\0"
    # With the limits of the parent.
    assert len(fork.resumed.instances) == 1
    with pytest.raises(WardianError):
        fork.counterpart(exports.m).grow(child, 2)
    with pytest.raises(UsageError):
        next_(store)
    del store, exports, instance
    gc.collect()
    assert next_(child) == 4
    with pytest.raises(UsageError, match="is gone"):
        fork.counterpart(next_)


def test_forks_in_host_functions(engine):
    forks = []

    def ask(caller, n):
        forks.append(caller.fork())
        forks.append(caller.fork())
        return n

    linker = Linker(engine)
    linker.define_func("h", "ask", FuncType(["i32"], ["i32"]), ask, access_caller=True)
    text = """(module (import "h" "ask" (func $ask (param i32) (result i32)))
      (func (export "run") (param i32) (result i32) (i32.add (call $ask (local.get 0)) (i32.const 100))))"""
    store, instance = counter(engine, text, linker)
    assert instance.exports(store).run(store, 5) == 105
    one, two = forks
    assert one.resumed.is_running and one.resumed.pending == ("h", "ask", (5,))
    assert one.resumed.run_with(8) == 108
    # The host function is that of the parent.
    assert two.resumed.run() == 105 and len(forks) == 4
    with pytest.raises(UsageError):
        two.resumed.run()


def test_callbacks_of_forks_are_collected(engine):
    class Mark:
        pass

    def make():
        mark, linker = Mark(), Linker(engine)
        linker.define_func("h", "f", FuncType([], []), lambda: (mark, fork))
        store, _ = counter(engine, '(module (import "h" "f" (func $f)) (func (export "run") (call $f)))', linker)
        fork = store.fork()
        return weakref.ref(mark)

    mark = make()
    gc.collect()
    assert mark() is None
