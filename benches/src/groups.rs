//! The groups of figures, what is to be shown, and what is said of them in a report.

use crate::drivers::V8;
use crate::engines::{POOLING, WASMI, WASMTIME, WASMTIME_COPYING};
use crate::hooks::{self, WITHOUT};
use crate::measure::{ABSOLUTE, Row};
use crate::options::{Options, Result};
use crate::report::Target;
use crate::{
    calls, checkpoint, children, cold, cpu, curves, exceptions, fork, gc, image, instantiate,
    observe, snapshot, stop, translate, trap, variants, warmup,
};

/// A group of figures.
pub(crate) struct Kind {
    pub(crate) name: &'static str,
    pub(crate) run: fn(&Options) -> Result<Vec<Row>>,
    pub(crate) targets: &'static [Target],
    /// What is measured, for readers of a report: Markdown.
    pub(crate) about: &'static str,
}

const fn at_most(peer: &'static str, rows: &'static str, mean: f64, worst: f64) -> Target {
    Target { peer, rows, mean, worst }
}

/// At most so many nanoseconds in each row.
const fn within(rows: &'static str, nanoseconds: f64) -> Target {
    at_most(ABSOLUTE, rows, ANY, nanoseconds)
}

const ANY: f64 = f64::INFINITY;

/// All groups, in the order in which they run.
pub(crate) const GROUPS: &[Kind] = &[
    Kind {
        name: "cpu",
        run: cpu::run,
        targets: &[at_most(WASMTIME, "", 1.0, 1.15)],
        about: "Execution time of guests that only compute: one unit of work of each. The sources are in \
            `benches/guests`; rows that begin with `wat_` are written by hand. `tiered` is measured once what is \
            hot has been compiled, and so is V8. `native` is the same Rust source compiled for any processor of \
            this kind. wasm3 has no SIMD: a second table, if there is one, has the guests built without it.",
    },
    Kind {
        name: "warmup",
        run: warmup::run,
        targets: &[at_most(V8, "", 1.5, ANY)],
        about: "From the first call of a guest of `cpu` in a new tiered engine, in which nothing is compiled, until its calls of \
            about a millisecond take at most 1.05 of what they take in the end; wall time, without making the module. V8 in a \
            process of its own.",
    },
    Kind {
        name: "gc",
        run: gc::run,
        targets: &[at_most(WASMTIME_COPYING, "", 0.8, 1.1)],
        about: "Objects of guests: allocation of structs, lists and trees with the collections that they need, \
            fields, casts, arrays. The source is `benches/guests/gc.wat`.",
    },
    Kind {
        name: "exceptions",
        run: exceptions::run,
        targets: &[
            at_most(WASMTIME, "throw", ANY, 0.5),
            at_most(WASMTIME, "no throw", ANY, 1.0),
            at_most(WITHOUT, "no throw", ANY, 1.1),
        ],
        about: "An exception that is thrown and caught so many frames further out; caught by reference and thrown \
            again; and calls inside of a block with a handler that throw nothing, beside the same calls without.",
    },
    Kind {
        name: "translate",
        run: translate::run,
        // Nothing is to be met; a mean of times and rates would say nothing.
        targets: &[at_most(WASMI, "validate", ANY, ANY)],
        about: "How long the interpreter takes to translate all functions of a module on one thread, alone and \
            with validation; wasmi with the same settings.",
    },
    Kind {
        name: "cold",
        run: cold::run,
        targets: &[],
        about: "Whole programs by the commands of the engines, without caches, each run in a process of its own: \
            wall time and peak resident memory. An engine that fails, or prints something else than the others, \
            has no figure.",
    },
    Kind {
        name: "entry",
        run: calls::entry,
        targets: &[at_most(WASMTIME, "", ANY, 0.8)],
        about: "A typed call from the embedder of a guest function that does nothing.",
    },
    Kind {
        name: "host",
        run: calls::host,
        targets: &[at_most(WASMTIME, "", ANY, 1.25)],
        about: "A guest's call of a typed host function, and its return.",
    },
    Kind {
        name: "instantiate",
        run: instantiate::run,
        targets: &[at_most(POOLING, "", ANY, 1.0)],
        about: "Store, instance and drop of a small module with a memory of 64 KiB; and the same with a call.",
    },
    Kind {
        name: "trap",
        run: trap::run,
        targets: &[at_most(WASMTIME, "stack overflow", 0.5, ANY)],
        about: "From the call of a guest that traps to the error in the embedder's hands, backtrace included.",
    },
    Kind {
        name: "compile",
        run: children::compile,
        targets: &[at_most(WASMTIME, "time", 1.0, ANY), at_most(WASMTIME, "peak memory", 1.0, ANY)],
        about: "A module of more than 10 MB in a fresh process, on two threads: time, and growth of peak resident \
            memory. wasmi only validates here: by default it translates a function when it is called.",
    },
    Kind {
        name: "idle",
        run: children::idle,
        targets: &[],
        about: "What each of 1000 instances, each in its own store and called once, adds to the process.",
    },
    Kind {
        name: "listener",
        run: hooks::listener,
        targets: &[within("pair", 10.0), at_most(WITHOUT, "off", 1.02, 1.05)],
        about: "`pair`: what an empty listener's `before` and `after` add to a call. `off`: calls in a module whose \
            listeners have been detached, beside one that never had any. The peers have nothing of the kind; \
            the figure of wazero was measured on another machine.",
    },
    Kind {
        name: "stack",
        run: hooks::stack,
        targets: &[within("50 frames", 1000.0)],
        about: "What walking 50 frames adds to an empty listener.",
    },
    Kind {
        name: "snapshot",
        run: snapshot::run,
        targets: &[within("snapshot, small", 50.0), within("snapshot+restore, small", 150.0)],
        about: "What a snapshot of the guest's stack, and its drop, adds to the host call that takes it; and with \
            its restore; with so much stack in use. The figures of wazero were measured on another machine.",
    },
    Kind {
        name: "image",
        run: image::run,
        targets: &[
            within("reset, 100 MiB", 250_000.0),
            at_most(image::ANEW, "reset, small", 1.0, ANY),
            within("image, 150 MiB, one page", 100_000.0),
        ],
        about: "Images of idle stores: an image, a reset after the guest has written, and what the guest takes for its \
            writes afterwards, which make copies of pages. Beside a reset of a small store, which includes a call: \
            a store that is made anew for each call.",
    },
    Kind {
        name: "fork",
        run: fork::run,
        targets: &[
            within("first fork, 100 MiB, forkable", 1e6),
            within("later fork", 1e6),
            within("fork, small", 30_000.0),
            within("fork in a host call", 100_000.0),
            within("memory of 1000 children", 1.3 * (1 << 30) as f64),
        ],
        about: "Forks of idle stores: the first one of memories that were made to be forked \
            (`Config::forkable_memories`) and of others, later ones, and what parent and child take for their writes \
            afterwards, which make copies of pages. Beside the fork of a small store, which includes a call: a store \
            that is made anew for each call. Forks in a host call, by what has frames. The memory of many children is the \
            proportional set size (`Pss`) of the process.",
    },
    Kind {
        name: "forkable",
        run: variants::forkable,
        targets: &[at_most(WITHOUT, "", 1.03, ANY)],
        about: "The guests of `cpu` in memories that were made to be forked, beside themselves.",
    },
    Kind {
        name: "checkpoint",
        run: checkpoint::run,
        targets: &[
            at_most(checkpoint::WRITE, "write, 100 MiB, plain", 1.5, ANY),
            at_most(checkpoint::ZSTD, "compressed", 1.2, ANY),
            at_most(checkpoint::READ, "resume, 100 MiB, plain", 1.5, ANY),
            within("resume, 100 MiB, mapped", 5e6),
        ],
        about: "A store with 100 MiB that were written, to and from files in the page cache, hashes included, without \
            `fsync`; wall time, on two threads. Beside `write` of the same bytes; zstd -1, whose stream is compressed on one thread \
            (checkpoints have LZ4); and a file that is read into memory and hashed.",
    },
    Kind {
        name: "stop",
        run: stop::run,
        targets: &[within(stop::ABOVE, 2e6)],
        about: "From `CancelToken::cancel` to the return of the guest's call, with all processors busy; in turns \
            with a thread that sleeps and is woken, and one that computes and polls a flag.",
    },
    Kind {
        name: "checked",
        run: variants::checked,
        targets: &[at_most(variants::GUARDED, "", 1.35, ANY)],
        about: "The guests of `cpu` in memories that an allocator supplies, where each access is checked, beside \
            memories with guard pages.",
    },
    Kind {
        name: "capture",
        run: variants::capture,
        targets: &[
            at_most(WITHOUT, "calls: ", 1.08, 1.25),
            at_most(WITHOUT, "calls and loops: ", 1.2, 1.45),
        ],
        about: "The guests of `cpu` in engines whose compiled code can be captured for checkpoints, beside themselves.",
    },
    Kind {
        name: "observe",
        run: observe::run,
        targets: &[
            within("exact over", 30.0),
            within("traced", 200.0),
            at_most(WITHOUT, "sampled", 1.03, ANY),
        ],
        about: "What an exact profile, a sampled profile and a trace in a file add to a call.",
    },
    Kind {
        name: "sampler",
        run: variants::sampler,
        targets: &[at_most(WITHOUT, "", 1.03, ANY)],
        about: "The guests of `cpu` sampled a thousand times a second, beside themselves.",
    },
    Kind {
        name: "curves",
        run: curves::run,
        targets: &[],
        about: "How costs grow. Both axes are logarithmic.",
    },
];
