"""WASI, listeners, snapshots, checkpoints, profiles, annotations for type checkers."""

import ast
import gzip
import inspect
import pathlib

import pytest

import wardian
from wardian import (
    Checkpoint, Config, Engine, Func, FuncType, Instance, Linker, Module, Profiler, Store, WasiConfig, i32,
)

ENGINES = ["tiered", "compiled", "interpreted"]
EMPTY = FuncType([], [])


@pytest.fixture(params=ENGINES, scope="module")
def engine(request):
    return Engine(Config(engine=request.param))


WRITE = """(module
  (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (import "wasi_snapshot_preview1" "args_sizes_get" (func $args (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "environ_sizes_get" (func $env (param i32 i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "cat") (param $to i32) (result i32)
    (i32.store (i32.const 0) (i32.const 64)) (i32.store (i32.const 4) (i32.const 100))
    (drop (call $read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)))
    (i32.store (i32.const 4) (i32.load (i32.const 8)))
    (call $write (local.get $to) (i32.const 0) (i32.const 1) (i32.const 8)))
  (func (export "args") (result i32) (drop (call $args (i32.const 0) (i32.const 4))) (i32.load (i32.const 0)))
  (func (export "env") (result i32) (drop (call $env (i32.const 0) (i32.const 4))) (i32.load (i32.const 0)))
  (func (export "exit") (param i32) (call $exit (local.get 0))))"""


def program(engine, wasi=None, text=WRITE):
    store = Store(engine, wasi)
    linker = Linker(engine)
    linker.define_wasi()
    return store, linker.instantiate(store, Module(engine, text)).exports(store)


def test_streams_in_memory(engine):
    wasi = WasiConfig(["a", "b"], {"LANG": "C"})
    wasi.stdin_bytes(b"hello")
    out, err = wasi.capture_stdout(), wasi.capture_stderr()
    store, run = program(engine, wasi)
    assert (run.args(store), run.env(store)) == (2, 1)
    assert run.cat(store, 1) == 0
    assert (out.bytes(), out.text(), err.bytes()) == (b"hello", "hello", b"")
    assert out.take() == b"hello" and out.bytes() == b""


def test_streams_in_files(engine, tmp_path):
    (tmp_path / "in").write_bytes(b"from a file")
    for append in (False, True):
        wasi = WasiConfig()
        wasi.argv = ["x"]
        wasi.env = [("A", "1"), ("B", "2")]
        wasi.stdin_file(tmp_path / "in")
        wasi.stdout_file(tmp_path / "out")
        wasi.stderr_file(str(tmp_path / "err"), append=append)
        store, run = program(engine, wasi)
        assert (run.args(store), run.env(store)) == (1, 2)
        assert run.cat(store, 2) == 0
    assert (tmp_path / "err").read_bytes() == b"from a file" * 2
    assert (tmp_path / "out").read_bytes() == b""


def test_inherited_streams(engine, capfd):
    wasi = WasiConfig()
    wasi.stdin_bytes(b"to the terminal")
    wasi.inherit_stdout()
    wasi.inherit_stderr()
    store, run = program(engine, wasi)
    run.cat(store, 1)
    assert capfd.readouterr() == ("to the terminal", "")


def test_the_environment_of_this_process(engine):
    import os
    import sys
    wasi = WasiConfig()
    wasi.inherit_argv()
    wasi.inherit_env()
    assert wasi.argv == sys.argv and dict(wasi.env) == dict(os.environ)


@pytest.mark.parametrize("make, error", [
    (lambda w: w.preopen_dir("/nowhere/at/all", "/"), FileNotFoundError),
    (lambda w: w.stdin_file("/nowhere"), FileNotFoundError),
    (lambda w: setattr(w, "argv", ["a\0b"]), ValueError),
    (lambda w: setattr(w, "env", [("a=b", "c")]), ValueError),
])
def test_what_wasi_refuses(make, error):
    wasi = WasiConfig()
    make(wasi)
    with pytest.raises(error):
        Store(Engine(), wasi)


def test_exits(engine):
    for code in (0, 3):
        store, run = program(engine)
        # The instance is closed with the code, which later calls get too.
        for _ in range(2):
            with pytest.raises(wardian.ExitTrap) as caught:
                run.exit(store, code)
            assert caught.value.code == code


