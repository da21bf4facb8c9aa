"""A guest that is written down in the middle of a loop, and continues in another engine.

    python checkpoint.py
"""

from wardian import Caller, Checkpoint, Config, Engine, Linker, Module, Store, i32

PROGRAM = """(module
  (import "host" "step" (func $step (param i32) (result i32)))
  (func (export "sum") (param $n i32) (result i32) (local $sum i32)
    (loop $again
      (local.set $sum (i32.add (local.get $sum) (call $step (local.get $n))))
      (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (local.get $sum)))"""


def main():
    saved = []

    def step(caller: Caller, n: i32) -> i32:
        if n == 3:
            saved.append(caller.checkpoint().to_bytes())
        return n

    engine = Engine(Config(checkpoints="calls"))
    linker = Linker(engine)
    linker.define_func("host", "step", None, step)
    store = Store(engine)
    instance = linker.instantiate(store, Module(engine, PROGRAM))
    print("to its end:", instance.exports(store).sum(store, 5))

    def ten_times(n: i32) -> i32:
        return 10 * n

    elsewhere = Linker(Engine(Config(engine="interpreted")))
    elsewhere.define_func("host", "step", None, ten_times)
    resumed = elsewhere.resume(Checkpoint.from_bytes(saved[0]))
    print("it had called:", resumed.pending)
    print("continued:", resumed.run())


if __name__ == "__main__":
    main()
