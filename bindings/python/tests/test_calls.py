"""Calls in both directions, values, items."""

import gc
import math
import weakref

import pytest

import wardian
from wardian import (
    Caller, Config, Engine, Func, FuncType, Global, GlobalType, Instance, Limits, Linker, Memory, MemoryType, Module,
    Store, Table, TableType, ValType, f32, f64, externref, funcref, i32, i64,
)

ECHO = """(module
  (func (export "i32") (param i32) (result i32) (local.get 0))
  (func (export "i64") (param i64) (result i64) (local.get 0))
  (func (export "f32") (param f32) (result f32) (local.get 0))
  (func (export "f64") (param f64) (result f64) (local.get 0))
  (func (export "v128") (param v128) (result v128) (local.get 0))
  (func (export "externref") (param externref) (result externref) (local.get 0))
  (func (export "funcref") (param funcref) (result funcref) (local.get 0))
  (func (export "pair") (param i32 f64) (result f64 i32) (local.get 1) (local.get 0))
  (func (export "none")))"""


@pytest.fixture(params=["tiered", "compiled", "interpreted"], scope="module")
def engine(request):
    return Engine(Config(engine=request.param))


@pytest.fixture
def store(engine):
    return Store(engine)


def exports(engine, store, text, imports=()):
    return Instance(store, Module(engine, text), list(imports)).exports(store)


@pytest.mark.parametrize("ty, given, found", [
    ("i32", 7, 7),
    ("i32", -1, -1),
    ("i32", 2**32 - 1, -1),
    ("i32", True, 1),
    ("i64", -(2**63), -(2**63)),
    ("i64", 2**64 - 1, -1),
    ("f32", 1.5, 1.5),
    ("f32", 3, 3.0),
    ("f64", 0.1, 0.1),
    ("f64", math.inf, math.inf),
    ("v128", bytes(range(16)), bytes(range(16))),
    ("externref", None, None),
    ("funcref", None, None),
])
def test_values(engine, store, ty, given, found):
    value = exports(engine, store, ECHO)[ty](store, given)
    assert value == found and type(value) is type(found)


@pytest.mark.parametrize("ty, given, error", [
    ("i32", 2**32, ValueError),
    ("i32", -(2**31) - 1, ValueError),
    ("i64", 2**64, ValueError),
    ("i32", 1.0, TypeError),
    ("i32", "1", TypeError),
    ("i32", None, TypeError),
    ("f64", "x", TypeError),
    ("v128", b"short", ValueError),
    ("v128", 1, TypeError),
    ("funcref", print, TypeError),
])
def test_values_that_do_not_fit(engine, store, ty, given, error):
    with pytest.raises(error, match="argument 1"):
        exports(engine, store, ECHO)[ty](store, given)


def test_references_are_the_same_objects(engine, store):
    echo = exports(engine, store, ECHO)
    thing = object()
    assert echo.externref(store, thing) is thing
    assert echo.funcref(store, echo.none) == echo.none
    assert echo.pair(store, 1, 2.5) == (2.5, 1)
    assert echo.none(store) is None


def test_what_is_no_call(engine, store):
    echo = exports(engine, store, ECHO)
    with pytest.raises(TypeError, match="takes 1 arguments"):
        echo.i32(store)
    with pytest.raises(TypeError, match="first argument is the store"):
        echo.i32(3)
    with pytest.raises(TypeError, match="first argument"):
        echo.i32()
    other = Store(engine)
    with pytest.raises(wardian.UsageError, match="does not belong"):
        echo.i32(other, 1)
    with pytest.raises(AttributeError, match="no export `missing`"):
        echo.missing
    assert Instance(store, Module(engine, ECHO)).get(store, "missing") is None


CALL = '(module (import "m" "f" (func $f (param i32 i64) (result i32))) (func (export "run") (param i32) (result i32) (call $f (local.get 0) (i64.const 40))))'
TYPE = FuncType(["i32", "i64"], [ValType.i32()])


def plain(a, b):
    return a + b


def annotated(a: i32, b: i64) -> i32:
    return a + b


def with_caller(caller: Caller, a: i32, b: i64) -> i32:
    assert isinstance(caller, Caller)
    return a + b