def test_a_real_program(engine):
    guests = pathlib.Path(__file__).parents[3] / "examples" / "guests"
    wasi = WasiConfig(["fern"])
    out = wasi.capture_stdout()
    store = Store(engine, wasi)
    linker = Linker(engine)
    linker.define_wasi()
    run = linker.instantiate(store, Module.from_file(engine, guests / "fern.wasm")).exports(store)["_start"]
    try:
        run(store)
    except wardian.ExitTrap as exit_:
        assert exit_.code == 0
    assert len(out.text().splitlines()) > 10


NESTED = """(module $m (import "" "f" (func $host (param i32)))
  (func $inner (param $n i32) (param $x f64) (result i64) (call $host (local.get $n)) (i64.extend_i32_s (local.get $n)))
  (func (export "run") (param i32) (result i64) (call $inner (local.get 0) (f64.const 0.5))))"""


def test_listeners(engine):
    store, log = Store(engine), []

    def host(n):
        if n == 13:
            raise LookupError("unlucky")

    instance = Instance(store, Module(engine, NESTED), [Func(store, FuncType(["i32"], []), host)])
    run = instance.exports(store).run
    attachment = instance.attach(
        store, "*",
        before=lambda call, arguments: log.append(("before", call.name, arguments, [f.func_name for f in call.stack])),
        after=lambda call, results: log.append(("after", call.name, results)),
        abort=lambda call, reason: log.append(("abort", call.name, reason)),
        stack=True)
    assert run(store, 4) == 4
    assert [entry[:3] for entry in log] == [
        ("before", "run", (4,)), ("before", "inner", (4, 0.5)), ("before", log[2][1], (4,)),
        ("after", log[2][1], ()), ("after", "inner", (4,)), ("after", "run", (4,))]
    assert log[1][3] == ["inner", "run"]
    log.clear()
    with pytest.raises(LookupError):
        run(store, 13)
    assert [entry[0] for entry in log] == ["before"] * 3 + ["abort"] * 3
    assert all(isinstance(entry[2], LookupError) for entry in log[3:])
    attachment.detach()
    log.clear()
    run(store, 1)
    assert log == []


def test_listeners_of_some_functions(engine):
    store, log = Store(engine), []
    instance = Instance(store, Module(engine, NESTED), [Func(store, FuncType(["i32"], []), lambda n: None)])

    def before(call, arguments):
        assert call.param_names == ["n", "x"] and call.module_name == "m" and call.index == 1
        log.append(arguments)

    run = instance.exports(store).run
    with instance.attach(store, "inn?r", before=before):
        run(store, 2)
        run(store, 3)
    run(store, 4)
    assert log == [(2, 0.5), (3, 0.5)]


def test_listeners_stay_when_the_attachment_is_dropped(engine):
    import gc
    store, log = Store(engine), []
    instance = Instance(store, Module(engine, NESTED), [Func(store, FuncType(["i32"], []), lambda n: None)])
    instance.attach(store, "run", after=lambda call, results: log.append(results))
    gc.collect()
    instance.exports(store).run(store, 2)
    assert log == [(2,)]


@pytest.mark.parametrize("which", ["before", "after"])
def test_an_exception_of_a_listener_ends_the_guest(engine, which):
    store, log = Store(engine), []

    def fails(call, values):
        raise LookupError("of a listener")

    instance = Instance(store, Module(engine, NESTED), [Func(store, FuncType(["i32"], []), log.append)])
    run = instance.exports(store).run
    with instance.attach(store, "inner", **{which: fails}):
        with pytest.raises(LookupError) as caught:
            run(store, 2)
        assert caught.traceback[-1].name == "fails"
        assert len(log) == (which == "after")
    assert run(store, 5) == 5


def test_a_listener_cannot_use_the_store(engine):
    store, errors = Store(engine), []
    instance = Instance(store, Module(engine, NESTED), [Func(store, FuncType(["i32"], []), lambda n: None)])
    run = instance.exports(store).run

    def before(call, arguments):
        with pytest.raises(wardian.StoreBusy) as caught:
            run(store, 1)
        errors.append(str(caught.value))

    with instance.attach(store, "inner", before=before):
        assert run(store, 2) == 2
    assert len(errors) == 1 and "listener" in errors[0]


