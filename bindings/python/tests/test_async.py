"""Guests that wait for coroutines."""

import asyncio
import contextvars
import functools
import gc
import subprocess
import sys
import textwrap
import threading
import time
import weakref

import pytest

from wardian import (
    Caller, Cancelled, Config, DeadlineExceeded, Engine, Func, FuncType, Instance, Linker, Module, Store, StoreBusy, Trap,
    UsageError, i32,
)

# Waits twice, and works between.
TWICE = """(module
  (import "h" "wait" (func $wait (param i32) (result i32)))
  (func (export "run") (param i32) (result i32)
    (i32.add (call $wait (local.get 0)) (call $wait (i32.add (local.get 0) (i32.const 1)))))
  (func (export "plain") (param i32) (result i32) (i32.add (local.get 0) (i32.const 1)))
  (func (export "spin") (loop $l (br $l)))
  (func (export "fail") (unreachable)))"""


@pytest.fixture(params=["tiered", "compiled", "interpreted"], scope="module")
def engine(request):
    return Engine(Config(engine=request.param))


def program(engine, wait, text=TWICE, **options):
    linker = Linker(engine)
    linker.define_func("h", "wait", FuncType(["i32"], ["i32"]), wait, **options)
    store = Store(engine)
    return store, linker.instantiate(store, Module(engine, text)).exports(store)


def test_a_guest_waits_while_other_tasks_run(engine):
    said = []

    async def wait(n: i32) -> i32:
        said.append(n)
        await asyncio.sleep(0.02)
        return n * 10

    async def other():
        for n in range(3):
            said.append("other")
            await asyncio.sleep(0.005)

    async def main():
        store, exports = program(engine, wait)
        other_store, others = program(engine, wait)
        results = await asyncio.gather(
            exports.run.call_async(store, 1), others.run.call_async(other_store, 5), other())
        assert results[:2] == [30, 110]
        # And again, in the same store.
        assert await exports.run.call_async(store, 3) == 70
        assert exports.plain(store, 3) == 4

    asyncio.run(main())
    assert said.count("other") == 3 and said.index("other") < said.index(2)


def test_types_come_from_annotations_and_callables_are_of_all_kinds(engine):
    class Waiter:
        async def __call__(self, caller, n):
            await asyncio.sleep(0)
            return n + 1

        async def method(self, caller, n):
            return n + 2

    async def free(more, caller: Caller, n):
        return n + more

    async def main():
        for callable_, run in [(Waiter(), 5), (Waiter().method, 7), (functools.partial(free, 4), 11)]:
            store, exports = program(engine, callable_, access_caller=True)
            assert await exports.run.call_async(store, 1) == run

        async def annotated(caller: Caller, n: i32) -> i32:
            return n

        store = Store(engine)
        func = Func(store, None, annotated)
        exports = Instance(store, Module(engine, TWICE), [func]).exports(store)
        assert await exports.run.call_async(store, 1) == 3
        assert await func.call_async(store, 8) == 8
        assert await exports.plain.call_async(store, 8) == 9

    asyncio.run(main())


def test_a_coroutine_uses_its_store_between_waits(engine):
    async def wait(caller, n):
        before = exports.plain(caller, n)
        await asyncio.sleep(0.001)
        # Also by the store itself, and with a call that waits.
        assert exports.plain(store, n) == before
        if n > 0:
            return await exports.deep.call_async(caller, n - 1) + 1
        return before

    text = TWICE.replace('(export "run")', '(export "deep") (param i32) (result i32) (call $wait (local.get 0)))\n (func (export "run")')
    store, exports = program(engine, wait, text, access_caller=True)
    kept = []

    async def main():
        assert await exports.deep.call_async(store, 6) == 7

        async def keep(caller, n):
            kept.append(caller)
            return n

        other, others = program(engine, keep, access_caller=True)
        await others.run.call_async(other, 1)
        with pytest.raises(UsageError, match="returned"):
            kept[0].get("run")

    asyncio.run(main())


def test_cancelling_the_task_ends_the_guest(engine):
    said = []

    async def wait(n):
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            said.append("cancelled")
            raise
        finally:
            said.append("finally")

    async def main():
        store, exports = program(engine, wait)
        task = asyncio.create_task(exports.run.call_async(store, 1))
        await asyncio.sleep(0.01)
        assert not task.done()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert task.cancelled()
        assert said == ["cancelled", "finally"]
        # The store can be used again.
        assert exports.plain(store, 1) == 2

        # As do `asyncio.timeout` and `wait_for`.
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.02):
                await exports.run.call_async(store, 1)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(exports.run.call_async(store, 1), 0.02)
        assert exports.plain(store, 1) == 2

    asyncio.run(main())


def test_a_coroutine_may_swallow_its_cancellation(engine):
    async def wait(n):
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            return n

    async def main():
        store, exports = program(engine, wait)
        task = asyncio.create_task(exports.run.call_async(store, 1))
        for _ in range(2):
            await asyncio.sleep(0.01)
            task.cancel()
        assert await task == 3

    asyncio.run(main())


