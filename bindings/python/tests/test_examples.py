"""The examples, and the one of the README."""

import pathlib
import re
import runpy

import pytest

HERE = pathlib.Path(__file__).parents[1]


def test_the_readme(capsys):
    code = re.search(r"```python\n(.*?)```", (HERE / "README.md").read_text(), re.S).group(1)
    exec(compile(code, "README.md", "exec"), {"__name__": "readme"})
    assert capsys.readouterr().out == "hello\n"


def test_checkpoint(capsys):
    runpy.run_path(str(HERE / "examples" / "checkpoint.py"), run_name="__main__")
    assert capsys.readouterr().out == "to its end: 15\nit had called: ('host', 'step', (3,))\ncontinued: 69\n"


def test_coroutines(capsys):
    runpy.run_path(str(HERE / "examples" / "coroutines.py"), run_name="__main__")
    out = capsys.readouterr().out
    assert out == "together: [30, 50, 70]\ntoo late: the guest was stopped: its deadline passed\n"


def test_wasi_program(capsys):
    main = runpy.run_path(str(HERE / "examples" / "wasi_program.py"))["main"]
    code = main(str(HERE.parents[1] / "examples" / "guests" / "fern.wasm"))
    out, err = capsys.readouterr()
    assert code == 0 and len(out.splitlines()) > 10, err
    # Which functions are among the ten that are shown depends on the samples.
    assert err.startswith("sampling profile of guest") and "func:" in err, err


def test_wasi_program_that_is_none(capsys):
    main = runpy.run_path(str(HERE / "examples" / "wasi_program.py"))["main"]
    with pytest.raises(FileNotFoundError):
        main("/nowhere.wasm")
