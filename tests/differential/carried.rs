//! A guest that is written down at its calls of the host, and continues in other stores on other engines, does the same
//! as one that is not.
//!
//! ```text
//!   whole:    instantiate ── call ── host ── host ── call ── host ── …      one store, interpreted
//!   carried:  instantiate ── call ── host │ host │ call │ host │ …          a new store at each bar
//! ```

use crate::processes::{self, Request};
use crate::random::Random;
use crate::ways::{self, WAYS};
use crate::{calls, generate, heard, run, world};
use libtest_mimic::Failed;
use std::collections::HashSet;
use std::sync::LazyLock;
use std::sync::atomic::Ordering;
use wardian::{
    AsContextMut, Caller, Engine, EngineKind, Error, ErrorKind, Extern, ExternType, Func, FuncType,
    Global, Instance, Linker, Memory, Module, Result, Store, Table, Tag, Val, ValType,
    checkpoint::{Checkpoint, CheckpointOptions, Checkpoints, ResumeOptions},
    fork::Fork,
    limits::StoreLimits,
};

/// What each call from outside may burn.
const FUEL: u64 = 3_000;
/// Calls from outside.
const CALLS: usize = 10;
/// Host calls in all; then they fail.
const HOST_CALLS: usize = 150;

/// What host functions have.
struct Host {
    lines: Vec<String>,
    seed: u64,
    /// Host calls so far.
    calls: usize,
    depth: usize,
    /// How many host calls are let pass before the guest is written down.
    carry_after: Option<usize>,
    taken: Option<Taken>,
    /// Whether the store is forked instead of written down.
    forks: bool,
    limits: StoreLimits,
}

/// A guest that was left, to continue elsewhere.
enum Taken {
    Bytes(Vec<u8>),
    Fork(Box<Fork<Host>>),
}

impl Host {
    /// That of the next store.
    fn next(&self, carry_after: Option<usize>) -> Host {
        let Host { seed, calls, depth, forks, .. } = *self;
        let lines = self.lines.clone();
        Host { lines, seed, calls, depth, carry_after, taken: None, forks, limits: limits() }
    }
}

/// How a guest is carried.
#[derive(Clone, Copy)]
struct Plan {
    name: &'static str,
    /// Host calls between two checkpoints; none for no checkpoint.
    every: Option<usize>,
    /// The engine on which it continues after the first; on others than interpreters it stays.
    next: &'static Engine,
    /// The engine on which it begins.
    first: &'static Engine,
    /// Whether it continues in forks of its store.
    forks: bool,
    /// Whether it continues in another process, in this way of the others'.
    process: Option<usize>,
}

/// Engines whose compiled code can be captured, with names.
static CAPTURING: LazyLock<Vec<(&str, Engine)>> = LazyLock::new(|| {
    if !cfg!(feature = "jit") {
        return Vec::new();
    }
    let engine = |kind, hot, signals, checkpoints| {
        let mut config = ways::config(kind, hot, signals);
        Engine::new(config.checkpoints(checkpoints)).expect("the configuration works")
    };
    let loops = Checkpoints::CallsAndLoops;
    vec![
        ("compiled", engine(EngineKind::Compiled, 0, true, Checkpoints::Calls)),
        ("compiled, checks, loops", engine(EngineKind::Compiled, 0, false, loops)),
        ("tiered, loops", engine(EngineKind::Tiered, 1, true, loops)),
    ]
});

/// Fails with the first difference.
pub(crate) fn compare(seed: u64) -> Result<(), Failed> {
    compare_module(seed, &generate::module(seed))?;
    compare_module(seed, &calls::module(seed))
}