JUMP = """(module (import "" "mark" (func $mark (result i32))) (import "" "jump" (func $jump (param i32)))
  (global $g (mut i32) (i32.const 0))
  (func (export "run") (result i32) (local $n i32)
    (local.set $n (call $mark))
    (global.set $g (i32.add (global.get $g) (i32.const 1)))
    (if (i32.lt_u (local.get $n) (i32.const 5)) (then (call $jump (i32.add (local.get $n) (i32.const 1)))))
    (i32.add (i32.mul (global.get $g) (i32.const 100)) (local.get $n))))"""


@pytest.mark.parametrize("state, found", [(False, 605), (True, 105)])
def test_snapshots(engine, state, found):
    store, kept = Store(engine), []

    def mark(caller: wardian.Caller) -> i32:
        kept.append(caller.snapshot(state=state))
        return 0

    def jump(caller: wardian.Caller, to: i32) -> None:
        with pytest.raises(wardian.UsageError, match="has 1 results"):
            kept[0].restore(caller)
        with pytest.raises(TypeError):
            kept[0].restore(caller, "no number")
        try:
            kept[0].restore(caller, to)
        except Exception:
            pytest.fail("it is no Exception")

    run = Instance(store, Module(engine, JUMP), [Func(store, None, mark), Func(store, None, jump)]).exports(store).run
    assert run(store) == found and len(kept) == 1
    with pytest.raises(wardian.UsageError):
        kept[0].restore(store, 1)
    with pytest.raises(wardian.UsageError):
        kept[0].restore(Store(engine), 1)


COUNT = """(module (import "m" "pause" (func $pause (param i32) (result i32))) (memory (export "memory") 1)
  (func (export "run") (param $n i32) (result i32) (local $sum i32)
    (loop $l
      (local.set $sum (i32.add (local.get $sum) (call $pause (local.get $n))))
      (i32.store8 (local.get $n) (local.get $n))
      (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (local.get $sum)))"""


