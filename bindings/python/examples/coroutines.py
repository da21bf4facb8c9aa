"""Guests that wait for coroutines: three of them fetch at the same time, and one takes too long.

    python coroutines.py
"""

import asyncio

from wardian import DeadlineExceeded, Engine, Linker, Module, Store, i32

PROGRAM = """(module
  (import "host" "fetch" (func $fetch (param i32) (result i32)))
  (func (export "both") (param $n i32) (result i32)
    (i32.add (call $fetch (local.get $n)) (call $fetch (i32.add (local.get $n) (i32.const 1))))))"""


async def fetch(n: i32) -> i32:
    """Stands for a request over the network: the larger the number, the longer it takes."""
    await asyncio.sleep(n / 1000)
    return n * 10


async def main():
    engine = Engine()
    module = Module(engine, PROGRAM)
    linker = Linker(engine)
    linker.define_func("host", "fetch", None, fetch)

    async def run(n, timeout=None):
        # A store has one call at a time: each task has one of its own.
        store = Store(engine)
        both = linker.instantiate(store, module).exports(store).both
        return await both.call_async(store, n, timeout=timeout)

    print("together:", await asyncio.gather(run(1), run(2), run(3)))
    try:
        await run(60_000, timeout=0.05)
    except DeadlineExceeded as late:
        print("too late:", late)


if __name__ == "__main__":
    asyncio.run(main())
