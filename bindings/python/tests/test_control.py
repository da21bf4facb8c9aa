"""Stopping guests: signals, threads, time, fuel, limits."""

import faulthandler
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time

import pytest

import wardian
from wardian import Config, Engine, Func, FuncType, Instance, Linker, Module, Store, WasiConfig

LOOP = '(module (func (export "run") (loop $l (br $l))))'
EMPTY = FuncType([], [])


@pytest.fixture(params=["tiered", "compiled", "interpreted"], scope="module")
def engine(request):
    return Engine(Config(engine=request.param, fuel=False))


def loop(engine, store, text=LOOP, imports=()):
    return Instance(store, Module(engine, text), list(imports)).exports(store).run


def later(seconds, work):
    """Does something on another thread after a while. Started where its exception is expected: on a busy machine it may come
    while the thread is being started."""
    timer = threading.Timer(seconds, work)
    timer.start()
    return timer


def interrupt():
    os.kill(os.getpid(), signal.SIGINT)


def test_ctrl_c_stops_a_guest(engine):
    store = Store(engine)
    run = loop(engine, store)
    for _ in range(3):
        began = time.monotonic()
        with pytest.raises(KeyboardInterrupt):
            later(0.1, interrupt)
            run(store)
        assert time.monotonic() - began < 5
    # And the store can be used again.
    assert loop(engine, store, '(module (func (export "run") (result i32) (i32.const 3)))')(store) == 3


def test_ctrl_c_in_a_start_function(engine):
    store = Store(engine)
    with pytest.raises(KeyboardInterrupt):
        later(0.1, interrupt)
        Instance(store, Module(engine, "(module (func $f (loop $l (br $l))) (start $f))"))


def test_ctrl_c_in_a_wait_of_wasi(engine):
    store = Store(engine, WasiConfig())
    linker = Linker(engine)
    linker.define_wasi()
    # poll_oneoff with a clock of an hour.
    text = """(module (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
      (memory (export "memory") 1)
      (func (export "run") (i64.store (i32.const 24) (i64.const 3600000000000)) (i32.store (i32.const 16) (i32.const 1))
        (drop (call $poll (i32.const 0) (i32.const 100) (i32.const 1) (i32.const 200)))))"""
    run = linker.instantiate(store, Module(engine, text)).exports(store).run
    with pytest.raises(KeyboardInterrupt):
        later(0.1, interrupt)
        run(store)


def test_ctrl_c_below_callbacks(engine):
    """Each guest is called by a callback of the one before; the innermost one loops."""
    store = Store(engine)
    text = '(module (import "" "f" (func $f)) (func (export "run") (call $f)) (func (export "loop") (loop $l (br $l))))'
    depth = []

    def f(caller):
        depth.append(1)
        caller["run" if len(depth) < 5 else "loop"](caller)

    run = loop(engine, store, text, [Func(store, EMPTY, f, access_caller=True)])
    with pytest.raises(KeyboardInterrupt):
        later(0.1, interrupt)
        run(store)
    assert len(depth) == 5


def test_ctrl_c_with_a_guest_of_another_store(engine):
    outer, inner = Store(engine), Store(engine)
    endless = loop(engine, inner)
    text = '(module (import "" "f" (func $f)) (func (export "run") (call $f)))'
    caught = []

    def f():
        try:
            endless(inner)
        except KeyboardInterrupt:
            caught.append(1)

    timer = later(0.1, interrupt)
    loop(engine, outer, text, [Func(outer, EMPTY, f)])(outer)
    timer.join()
    assert caught == [1]


def test_ctrl_c_in_a_callback(engine):
    """Python handles it there; a callback that catches it saves the guest."""
    store = Store(engine)
    text = '(module (import "" "f" (func $f)) (func (export "run") (call $f)))'
    caught = []

    def catches():
        try:
            interrupt()
            time.sleep(5)
        except KeyboardInterrupt:
            caught.append(1)

    def passes():
        interrupt()
        time.sleep(5)

    for _ in range(20):
        loop(engine, store, text, [Func(store, EMPTY, catches)])(store)
    assert len(caught) == 20
    with pytest.raises(KeyboardInterrupt):
        loop(engine, store, text, [Func(store, EMPTY, passes)])(store)


def test_ctrl_c_at_any_moment(engine):
    """A guest that calls the host all the time: no signal is lost, and the store survives."""
    store = Store(engine)
    text = '(module (import "" "f" (func $f)) (func (export "run") (loop $l (call $f) (br $l))))'
    for function in (lambda: None, [].clear):
        run = loop(engine, store, text, [Func(store, EMPTY, function)])
        for n in range(10):
            with pytest.raises(KeyboardInterrupt):
                later(0.005 + 0.001 * n, interrupt)
                run(store)