@pytest.mark.parametrize("ty, callable_, options", [
    (TYPE, plain, {}),
    (TYPE, lambda a, b: a + b, {}),
    (TYPE, with_caller, {"access_caller": True}),
    (None, annotated, {}),
    (None, with_caller, {}),
])
def test_host_functions(engine, store, ty, callable_, options):
    func = Func(store, ty, callable_, **options)
    assert func.type(store) == TYPE
    assert exports(engine, store, CALL, [func]).run(store, 2) == 42
    linker = Linker(engine)
    linker.define_func("m", "f", ty, callable_, **options)
    for each in (store, Store(engine)):
        assert linker.instantiate(each, Module(engine, CALL)).exports(each).run(each, 2) == 42


def bare(a, b: i32) -> i32: ...
def an_int(a: int) -> None: ...
def star(*a: i32) -> None: ...
def unknown(a: "nowhere") -> None: ...


@pytest.mark.parametrize("callable_, match", [
    (bare, "parameter a has no annotation"), (an_int, "i32 or wardian.i64"), (star, "by position"), (unknown, "nowhere"),
    (len, "give a FuncType"),
])
def test_annotations_that_say_no_type(store, callable_, match):
    with pytest.raises(wardian.UsageError, match=match):
        Func(store, None, callable_)


def several(a: f32, b: externref) -> tuple[f64, object, funcref]: ...


def test_annotations_of_all_kinds(store):
    assert Func(store, None, several).type(store) == FuncType(["f32", "externref"], ["f64", "externref", "funcref"])


@pytest.mark.parametrize("results, returned, match", [
    ([], 1, "has no results, but returned int"),
    (["i32"], None, "its result: i32 is needed, not NoneType"),
    (["i32"], 2**40, "out of the range"),
    (["i32", "i32"], (1,), "2 results are needed"),
    (["i32", "i32"], 5, "2 results are needed"),
    (["i32", "i32"], (1, "x"), "result 1: i32 is needed"),
])
def test_results_that_do_not_fit(store, results, returned, match):
    with pytest.raises((TypeError, ValueError), match=match):
        Func(store, FuncType([], results), lambda: returned)(store)


def test_several_results(store):
    func = Func(store, FuncType([], ["i32", "f64"]), lambda: [1, 2.0])
    assert func(store) == (1, 2.0)


class Own(Exception):
    pass


def test_an_exception_comes_out_at_the_call(engine, store):
    error = Own("mine")

    def f(a, b):
        raise error

    run = exports(engine, store, CALL, [Func(store, TYPE, f)]).run
    with pytest.raises(Own) as caught:
        run(store, 1)
    assert caught.value is error
    names = [entry.name for entry in caught.traceback]
    assert names[-1] == "f" and names[0] == "test_an_exception_comes_out_at_the_call"
    assert "called by a guest" in error.__notes__[0] and "run" in error.__notes__[0]
    # The store can be used afterwards.
    with pytest.raises(Own):
        run(store, 1)


@pytest.mark.parametrize("raised", [KeyboardInterrupt, SystemExit, GeneratorExit])
def test_exceptions_that_are_no_exception(engine, store, raised):
    def f(a, b):
        raise raised

    with pytest.raises(raised):
        exports(engine, store, CALL, [Func(store, TYPE, f)]).run(store, 1)


def test_an_exception_through_several_guests(engine, store):
    depth = []

    def f(caller, a, b):
        depth.append(a)
        if a == 5:
            raise Own
        return caller["run"](caller, a + 1)

    run = exports(engine, store, CALL, [Func(store, TYPE, f, access_caller=True)]).run
    with pytest.raises(Own):
        run(store, 0)
    assert depth == [0, 1, 2, 3, 4, 5]


def test_a_callback_may_catch_what_a_guest_did(engine, store):
    text = '(module (import "m" "f" (func $f)) (func (export "bad") unreachable) (func (export "run") (call $f)))'
    seen = []

    def f(caller):
        try:
            caller["bad"](caller)
        except wardian.Trap as trap:
            seen.append(trap.code)

    exports(engine, store, text, [Func(store, FuncType([], []), f, access_caller=True)]).run(store)
    assert seen == ["unreachable"]


def test_the_store_itself_in_a_callback(engine, store):
    """As in other engines' bindings, the store that a callback knows can be used too."""
    def f(a, b):
        return run(store, a - 1) + 1 if a else 0

    run = exports(engine, store, CALL, [Func(store, TYPE, f)]).run
    assert run(store, 10) == 10


def test_recursion_ends_with_an_exception(engine, store):
    def f(a, b):
        return run(store, a)

    run = exports(engine, store, CALL, [Func(store, TYPE, f)]).run
    with pytest.raises((RecursionError, wardian.Trap)):
        run(store, 10)
    assert exports(engine, store, ECHO).i32(store, 1) == 1


