"""Programs that start threads."""

import threading
import time

import pytest

from wardian import (
    Config, DeadlineExceeded, Engine, ExitTrap, FuncType, LimitError, Linker, Module, StoppedForCheckpoint, Store, Trap,
    UsageError, WardianError, WasiConfig, WasiThreads,
)

HEAD = """(import "env" "memory" (memory 1 2 shared))
  (import "wasi" "thread-spawn" (func $spawn (param i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (import "h" "say" (func $say (param i32 i32)))
  (export "memory" (memory 0))
  (func $add (param i32 i32) (drop (i32.atomic.rmw.add (local.get 0) (local.get 1)))
    (drop (memory.atomic.notify (local.get 0) (i32.const -1))))
  (func $until (param i32 i32) (local $now i32)
    (loop $again
      (if (i32.lt_u (local.tee $now (i32.atomic.load (local.get 0))) (local.get 1)) (then
        (drop (memory.atomic.wait32 (local.get 0) (local.get $now) (i64.const -1)))
        (br $again)))))
"""
THREE = """(drop (call $spawn (i32.const 10))) (drop (call $spawn (i32.const 20))) (drop (call $spawn (i32.const 30)))"""
FOR_EVER = "(drop (memory.atomic.wait32 (i32.const 1000) (i32.const 0) (i64.const -1)))"


@pytest.fixture(params=["tiered", "compiled", "interpreted"], scope="module")
def engine(request):
    return Engine(Config(engine=request.param, checkpoints="calls_and_loops"))


def program(engine, main, thread, say=lambda tid, arg: None, **options):
    linker = Linker(engine)
    linker.define_wasi()
    linker.define_func("h", "say", FuncType(["i32", "i32"], []), say)
    store = Store(engine)
    module = Module(engine, f"""(module {HEAD}
      (func (export "wasi_thread_start") (param $tid i32) (param $arg i32) {thread})
      (func (export "_start") {main}))""")
    return store, linker, module


def test_threads_call_host_functions_and_add_up(engine):
    said = []

    def say(tid, arg):
        said.append((threading.get_ident(), tid, arg))

    thread = "(call $say (local.get $tid) (local.get $arg)) (call $add (i32.const 0) (local.get $arg))"
    main = f"{THREE} (call $until (i32.const 0) (i32.const 60)) (call $exit (i32.atomic.load (i32.const 0)))"
    store, linker, module = program(engine, main, thread, say)
    threads = WasiThreads(linker, store, module)
    with pytest.raises(ExitTrap) as raised:
        threads.run()
    assert raised.value.exit_code == 60 and threads.live == 0 and threads.store is store
    assert sorted(one[2] for one in said) == [10, 20, 30]
    assert len({one[0] for one in said}) >= 1 and threading.get_ident() not in {one[0] for one in said}
    with pytest.raises(UsageError, match="has run already"):
        threads.run()
    # The store is not cancelled.
    again = WasiThreads(linker, Store(engine), module)
    with pytest.raises(ExitTrap):
        again.run()


def test_what_a_callback_raises_on_a_thread_comes_out(engine):
    def say(tid, arg):
        raise KeyError("the shelf is empty")

    store, linker, module = program(engine, f"{THREE} {FOR_EVER}", "(call $say (local.get 0) (local.get 1))", say)
    with pytest.raises(KeyError, match="shelf") as raised:
        WasiThreads(linker, store, module).run()
    assert [entry.name for entry in raised.traceback][-1] == "say"


def test_traps_deadlines_and_ends(engine):
    store, linker, module = program(engine, f"{THREE} {FOR_EVER}", "(unreachable)")
    with pytest.raises(Trap):
        WasiThreads(linker, store, module).run()
    store, linker, module = program(engine, f"{THREE} {FOR_EVER}", "(loop (br 0))")
    store.set_timeout(0.1)
    with pytest.raises(DeadlineExceeded):
        WasiThreads(linker, store, module).run()
    store, linker, module = program(engine, f"{THREE} {FOR_EVER}", "(loop (br 0))")
    threads = WasiThreads(linker, store, module)
    lives = []
    threading.Timer(0.1, lambda: (lives.append(threads.live), threads.end(7))).start()
    with pytest.raises(ExitTrap) as raised:
        threads.run()
    assert raised.value.exit_code == 7 and lives == [3]


def test_limits(engine):
    store, linker, module = program(engine, f"{THREE} {FOR_EVER}", "(loop (br 0))")
    store.set_limits(memory_size=1000)
    with pytest.raises(LimitError):
        WasiThreads(linker, store, module)
    main = '(call $exit (i32.lt_s (call $spawn (i32.const 1)) (i32.const 0)))'
    store, linker, module = program(engine, main, "")
    with pytest.raises(ExitTrap) as raised:
        WasiThreads(linker, store, module, max_threads=0).run()
    assert raised.value.exit_code == 1
    with pytest.raises(WardianError, match="no program for threads"):
        WasiThreads(linker, store, Module(engine, "(module)"))


def test_a_program_with_threads_is_carried(engine, tmp_path):
    path = tmp_path / "program"
    thread = """(local $i i32)
      (loop $l
        (call $add (i32.const 64) (i32.const 1))
        (call $say (i32.const 0) (local.get $i))
        (br_if $l (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 400))))
      (call $add (i32.const 0) (i32.const 1))"""
    main = f"{THREE} (call $until (i32.const 0) (i32.const 3)) (call $exit (i32.div_u (i32.atomic.load (i32.const 64)) (i32.const 10)))"
    said = []

    def say(tid, arg):
        said.append(arg)
        time.sleep(0.001)

    store, linker, module = program(engine, main, thread, say)
    threads = WasiThreads(linker, store, module)
    failed = []

    def carry():
        try:
            while not said:
                time.sleep(0.01)
            threads.checkpoint_to(path)
            threads.checkpoint_to(path, stop=True)
        except BaseException as error:
            failed.append(error)

    carrier = threading.Thread(target=carry)
    carrier.start()
    with pytest.raises(StoppedForCheckpoint):
        threads.run()
    carrier.join()
    assert not failed and 0 < len(said) < 1200
    resumed = WasiThreads.resume(linker, path, wasi=WasiConfig())
    with pytest.raises(ExitTrap) as raised:
        resumed.run()
    assert raised.value.exit_code == 120
    # A host function that a thread was in may be called once more.
    assert 1200 <= len(said) <= 1210
    with pytest.raises(WardianError):
        threads.checkpoint_to(path)