fn compare_module(seed: u64, bytes: &[u8]) -> Result<(), Failed> {
    let of_kind = |kind| {
        let mut engines = WAYS.iter().map(|way| &way.engine);
        engines.find(|engine| engine.config().engine_kind() == kind)
    };
    let interpreted = &WAYS[0].engine;
    let plan = |name, every, next| Plan {
        name,
        every,
        next,
        first: interpreted,
        forks: false,
        process: None,
    };
    let mut plans = vec![
        plan("at every host call", Some(0), interpreted),
        plan("now and then", Some(3), interpreted),
        Plan { forks: true, ..plan("to a fork", Some(seed as usize % 3), interpreted) },
    ];
    let compiled = of_kind(EngineKind::Compiled);
    plans.extend(compiled.map(|next| plan("once, to a compiling engine", Some(2), next)));
    let tiered = of_kind(EngineKind::Tiered);
    plans.extend(tiered.map(|next| plan("once, to a tiered engine", Some(1), next)));
    // They take long: each module has its turn with one of them.
    if let Some(turn) = (seed as usize).checked_rem(CAPTURING.len()) {
        let (name, engine) = &CAPTURING[turn];
        let every = Some(if seed.is_multiple_of(2) { 0 } else { 2 });
        let forks = seed % 3 == 1;
        plans.push(Plan { name, every, next: engine, first: engine, forks, process: None });
    }
    // So do processes.
    if seed.is_multiple_of(4) {
        let (every, way) = (Some(seed as usize / 4 % 3), seed as usize / 4 % WAYS.len());
        plans.push(Plan { process: Some(way), ..plan("to a process", every, interpreted) });
    }
    let whole = run_all(seed, bytes, plan("not", None, interpreted))?;
    for plan in plans {
        let carried = run_all(seed, bytes, plan)?;
        for i in 0..whole.len().max(carried.len()) {
            let (a, b) = (whole.get(i), carried.get(i));
            if a.is_some_and(|line| line.contains("StackOverflow")) {
                break;
            }
            if a.map(|line| without_numbers(line)) != b.map(|line| without_numbers(line)) {
                let path = std::env::temp_dir().join(format!("wardian-carried-{seed}.wasm"));
                std::fs::write(&path, bytes).expect("the module can be kept");
                return Err(format!(
                    "seed {seed}, carried {}: line {i} is\n  {b:?}, not\n  {a:?}; module: {}",
                    plan.name,
                    path.display()
                )
                .into());
            }
            crate::RAN[2].fetch_add(1, Ordering::Relaxed);
        }
    }
    Ok(())
}

/// A line without what may differ: numbers of types, which an engine gives in the order in which it meets them, and
/// how much of a heap is in use, since garbage is not carried.
fn without_numbers(line: &str) -> String {
    let words = line.split(' ').map(|word| word.split('#').next().unwrap_or_default());
    let mut kept: Vec<&str> = Vec::new();
    for word in words {
        if word == "of" && line.contains("of them in use") {
            kept.pop();
        }
        kept.push(word);
    }
    kept.join(" ")
}

/// A guest in the store in which it is now.
struct Guest {
    store: Store<Host>,
    instance: Option<Instance>,
    plan: Plan,
    module: Vec<u8>,
    /// The call from outside in which it is.
    turn: Option<usize>,
    /// What was noted in another process, to which it has gone.
    elsewhere: Option<Vec<String>>,
}

fn run_all(seed: u64, bytes: &[u8], plan: Plan) -> Result<Vec<String>, Failed> {
    let engine = plan.first;
    let Ok(module) = Module::new(engine, bytes) else { return Ok(Vec::new()) };
    let host = Host {
        lines: Vec::new(),
        seed,
        calls: 0,
        depth: 0,
        carry_after: plan.every,
        taken: None,
        forks: plan.forks,
        limits: limits(),
    };
    let mut guest = Guest::new(store(engine, host), plan, bytes);
    guest.store.set_fuel(FUEL).expect("fuel is counted");
    let Ok(linker) = linker(&mut guest.store, &module) else { return Ok(Vec::new()) };
    let done = linker.instantiate(&mut guest.store, &module);
    if matches!(&done, Err(error) if matches!(error.kind(), ErrorKind::Link(_))) {
        // The message has numbers of types, which differ from engine to engine.
        return Ok(Vec::new());
    }
    let done = guest.end(done.map(|instance| (instance, Vec::new())))?;
    guest.note(&done);
    guest.call_all(&module)
}