def test_a_task_that_a_coroutine_awaits_is_cancelled_with_it(engine):
    inner = []

    async def wait(n):
        task = asyncio.create_task(asyncio.sleep(60))
        inner.append(task)
        await task

    async def main():
        store, exports = program(engine, wait)
        task = asyncio.create_task(exports.run.call_async(store, 1))
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert inner[0].cancelled()

    asyncio.run(main())


def test_timeouts_and_tokens_end_a_guest_that_waits(engine):
    closed = []

    async def wait(n):
        try:
            await asyncio.sleep(60)
        finally:
            closed.append(n)

    async def main():
        store, exports = program(engine, wait)
        began = time.monotonic()
        with pytest.raises(DeadlineExceeded) as raised:
            await exports.run.call_async(store, 1, timeout=0.05)
        assert isinstance(raised.value, TimeoutError) and raised.value.frames
        store.set_timeout(0.05)
        with pytest.raises(DeadlineExceeded):
            await exports.run.call_async(store, 2)
        store.set_timeout(None)
        token = store.cancel_token()
        threading.Timer(0.05, token.cancel).start()
        with pytest.raises(Cancelled):
            await exports.run.call_async(store, 3)
        store.clear_cancellation()
        # From another task, and when it computes.
        asyncio.get_running_loop().call_later(0.02, token.cancel)
        with pytest.raises(Cancelled):
            await exports.run.call_async(store, 4)
        store.clear_cancellation()
        with pytest.raises(DeadlineExceeded):
            await exports.spin.call_async(store, timeout=0.05)
        assert time.monotonic() - began < 20
        assert closed == [1, 2, 3, 4]
        assert exports.plain(store, 1) == 2

    asyncio.run(main())


def test_exceptions_come_out_with_their_traceback(engine):
    async def wait(n):
        await asyncio.sleep(0)
        raise KeyError("the shelf is empty")

    async def main():
        store, exports = program(engine, wait)
        with pytest.raises(KeyError) as raised:
            await exports.run.call_async(store, 1)
        assert [entry.name for entry in raised.traceback][-1] == "wait"
        with pytest.raises(Trap):
            await exports.fail.call_async(store)

        async def wrong(n):
            return "text"

        store, exports = program(engine, wrong)
        with pytest.raises(TypeError, match="i32 is needed, not str"):
            await exports.run.call_async(store, 1)

    asyncio.run(main())


def test_the_store_is_busy_while_a_call_waits(engine):
    async def wait(n):
        await asyncio.sleep(0.02)
        return n

    async def main():
        store, exports = program(engine, wait)
        call = exports.run.call_async(store, 1)
        # Nothing has begun.
        assert exports.plain(store, 1) == 2
        task = asyncio.create_task(call)
        await asyncio.sleep(0)
        for use in [lambda: exports.plain(store, 1), lambda: store.set_fuel(1), store.image]:
            with pytest.raises(StoreBusy, match="waits"):
                use()
        with pytest.raises(StoreBusy, match="waits"):
            await exports.run.call_async(store, 1)
        assert await task == 3

    asyncio.run(main())


def test_waiting_in_a_plain_call_is_an_error(engine):
    closed = []

    async def wait(n):
        try:
            await asyncio.sleep(0)
        finally:
            closed.append(n)

    async def at_once(n):
        return n

    store, exports = program(engine, wait)
    with pytest.raises(UsageError, match="call_async"):
        exports.run(store, 1)
    assert closed == [1]
    store, exports = program(engine, at_once)
    assert exports.run(store, 1) == 3


def test_a_call_that_is_given_up_ends_its_guest(engine):
    said = []

    async def wait(caller, n):
        try:
            await asyncio.sleep(60)
        finally:
            said.append(exports.plain(store, n))

    store, exports = program(engine, wait, access_caller=True)
    loop = asyncio.new_event_loop()

    async def begin():
        call = exports.run.call_async(store, 1)
        asyncio.current_task().set_name("begun")
        return await call

    task = loop.create_task(begin())
    loop.run_until_complete(asyncio.sleep(0.01))
    assert said == []
    coroutine = task.get_coro()
    task._log_destroy_pending = False
    coroutine.close()
    assert said == [2]
    assert exports.plain(store, 5) == 6
    loop.close()


def test_calls_left_in_a_plain_callback_are_given_up(engine):
    left = []

    def begin(caller):
        call = exports.run.call_async(caller, 1).__await__()

        async def main():
            call.send(None)

        asyncio.run(main())
        left.append(call)

    async def wait(n):
        await asyncio.Event().wait()

    linker = Linker(engine)
    linker.define_func("h", "wait", FuncType(["i32"], ["i32"]), wait)
    linker.define_func("h", "begin", FuncType([], []), begin, access_caller=True)
    text = TWICE.replace('(func (export "run")', '(import "h" "begin" (func $begin)) (func (export "begin") (call $begin))\n (func (export "run")')
    store = Store(engine)
    exports = linker.instantiate(store, Module(engine, text)).exports(store)
    exports.begin(store)
    assert exports.plain(store, 1) == 2
    left.pop().close()