def test_a_handler_that_raises_nothing(engine):
    store = Store(engine)
    run = loop(engine, store)
    seen = []
    before = signal.signal(signal.SIGINT, lambda *_: seen.append(1))
    try:
        with pytest.raises(wardian.Stopped) as caught:
            later(0.1, interrupt)
            run(store)
    finally:
        signal.signal(signal.SIGINT, before)
    assert caught.value.reason == "interrupted" and seen == [1]


class Alarm(Exception):
    pass


def test_other_signals(engine):
    """They wait for the guest, unless they are to interrupt it."""
    store = Store(engine)
    seen = []

    def raises(*_):
        raise Alarm

    before = signal.signal(signal.SIGUSR1, lambda *_: seen.append(1))
    try:
        with pytest.raises(wardian.Stopped) as caught:
            later(0.1, lambda: os.kill(os.getpid(), signal.SIGUSR1))
            loop(engine, store).call(store, timeout=0.3)
        assert caught.value.reason == "deadline" and seen == [1]
        signal.signal(signal.SIGUSR1, raises)
        wardian.interrupt_on(signal.SIGINT, signal.SIGUSR1)
        with pytest.raises(Alarm):
            later(0.1, lambda: os.kill(os.getpid(), signal.SIGUSR1))
            loop(engine, store)(store)
    finally:
        wardian.interrupt_on(signal.SIGINT)
        signal.signal(signal.SIGUSR1, before)
    for bad in (0, -1, 65):
        with pytest.raises(wardian.UsageError):
            wardian.interrupt_on(bad)


def test_the_wakeup_file_of_others_is_kept(engine):
    store = Store(engine)
    read, write = os.pipe2(os.O_NONBLOCK)
    before = signal.set_wakeup_fd(write)
    try:
        with pytest.raises(KeyboardInterrupt):
            later(0.1, interrupt)
            loop(engine, store)(store)
        assert os.read(read, 10) == bytes([signal.SIGINT])
        assert signal.set_wakeup_fd(write) == write
    finally:
        signal.set_wakeup_fd(before)
        os.close(read)
        os.close(write)


def test_in_asyncio(engine):
    import asyncio

    async def work():
        store = Store(engine)
        later(0.1, interrupt)
        loop(engine, store)(store)

    with pytest.raises((KeyboardInterrupt, wardian.Stopped, asyncio.CancelledError)):
        asyncio.run(work())
    # In a thread it does not block the loop.

    async def both():
        store = Store(engine)
        token = store.cancel_token()
        running = asyncio.to_thread(loop(engine, store), store)
        task = asyncio.create_task(running)
        await asyncio.sleep(0.1)
        token.cancel()
        with pytest.raises(wardian.Stopped):
            await task

    asyncio.run(both())


def test_after_a_fork(engine):
    store = Store(engine)
    with pytest.raises(KeyboardInterrupt):
        later(0.1, interrupt)
        loop(engine, store)(store)
    for of_the_parent in [False, True]:
        child = os.fork()
        if child == 0:
            code = 1
            try:
                mine = engine if of_the_parent else Engine(Config(engine="interpreted"))
                store = Store(mine)
                later(0.1, interrupt)
                loop(mine, store)(store)
            except KeyboardInterrupt:
                code = 7
            finally:
                os._exit(code)
        _, status = os.waitpid(child, 0)
        assert os.waitstatus_to_exitcode(status) == 7


def test_a_signal_of_a_forked_process_is_its_own(engine):
    """The child's signals do not reach the parent's guest."""
    store = Store(engine)
    Instance(store, Module(engine, '(module (func (export "run")))')).exports(store).run(store)
    child = os.fork()
    if child == 0:
        signal.signal(signal.SIGINT, lambda *_: None)
        for _ in range(20):
            interrupt()
            time.sleep(0.01)
        os._exit(0)
    with pytest.raises(wardian.Stopped) as caught:
        loop(engine, store).call(store, timeout=0.5)
    assert caught.value.reason == "deadline"
    os.waitpid(child, 0)


def test_cancelled_by_another_thread(engine):
    store = Store(engine)
    run = loop(engine, store)
    token = store.cancel_token()
    with pytest.raises(wardian.Stopped) as caught:
        later(0.1, token.cancel)
        run(store)
    assert caught.value.reason == "cancelled" and token.is_cancelled
    with pytest.raises(wardian.Stopped):
        run(store)
    store.clear_cancellation()
    assert not token.is_cancelled
    store.set_timeout(0.05)
    with pytest.raises(wardian.Stopped) as caught:
        run(store)
    assert caught.value.reason == "deadline"
    store.set_timeout(None)
    with pytest.raises(wardian.Stopped):
        run.call(store, timeout=0.05)
    for bad in (-1.0, float("nan")):
        with pytest.raises(ValueError):
            store.set_timeout(bad)
    del store, run
    token.cancel()
    assert not token.is_cancelled