/// Continues a guest in this process.
pub(crate) fn arrived(request: Request) -> Result<Vec<String>, Failed> {
    let engine = &WAYS[request.way as usize].engine;
    let plan = Plan {
        name: "from a process",
        every: None,
        next: engine,
        first: engine,
        forks: false,
        process: None,
    };
    let host = Host {
        lines: request.lines,
        seed: request.seed,
        calls: request.calls as usize,
        depth: request.depth as usize,
        carry_after: None,
        taken: None,
        forks: false,
        limits: limits(),
    };
    let mut guest = Guest::new(store(engine, host), plan, &request.module);
    let module = Module::new(engine, &request.module)?;
    let resumed = guest.resume(&request.checkpoint)?;
    let instance = resumed.instances()[0];
    guest.turn = request.turn.map(|turn| turn as usize);
    guest.instance = guest.turn.map(|_| instance);
    let done = resumed.run(&mut guest.store).map(|results| (instance, results));
    let done = guest.end(done)?;
    guest.note(&done);
    guest.call_all(&module)
}

/// New ones for each store: they count what it has.
fn limits() -> StoreLimits {
    StoreLimits { memory_bytes: 2 << 20, table_elements: 2000, ..StoreLimits::default() }
}

fn store(engine: &Engine, host: Host) -> Store<Host> {
    let mut store = Store::new(engine, host);
    store.limiter(|host| &mut host.limits);
    store
}

impl Guest {
    fn new(store: Store<Host>, plan: Plan, module: &[u8]) -> Guest {
        let module = module.to_vec();
        Guest { store, instance: None, plan, module, turn: None, elsewhere: None }
    }

    /// Makes the calls from outside that are left, and returns what was noted.
    fn call_all(mut self, module: &Module) -> Result<Vec<String>, Failed> {
        let functions: Vec<String> = module
            .exports()
            .filter_map(|(name, ty)| matches!(ty, ExternType::Func(_)).then(|| name.to_owned()))
            .collect();
        let first = self.turn.map_or(0, |turn| turn + 1);
        for turn in first..if functions.is_empty() { 0 } else { CALLS } {
            if self.instance.is_none() || self.elsewhere.is_some() {
                break;
            }
            self.turn = Some(turn);
            self.call(&functions[turn % functions.len()], turn)?;
            let moves = self.plan.every.is_some() && self.plan.process.is_none();
            if moves && turn % 4 == 3 {
                self.move_idle()?;
            }
        }
        let Guest { store, elsewhere, .. } = self;
        Ok(elsewhere.unwrap_or_else(|| store.into_data().lines))
    }

    /// Has another process continue.
    fn leave(&mut self, way: usize, checkpoint: Vec<u8>) -> Result<(), Failed> {
        let host = self.store.data();
        let request = Request {
            way: way as u64,
            seed: host.seed,
            calls: host.calls as u64,
            depth: host.depth as u64,
            turn: self.turn.map(|turn| turn as u64),
            module: self.module.clone(),
            checkpoint,
            lines: host.lines.clone(),
        };
        self.elsewhere = Some(processes::continue_elsewhere(&request)?);
        Ok(())
    }

    fn call(&mut self, name: &str, turn: usize) -> Result<(), Failed> {
        let instance = self.instance.expect("it was instantiated");
        let func = instance.get_func(&mut self.store, name).expect("it is exported");
        let ty = func.ty(&self.store);
        let mut random = Random::new(self.store.data().seed + turn as u64, "carried call");
        let params: Vec<Val> = ty.params().iter().map(|ty| value(&mut random, *ty)).collect();
        self.store.set_fuel(FUEL).expect("fuel is counted");
        let mut results: Vec<Val> = ty.results().iter().map(|ty| Val::zero(*ty)).collect();
        let done = func.call(&mut self.store, &params, &mut results);
        let done = self.end(done.map(|()| (instance, results)))?;
        self.note(&done);
        Ok(())
    }

    /// Continues in another store as long as the guest is written down.
    fn end(&mut self, mut done: Result<(Instance, Vec<Val>)>) -> Result<Result<Vec<Val>>, Failed> {
        let is_made = self.instance.is_some();
        while let Some(taken) = self.store.data_mut().taken.take() {
            crate::RAN[1].fetch_add(1, Ordering::Relaxed);
            let resumed = match taken {
                Taken::Bytes(bytes) => {
                    if let Some(way) = self.plan.process {
                        self.leave(way, bytes)?;
                        break;
                    }
                    self.resume(&bytes)?
                }
                Taken::Fork(fork) => self.continue_in(*fork),
            };
            let instance = resumed.instances()[0];
            done = resumed.run(&mut self.store).map(|results| (instance, results));
            self.instance = Some(instance);
        }
        Ok(match done {
            Ok((instance, results)) => {
                self.instance = Some(instance);
                Ok(results)
            }
            Err(error) => {
                // A start function that failed, perhaps in another store, leaves no instance.
                self.instance = self.instance.filter(|_| is_made);
                Err(error)
            }
        })
    }