def test_the_context_of_the_task_is_that_of_the_coroutine(engine):
    var = contextvars.ContextVar("var")
    tasks = []

    async def wait(n):
        tasks.append(asyncio.current_task())
        await asyncio.sleep(0)
        return n + var.get()

    async def main():
        var.set(100)
        store, exports = program(engine, wait)
        assert await exports.run.call_async(store, 1) == 203
        assert set(tasks) == {asyncio.current_task()}

    asyncio.run(main())


def test_what_is_awaited_has_to_be_of_the_loop(engine):
    class Odd:
        def __await__(self):
            yield 5

    async def wait(n):
        await Odd()

    async def main():
        store, exports = program(engine, wait)
        with pytest.raises(RuntimeError, match="nothing of asyncio"):
            await exports.run.call_async(store, 1)

    asyncio.run(main())


def test_start_functions_wait(engine):
    said = []

    async def wait(n):
        await asyncio.sleep(0.001)
        said.append(n)
        return n

    async def main():
        linker = Linker(engine)
        linker.define_func("h", "wait", FuncType(["i32"], ["i32"]), wait)
        store = Store(engine)
        module = Module(engine, '(module (import "h" "wait" (func $w (param i32) (result i32)))'
                                ' (func $s (drop (call $w (i32.const 7)))) (start $s) (func (export "one") (result i32) (i32.const 1)))')
        instance = await linker.instantiate_async(store, module, name="it")
        assert said == [7] and instance.exports(store).one(store) == 1

    asyncio.run(main())


def test_snapshots_and_forks_of_guests_that_wait(engine):
    forks = []

    async def wait(caller, n):
        await asyncio.sleep(0)
        if n == 1:
            forks.append(caller.fork())
        return n

    async def main():
        engine = Engine(Config(engine="interpreted"))
        store, exports = program(engine, wait, access_caller=True)
        assert await exports.run.call_async(store, 1) == 3
        assert forks[0].resumed.is_running

    asyncio.run(main())


def test_cycles_through_a_call_that_waits_are_collected(engine):
    class Mark:
        pass

    marks = []

    async def main():
        async def wait(n):
            mark = Mark()
            marks.append(weakref.ref(mark))
            mark.task = asyncio.current_task()
            mark.store = store
            await asyncio.get_running_loop().create_future()

        store, exports = program(engine, wait)
        task = asyncio.create_task(exports.run.call_async(store, 1))
        await asyncio.sleep(0.01)
        task._log_destroy_pending = False

    loop = asyncio.new_event_loop()
    loop.run_until_complete(main())
    loop.close()
    gc.collect()
    gc.collect()
    assert marks[0]() is None


def test_ctrl_c(engine):
    """Of a guest that waits, and of one that computes: the main task is cancelled, and `KeyboardInterrupt` comes out."""
    text = textwrap.dedent("""
        import asyncio, os, signal, sys, threading
        from wardian import Engine, FuncType, Linker, Module, Store

        async def wait(n):
            try:
                await asyncio.sleep(60)
            finally:
                print("closed")

        async def main(name, arguments):
            engine = Engine()
            linker = Linker(engine)
            linker.define_func("h", "wait", FuncType(["i32"], ["i32"]), wait)
            store = Store(engine)
            exports = linker.instantiate(store, Module(engine, sys.argv[1])).exports(store)
            threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()
            await exports[name].call_async(store, *arguments)

        for name, arguments in [("run", [1]), ("spin", [])]:
            try:
                asyncio.run(main(name, arguments))
            except KeyboardInterrupt:
                print("interrupted", name)
    """)
    done = subprocess.run([sys.executable, "-c", text, TWICE], capture_output=True, text=True, timeout=120)
    assert done.stdout.split("\n") == ["closed", "interrupted run", "interrupted spin", ""], done.stderr


def test_the_end_of_the_interpreter_with_a_call_that_waits(engine):
    text = textwrap.dedent("""
        import asyncio, sys
        from wardian import Engine, FuncType, Linker, Module, Store

        async def wait(n):
            await asyncio.sleep(60)

        async def main():
            engine = Engine()
            linker = Linker(engine)
            linker.define_func("h", "wait", FuncType(["i32"], ["i32"]), wait)
            global store, task
            store = Store(engine)
            store.set_timeout(0.05)
            exports = linker.instantiate(store, Module(engine, sys.argv[1])).exports(store)
            task = asyncio.get_running_loop().create_task(exports.run.call_async(store, 1))
            task._log_destroy_pending = False
            await asyncio.sleep(0.01)

        loop = asyncio.new_event_loop()
        loop.run_until_complete(main())
        import time; time.sleep(0.1)
        print("end")
    """)
    done = subprocess.run([sys.executable, "-c", text, TWICE], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout) == (0, "end\n"), done.stderr