@pytest.mark.parametrize("to", ENGINES)
@pytest.mark.parametrize("origin", ENGINES)
def test_checkpoints(origin, to, tmp_path):
    engine = Engine(Config(engine=origin, checkpoints="calls"))
    taken = []

    def pause(caller, n):
        if n == 3:
            taken.append(caller.checkpoint())
            caller.checkpoint_to(tmp_path / "checkpoint")
        return n

    def linker(engine, function, **options):
        linker = Linker(engine)
        linker.define_func("m", "pause", FuncType(["i32"], ["i32"]), function, **options)
        return linker

    store = Store(engine)
    instance = linker(engine, pause, access_caller=True).instantiate(store, Module(engine, COUNT))
    assert instance.exports(store).run(store, 5) == 15
    data = taken[0].to_bytes()
    taken[0].to_file(tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == data

    other = Engine(Config(engine=to, checkpoints="calls"))
    resumed = linker(other, lambda n: n * 10).resume(Checkpoint.from_bytes(data))
    assert resumed.is_running and resumed.pending == ("m", "pause", (3,))
    memory = resumed.instances[0].exports(resumed.store).memory
    assert memory.read(resumed.store, 0, 6) == b"\0\0\0\0\4\5"
    assert resumed.run() == 5 + 4 + 30 + 20 + 10
    assert memory.read(resumed.store, 0, 6) == b"\0\1\2\3\4\5"
    assert not resumed.is_running and resumed.pending is None
    with pytest.raises(wardian.UsageError):
        resumed.run()

    resumed = linker(other, lambda n: 0).resume(Checkpoint.from_file(tmp_path / "checkpoint"))
    with pytest.raises(TypeError, match="has 1 results"):
        resumed.run_with()
    assert resumed.run_with(100) == 109


def test_checkpoints_of_idle_stores(engine, tmp_path):
    module = Module(engine, '(module (memory (export "m") 1))')
    store = Store(engine)
    instance = Linker(engine).instantiate(store, module)
    instance.exports(store).m.write(store, b"kept", 9)
    store.checkpoint_to(tmp_path / "whole")
    for checkpoint, modules in [(store.checkpoint(embed_modules=False), [module]),
                                (store.checkpoint(compress=False), []), (Checkpoint.from_file(tmp_path / "whole"), [])]:
        resumed = Linker(engine).resume(checkpoint, modules=modules)
        memory = resumed.instances[0].exports(resumed.store).m
        assert memory.read(resumed.store, 9, 13) == b"kept" and not resumed.is_running
        with pytest.raises(wardian.CheckpointError):
            resumed.run()
    with pytest.raises(wardian.CheckpointError):
        Linker(engine).resume(store.checkpoint(embed_modules=False))
    for write in (store.checkpoint_to, store.checkpoint().to_file, Checkpoint.from_file):
        with pytest.raises(FileNotFoundError):
            write(tmp_path / "no" / "folder")
    for bad in (b"", b"nonsense", store.checkpoint().to_bytes()[:-9]):
        with pytest.raises(wardian.WardianError):
            Linker(engine).resume(Checkpoint.from_bytes(bad))


def test_checkpoints_carry_wasi(engine):
    wasi = WasiConfig(["one", "two"])
    wasi.stdin_bytes(b"abc")
    wasi.capture_stdout()
    store, run = program(engine, wasi)
    checkpoint = store.checkpoint()
    again = WasiConfig()
    again.stdin_bytes(b"abc")
    out = again.capture_stdout()
    linker = Linker(engine)
    linker.define_wasi()
    resumed = linker.resume(checkpoint, wasi=again)
    run = resumed.instances[0].exports(resumed.store)
    assert run.args(resumed.store) == 2
    run.cat(resumed.store, 1)
    assert out.bytes() == b"abc"


def test_profiles(engine, tmp_path):
    store = Store(engine)
    spin = Instance(store, Module(engine, """(module $m (func $spin (export "spin")
        (loop $l (br $l))))""")).exports(store).spin
    profiler = Profiler(0.001, program="spinning")
    profiler.watch(store)
    with pytest.raises(wardian.Stopped):
        spin.call(store, timeout=0.3)
    profile = profiler.finish()
    assert profile.samples > 20
    assert "spin" in profile.table()
    raw = gzip.decompress(profile.pprof())
    assert b"spin" in raw
    for name in ("p.pb.gz", "p.svg", "p.folded"):
        profile.write(tmp_path / name)
        assert (tmp_path / name).stat().st_size > 20
    with pytest.raises(wardian.UsageError):
        profile.write(tmp_path / "p.exe")


def test_stubs_have_what_there_is():
    """Every class, method and function is in the stub, with the same names of parameters, and nothing else is."""
    stub = pathlib.Path(wardian.__file__).with_name("__init__.pyi")
    tree = ast.parse(stub.read_text())
    classes = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}
    public = {name for name in wardian.__all__}
    named = set(classes) | {n.name for n in tree.body if isinstance(n, ast.FunctionDef)}
    named |= {t.id for n in tree.body if isinstance(n, ast.Assign) for t in n.targets}
    named |= {n.target.id for n in tree.body if isinstance(n, ast.AnnAssign)}
    named |= {alias.asname or alias.name for n in tree.body if isinstance(n, ast.ImportFrom) and n.module.startswith("wardian") for alias in n.names}
    assert public - named == set() and {n for n in named - public if not n.startswith("_")} == set()
    undocumented = []
    for name, node in classes.items():
        real = getattr(wardian, name)
        members = {n.name: n for n in node.body if isinstance(n, ast.FunctionDef)}
        members |= {n.target.id: n for n in node.body if isinstance(n, ast.AnnAssign)}
        found = {member for member in vars(real) if not member.startswith("_")}
        assert found == {member for member in members if not member.startswith("_")}, name
        for member, function in members.items():
            value = inspect.getattr_static(real, member, None)
            if member.startswith("_") or not isinstance(function, ast.FunctionDef) or inspect.isdatadescriptor(value):
                continue
            arguments = function.args
            stubbed = [a.arg for a in arguments.posonlyargs + arguments.args + arguments.kwonlyargs]
            stubbed += [a.arg for a in (arguments.vararg, arguments.kwarg) if a]
            real_ = list(inspect.signature(getattr(real, member)).parameters)
            # Of methods the stub has `self`.
            assert sorted(a for a in stubbed if a != "self") == sorted(a for a in real_ if a != "self"), (name, member)
            undocumented += [] if getattr(real, member).__doc__ else [(name, member)]
    assert undocumented == []