def test_a_cancellation_is_not_undone_by_ctrl_c(engine):
    store = Store(engine)
    run = loop(engine, store)
    token = store.cancel_token()
    with pytest.raises((KeyboardInterrupt, wardian.Stopped)):
        later(0.1, lambda: (interrupt(), token.cancel()))
        run(store)
    with pytest.raises(wardian.Stopped):
        run(store)


def test_the_gil_is_released(engine):
    """Python runs while a guest does, and several guests at once."""
    counts = []

    def spin():
        store = Store(engine)
        store.set_timeout(0.5)
        with pytest.raises(wardian.Stopped):
            loop(engine, store)(store)

    threads = [threading.Thread(target=spin) for _ in range(3)]
    [thread.start() for thread in threads]
    began = time.monotonic()
    while any(thread.is_alive() for thread in threads):
        counts.append(1)
        time.sleep(0.01)
    assert len(counts) > 10
    assert time.monotonic() - began < 5


def test_a_store_in_two_threads(engine):
    store = Store(engine)
    run = loop(engine, store)
    memory = Instance(store, Module(engine, '(module (memory (export "m") 1))')).exports(store).m
    errors = []

    def other():
        for use in (lambda: run(store), lambda: memory.read(store, 0, 1), lambda: store.set_fuel(1),
                    lambda: store.checkpoint(), lambda: Instance(store, Module(engine, LOOP)),
                    lambda: store.set_limits(memories=1), lambda: store.clear_cancellation()):
            try:
                use()
            except wardian.StoreBusy as busy:
                errors.append(str(busy))
        token.cancel()

    token = store.cancel_token()
    with pytest.raises(wardian.Stopped):
        later(0.1, other)
        run(store)
    assert len(errors) == 7 and all("another thread" in error for error in errors)


def test_a_callbacks_store_in_another_thread(engine):
    store = Store(engine)
    text = '(module (import "" "f" (func $f)) (func (export "run") (call $f)) (memory (export "m") 1))'
    errors = []

    def f(caller):
        def other():
            for use in (lambda: run(store), lambda: caller["m"], lambda: run(caller)):
                try:
                    use()
                except wardian.StoreBusy:
                    errors.append(1)

        thread = threading.Thread(target=other)
        thread.start()
        thread.join()

    run = loop(engine, store, text, [Func(store, EMPTY, f, access_caller=True)])
    run(store)
    assert len(errors) == 3
    # A store may be used by one thread after the other.
    thread = threading.Thread(target=run, args=(store,))
    thread.start()
    thread.join()
    assert len(errors) == 6


