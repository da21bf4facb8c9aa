"""Runs a program of WASI with limits, and prints what it writes and where its time went.

    python wasi_program.py program.wasm [arguments...]
"""

import sys

from wardian import Engine, ExitTrap, Linker, Module, Profiler, Stopped, Store, Trap, WasiConfig


def main(path, *arguments):
    engine = Engine()
    module = Module.from_file(engine, path)
    linker = Linker(engine)
    linker.define_wasi()

    wasi = WasiConfig([path, *arguments])
    output = wasi.capture_stdout()
    wasi.inherit_stderr()
    store = Store(engine, wasi)
    store.set_limits(memory_size=256 << 20)
    store.set_timeout(60)

    profiler = Profiler()
    profiler.watch(store)
    code = 0
    try:
        instance = linker.instantiate(store, module)
        instance.exports(store)["_start"](store)
    except ExitTrap as ended:
        code = ended.code
    except (Stopped, Trap) as ended:
        print(ended, file=sys.stderr)
        code = 1
    print(output.text(), end="")
    print(profiler.finish().table(10), file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