def test_a_caller_ends_with_its_function(engine, store):
    kept = []

    def f(caller, a, b):
        kept.append(caller)
        assert len(caller.stack()) == 1 and caller.stack()[0].func_name == "run"
        assert caller.instance.get(caller, "run") == caller["run"]
        assert caller.get("missing") is None
        with pytest.raises(KeyError):
            caller["missing"]
        return 0

    exports(engine, store, CALL, [Func(store, TYPE, f, access_caller=True)]).run(store, 1)
    for use in (lambda c: c.get("run"), lambda c: c.stack(), lambda c: Store.checkpoint(store) and Memory(c, MemoryType(Limits(1)))):
        with pytest.raises(wardian.UsageError, match="has returned"):
            use(kept[0])


def test_memory(engine, store):
    memory = exports(engine, store, '(module (memory (export "m") 1 3) (data (i32.const 8) "hello"))').m
    assert memory.type(store).limits == Limits(1, 3)
    assert memory.read(store, 8, 13) == b"hello"
    assert memory.read(store, -2) == b"\0\0" and memory.read(store, 5, 2) == b""
    assert memory.write(store, b"jelly", 8) == 5
    assert memory.write(store, memoryview(bytearray(b"xyz")), 13) == 3
    into = bytearray(8)
    memory.read_into(store, 8, into)
    assert into == b"jellyxyz"
    assert (memory.size(store), memory.data_len(store)) == (1, 65536)
    assert memory.grow(store, 2) == 1
    with pytest.raises(wardian.LimitError):
        memory.grow(store, 1)
    view = memory.view(store)
    assert len(view) == 3 * 65536 and view[8] == ord("j") and view[8:13] == b"jelly" and view[-1] == 0
    view[8:10] = b"JE"
    view[10] = 0x20
    assert view[8:13] == b"JE ly"
    for bad in (lambda: memory.write(store, b"xx", 3 * 65536 - 1), lambda: memory.read_into(store, 2**40, into),
                lambda: view[3 * 65536], lambda: view.__setitem__(-3 * 65536 - 1, 1)):
        with pytest.raises(IndexError):
            bad()
    with pytest.raises(ValueError):
        view[0:4] = b"abc"
    with pytest.raises(ValueError):
        view[0:4:2]
    with pytest.raises(TypeError):
        memory.read_into(store, 0, bytes(4))


@pytest.mark.parametrize("shared", [False, True])
def test_memories_of_ones_own(engine, store, shared):
    memory = Memory(store, MemoryType(Limits(1, 2), shared=shared))
    memory.write(store, b"ab", 65534)
    sum_ = exports(engine, store, f'(module (import "" "" (memory 1 2 {"shared" if shared else ""})) (func (export "at") (param i32) (result i32) (i32.load8_u (local.get 0))))', [memory])
    assert sum_.at(store, 65535) == ord("b")
    with pytest.raises(wardian.Trap) as caught:
        sum_.at(store, 65536)
    assert caught.value.memory_access == (65536, 1, 65536)


def test_tables_and_globals(engine, store):
    table = Table(store, TableType("externref", Limits(2, 4)), "filled")
    assert [table.get(store, n) for n in range(2)] == ["filled"] * 2
    table.set(store, 1, None)
    assert table.grow(store, 1, 7) == 2 and table.get(store, 2) == 7 and table.get(store, 1) is None
    assert table.size(store) == 3
    for bad in (lambda: table.get(store, 3), lambda: table.set(store, 3, None)):
        with pytest.raises(IndexError):
            bad()
    with pytest.raises(wardian.WardianError):
        table.grow(store, 9, None)
    var = Global(store, GlobalType("i64", mutable=True), 5)
    var.set_value(store, -6)
    assert var.value(store) == -6 and var.type(store) == GlobalType("i64", True)
    fixed = Global(store, GlobalType("f32"), 5)
    with pytest.raises(wardian.UsageError):
        fixed.set_value(store, 1.0)


def test_types_of_modules(engine):
    module = Module(engine, """(module $name (import "a" "f" (func (param i32) (result f64))) (import "a" "m" (memory 1 2))
        (import "b" "t" (table 3 externref)) (global (export "g") (mut i64) (i64.const 1)))""")
    assert module.name == "name"
    found = [(i.module, i.name, i.type) for i in module.imports]
    assert found == [("a", "f", FuncType(["i32"], ["f64"])), ("a", "m", MemoryType(Limits(1, 2))),
                     ("b", "t", TableType("externref", Limits(3)))]
    assert [(e.name, e.type) for e in module.exports] == [("g", GlobalType("i64", True))]