    /// Makes a new store the guest's.
    fn resume(&mut self, bytes: &[u8]) -> Result<wardian::checkpoint::Resumed, Failed> {
        let checkpoint = Checkpoint::from_bytes(bytes)?;
        let engine = self.plan.next;
        let stays = !std::ptr::eq(engine, self.plan.first);
        // The call in which it was written down passes.
        let carry_after = self.plan.every.filter(|_| !stays).map(|every| every + 1);
        let host = self.store.data().next(carry_after);
        let mut next = store(engine, host);
        let module = Module::new(engine, &self.module)?;
        let linker = linker(&mut next, &module)?;
        let options = ResumeOptions::new();
        let resumed = checkpoint.resume(&mut next, &linker, &options)?;
        self.store = next;
        Ok(resumed)
    }

    /// Makes a fork of its store the guest's.
    fn continue_in(&mut self, fork: Fork<Host>) -> wardian::checkpoint::Resumed {
        let Fork { store, resumed, .. } = fork;
        self.store = store;
        self.store.data_mut().carry_after = self.plan.every.map(|every| every + 1);
        resumed
    }

    /// Moves a store in which no guest runs.
    fn move_idle(&mut self) -> Result<(), Failed> {
        if self.plan.forks {
            let host = self.store.data().next(None);
            return match self.store.fork_with(host, |child| child.limiter(|host| &mut host.limits))
            {
                Ok(fork) => {
                    self.instance = Some(fork.resumed.instances()[0]);
                    self.continue_in(fork);
                    Ok(())
                }
                Err(error) => expected(&error.to_string()),
            };
        }
        match self.store.checkpoint(&CheckpointOptions::new()) {
            Ok(checkpoint) => {
                let resumed = self.resume(&checkpoint.to_bytes()?)?;
                assert!(!resumed.is_running());
                self.instance = Some(resumed.instances()[0]);
                Ok(())
            }
            Err(error) => expected(&error.to_string()),
        }
    }

    /// Notes how a call ended, and the state of the instance.
    fn note(&mut self, done: &Result<Vec<Val>>) {
        let mut line = match done {
            Ok(values) => {
                let values = values.iter().map(|v| world::show(&self.store, v));
                format!("returned {}", values.collect::<Vec<_>>().join(", "))
            }
            Err(error) => heard::error(error),
        };
        line += &format!("; fuel {}", self.store.fuel().expect("it is counted"));
        if let Some(instance) = self.instance {
            line += &run::state(&self.store, instance);
        }
        self.store.data_mut().lines.push(line);
    }
}

/// Fails unless a checkpoint may be refused for this reason.
fn expected(reason: &str) -> Result<(), Failed> {
    let known = [
        "shared memory",
        "was called by a host function",
        "value of the embedder's",
        "called by no guest",
    ];
    if known.iter().any(|known| reason.contains(known)) { Ok(()) } else { Err(reason.into()) }
}

/// What a module imports: new for each store.
fn linker(store: &mut Store<Host>, module: &Module) -> Result<Linker<Host>> {
    let mut linker = Linker::new(&store.engine().clone());
    let mut names = HashSet::new();
    let imports: Vec<_> =
        module.imports().map(|(m, n, ty)| (m.to_owned(), n.to_owned(), ty)).collect();
    for (module, name, ty) in imports {
        if !names.insert((module.clone(), name.clone())) {
            return Err(Error::host("two imports have the same name"));
        }
        let item: Extern = match ty {
            ExternType::Func(ty) => {
                host_function(&mut linker, &module, &name, ty)?;
                continue;
            }
            ExternType::Table(ty) => {
                Table::new(&mut *store, ty, Val::zero(ValType::Ref(ty.element)))?.into()
            }
            ExternType::Memory(ty) if !ty.shared => Memory::new(&mut *store, ty)?.into(),
            ExternType::Global(ty) => {
                let mut random = Random::new(store.data().seed, &name);
                let value = value(&mut random, ty.content);
                Global::new(&mut *store, ty, value)?.into()
            }
            ExternType::Tag(ty) => Tag::new(&mut *store, &ty)?.into(),
            other => return Err(Error::host(format!("no import of type {other}"))),
        };
        linker.define(&module, &name, item)?;
    }
    Ok(linker)
}