def test_many_threads_want_one_store(engine):
    store = Store(engine)
    add = Instance(store, Module(engine, '(module (func (export "run") (param i32) (result i32) (loop $l (br_if $l (local.tee 0 (i32.sub (local.get 0) (i32.const 1))))) (local.get 0)))')).exports(store).run
    done, busy = [], []

    def work():
        for _ in range(200):
            try:
                done.append(add(store, 2000))
            except wardian.StoreBusy:
                busy.append(1)

    threads = [threading.Thread(target=work) for _ in range(4)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert len(done) + len(busy) == 800 and len(done) >= 200 and set(done) == {0}


def test_fuel():
    engine = Engine(Config(fuel=True))
    store = Store(engine)
    run = loop(engine, store)
    store.set_fuel(10_000)
    with pytest.raises(wardian.Stopped) as caught:
        run(store)
    assert caught.value.reason == "fuel" and store.get_fuel() == 0
    with pytest.raises(wardian.UsageError):
        Store(Engine()).set_fuel(1)


def test_limits(engine):
    store = Store(engine)
    store.set_limits(memory_size=65536, instances=2)
    memory = Instance(store, Module(engine, '(module (memory (export "m") 1))')).exports(store).m
    with pytest.raises(wardian.LimitError):
        memory.grow(store, 1)
    store.set_limits(memory_size=131072)
    assert memory.grow(store, 1) == 1
    Instance(store, Module(engine, LOOP))
    with pytest.raises(wardian.LimitError):
        Instance(store, Module(engine, LOOP))


def test_configurations():
    for bad in ({"engine": "fast"}, {"checkpoints": "always"}):
        with pytest.raises(wardian.UsageError):
            Config(**bad)
    Engine(Config(engine="compiled", signals=False, deterministic=True, stack_size=1 << 20))


TRAPS = """
import faulthandler, os, sys
import wardian
from wardian import Config, Engine, Func, FuncType, Instance, Module, Store

engine = Engine(Config(engine="compiled"))
store = Store(engine)
exports = Instance(store, Module(engine, '''(module (import "" "f" (func $f)) (memory 1)
    (func (export "trap") (drop (i32.load (i32.const -1))))
    (func (export "call") (call $f) (drop (i32.load (i32.const -1))))
    (func $deep (export "deep") (call $deep)))'''), [Func(store, FuncType([], []), lambda: callback())]).exports(store)
callback = lambda: None

def traps(which="trap"):
    try:
        exports[which](store)
    except wardian.Trap as trap:
        return trap.code
    raise SystemExit(9)
"""


@pytest.mark.parametrize("script, crash", [
    ("traps()", False),
    ("faulthandler.enable(); traps()", False),
    ("traps(); faulthandler.enable(); traps(); traps('deep')", False),
    ("faulthandler.enable(); traps(); faulthandler.disable(); traps()", False),
    ("traps(); faulthandler.enable(); traps(); faulthandler.disable(); traps(); faulthandler.enable(); traps()", False),
    ("callback = faulthandler.enable; traps('call'); callback = lambda: faulthandler.disable() and None; traps('call')", False),
    ("faulthandler.enable(); traps(); faulthandler._sigsegv()", True),
    ("traps(); faulthandler.enable(); faulthandler._sigsegv()", True),
    ("traps(); faulthandler.enable(); traps(); faulthandler._sigsegv()", True),
    ("traps(); faulthandler.enable(); traps(); faulthandler._sigfpe()", True),
    ("faulthandler.enable(); callback = faulthandler._sigsegv; traps('call')", True),
    ("traps(); faulthandler.enable(); callback = faulthandler._sigsegv; traps('call')", True),
    ("traps(); faulthandler.enable(); traps(); faulthandler._sigabrt()", True),
    # Without faulthandler the process ends by the signal, and says nothing.
    ("traps(); faulthandler.enable(); traps(); faulthandler.disable(); faulthandler._sigsegv()", None),
    ("faulthandler.enable(); traps(); faulthandler.disable(); traps(); faulthandler._sigsegv()", None),
    ("traps(); faulthandler._sigsegv()", None),
])
def test_faulthandler(script, crash):
    run = subprocess.run([sys.executable, "-c", TRAPS + script], capture_output=True, text=True, timeout=60)
    if crash is False:
        assert (run.returncode, run.stderr) == (0, ""), run.stderr
        return
    assert run.returncode < 0, run.stderr
    assert ("Fatal Python error" in run.stderr) is bool(crash), run.stderr
    # Once.
    assert run.stderr.count("Fatal Python error") == int(bool(crash))


def test_faulthandler_dumps_later(engine, tmp_path):
    """Its watchdog thread writes while a guest runs."""
    store = Store(engine)
    with open(tmp_path / "dump", "w+") as file:
        faulthandler.dump_traceback_later(0.1, file=file)
        with pytest.raises(wardian.Stopped):
            loop(engine, store).call(store, timeout=0.4)
        faulthandler.cancel_dump_traceback_later()
        file.seek(0)
        assert "test_faulthandler_dumps_later" in file.read()


def test_a_guest_in_a_daemon_thread_at_exit():
    script = textwrap.dedent("""
        import threading, time
        from wardian import *
        engine = Engine()
        for text, f in [('(module (func (export "run") (loop $l (br $l))))', None),
                        ('(module (import "" "f" (func $f)) (func (export "run") (loop $l (call $f) (br $l))))', lambda: None)]:
            store = Store(engine)
            imports = [Func(store, FuncType([], []), f)] if f else []
            run = Instance(store, Module(engine, text), imports).exports(store).run
            threading.Thread(target=run, args=(store,), daemon=True).start()
        time.sleep(0.2)
        print("end")
    """)
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert (run.returncode, run.stdout) == (0, "end\n"), run.stderr


def test_sub_interpreters_are_refused():
    script = textwrap.dedent("""
        try:
            import _interpreters as interpreters
        except ImportError:
            import _xxsubinterpreters as interpreters
        one = interpreters.create()
        script = "try: import wardian\\nexcept ImportError as e: print('refused')"
        interpreters.run_string(one, script)
    """)
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert (run.returncode, run.stdout) == (0, "refused\n"), run.stderr