def test_bad_modules(engine, store):
    with pytest.raises(wardian.ModuleError):
        Module(engine, b"\0asm nonsense")
    with pytest.raises(wardian.ModuleError):
        Module(engine, "(module (func (result i32)))")
    with pytest.raises(FileNotFoundError, match="nowhere.wasm"):
        Module.from_file(engine, "/nowhere.wasm")
    with pytest.raises(TypeError):
        Module(engine, 3)
    with pytest.raises(wardian.LinkError) as caught:
        Linker(engine).instantiate(store, Module(engine, CALL))
    assert [p[:2] for p in caught.value.problems] == [("m", "f")]


def test_traps_have_frames(engine, store):
    bad = exports(engine, store, "(module $m (func $inner unreachable) (func (export \"run\") (call $inner)))").run
    with pytest.raises(wardian.Trap) as caught:
        bad(store)
    frames = caught.value.frames
    assert [(f.func_name, f.func_index, f.module_name) for f in frames] == [("inner", 0, "m"), ("run", 1, "m")]
    assert frames[0].code_offset is not None and frames[0].file_offset > frames[0].code_offset
    assert caught.value.code == "unreachable" and "inner" in str(caught.value)


def test_linkers(engine, store):
    linker = Linker(engine)
    lib = Instance(store, Module(engine, '(module (func (export "f") (param i32 i64) (result i32) (i32.const 9)))'))
    linker.define_instance(store, "m", lib)
    assert linker.instantiate(store, Module(engine, CALL)).exports(store).run(store, 0) == 9
    with pytest.raises(wardian.UsageError):
        linker.define(store, "m", "f", lib.exports(store).f)
    with pytest.raises(TypeError):
        linker.define(store, "m", "g", 3)
    shadowing = Linker(engine, allow_shadowing=True)
    shadowing.define(store, "m", "f", lib.exports(store).f)
    shadowing.define(store, "m", "f", lib.exports(store).f)


def test_exceptions_of_guests(engine, store):
    run = exports(engine, store, '(module (tag $t (param i32)) (func (export "run") (throw $t (i32.const 5))))').run
    with pytest.raises(wardian.GuestException) as caught:
        run(store)
    assert caught.value.values == (5,)


def test_opaque_references_pass_through(engine, store):
    both = exports(engine, store, """(module (type $s (struct (field i32)))
        (func (export "make") (result anyref) (struct.new $s (i32.const 3)))
        (func (export "look") (param anyref) (result i32) (struct.get $s 0 (ref.cast (ref $s) (local.get 0)))))""")
    made = both.make(store)
    assert both.look(store, made) == 3 and made == made
    other = Store(engine)
    with pytest.raises(wardian.UsageError):
        exports(engine, other, ECHO).externref(other, made)


class Node:
    pass


def test_cycles_through_callbacks_are_collected(engine):
    def of_func():
        store, node = Store(engine), Node()
        node.func = Func(store, TYPE, lambda a, b: node and a)
        node.store = store
        node.instance = Instance(store, Module(engine, CALL), [node.func])
        return weakref.ref(node), weakref.ref(store)

    def of_linker():
        linker, store, node = Linker(engine), Store(engine), Node()
        linker.define_func("m", "f", TYPE, lambda a, b: node and a)
        node.all = linker, store, linker.instantiate(store, Module(engine, CALL))
        return weakref.ref(node), weakref.ref(store)

    def of_listener():
        store, node = Store(engine), Node()
        instance = Instance(store, Module(engine, ECHO))
        node.all = store, instance.attach(store, before=lambda call, arguments: node)
        return weakref.ref(node), weakref.ref(store)

    for make in (of_func, of_linker, of_listener):
        references = make()
        gc.collect()
        assert [reference() for reference in references] == [None, None], make.__name__


def test_what_guests_need_is_kept(engine):
    store = Store(engine)
    linker = Linker(engine)
    linker.define_func("m", "f", TYPE, lambda a, b: a * 2)
    run = linker.instantiate(store, Module(engine, CALL)).exports(store).run
    del linker
    gc.collect()
    assert run(store, 4) == 8


def test_objects_that_guests_hold_are_dropped_with_the_store(engine):
    store, node = Store(engine), Node()
    Table(store, TableType("externref", Limits(1)), node)
    reference = weakref.ref(node)
    del node
    assert reference() is not None
    del store
    gc.collect()
    assert reference() is None