fn host_function(linker: &mut Linker<Host>, module: &str, name: &str, ty: FuncType) -> Result<()> {
    let (results, own) = (ty.results().to_vec(), name.to_owned());
    linker.func_new(module, name, ty, move |caller, params, out| {
        call_host(caller, &own, params, &results, out)
    })?;
    Ok(())
}

fn call_host(
    mut caller: Caller<'_, Host>,
    name: &str,
    params: &[Val],
    types: &[ValType],
    out: &mut [Val],
) -> Result<()> {
    match caller.data().carry_after {
        Some(0) => {
            match take(&mut caller) {
                Ok(taken) => {
                    caller.data_mut().taken = Some(taken);
                    // It is called again in the next store, and passes.
                    return Err(Error::host("carried"));
                }
                Err(error) => {
                    let reason = error.to_string();
                    assert!(expected(&reason).is_ok(), "{reason}");
                }
            }
        }
        Some(more) => caller.data_mut().carry_after = Some(more - 1),
        None => {}
    }
    answer(caller, name, params, types, out)
}

fn take(caller: &mut Caller<'_, Host>) -> Result<Taken> {
    if !caller.data().forks {
        let checkpoint = caller.checkpoint(&CheckpointOptions::new())?;
        return Ok(Taken::Bytes(checkpoint.to_bytes()?));
    }
    let host = caller.data().next(None);
    let fork = caller.fork_with(host, |child| child.limiter(|host| &mut host.limits))?;
    Ok(Taken::Fork(Box::new(fork)))
}

fn answer(
    mut caller: Caller<'_, Host>,
    name: &str,
    params: &[Val],
    types: &[ValType],
    out: &mut [Val],
) -> Result<()> {
    let shown: Vec<_> = params.iter().map(|value| world::show(&caller, value)).collect();
    let host = caller.data_mut();
    host.calls += 1;
    host.lines.push(format!("{name}({})", shown.join(", ")));
    if host.calls > HOST_CALLS {
        return Err(Error::host("enough"));
    }
    let mut random = Random::new(host.seed + host.calls as u64, "carried host");
    for (ty, out) in types.iter().zip(out) {
        *out = value(&mut random, *ty);
    }
    let depth = host.depth;
    match random.below(8) {
        // The guest is called in the call of the host: it cannot be carried there.
        0 if depth < 2 => {
            host.depth += 1;
            let done = call_export(&mut caller, &mut random);
            caller.data_mut().depth = depth;
            done
        }
        1 => Err(Error::host("no")),
        _ => Ok(()),
    }
}

fn call_export(caller: &mut Caller<'_, Host>, random: &mut Random) -> Result<()> {
    let Some(instance) = caller.instance() else { return Ok(()) };
    let exports: Vec<Func> =
        instance.exports(&mut *caller).into_iter().filter_map(|(_, e)| e.into_func()).collect();
    let func = exports[random.below(exports.len().max(1)).min(exports.len() - 1)];
    let ty = func.ty(&*caller);
    let params: Vec<Val> = ty.params().iter().map(|ty| value(random, *ty)).collect();
    let mut results: Vec<Val> = ty.results().iter().map(|ty| Val::zero(*ty)).collect();
    let done = func.call(caller.as_context_mut(), &params, &mut results);
    let line = format!("nested: {}", done.as_ref().err().map(heard::kind).unwrap_or_default());
    caller.data_mut().lines.push(line);
    done
}

/// A value of this type; references are null, which some types exclude.
fn value(random: &mut Random, ty: ValType) -> Val {
    let bits = random.bits(ty);
    match ty {
        ValType::I32 => Val::I32(bits as i32),
        ValType::I64 => Val::I64(bits as i64),
        ValType::F32 => Val::F32(bits as u32),
        ValType::F64 => Val::F64(bits as u64),
        ValType::V128 => Val::V128(bits),
        other => Val::zero(other),
    }
}
