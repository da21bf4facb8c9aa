//! What embedders use: options, and a profiler for any number of stores.

use super::exact::{CallListener, Calls, Limits};
use super::kind::{MAX_VALUES, ProfileKind};
use super::memory::Memories;
use super::model::{FunctionKind, Meta, Profile};
use super::resolve::resolve;
use super::sampling::{SampledBefore, Sampling, SamplingOptions};
use crate::script::GuestFrames;
use crate::symbols::{ModuleId, Place, Symbols};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::time::{Duration, Instant, SystemTime};
use wardian::{
    AsContext, AsContextMut, EngineKind, Instance, Result,
    inspect::FunctionDefinition,
    listener::{Attachment, FunctionFilter, FunctionListener, FunctionListenerFactory},
};

/// Time from one sample to the next.
const INTERVAL: Duration = Duration::from_millis(1);

/// What a [`Profiler`] is to find out.
#[derive(Clone, Debug)]
pub struct ProfilerOptions {
    kind: ProfileKind,
    program: String,
    filter: FunctionFilter,
    /// None for the usual one.
    interval: Option<Duration>,
    max_frames: usize,
    max_stacks: usize,
    max_timeline: usize,
    max_allocations: usize,
    every_call: bool,
    guest_frames: GuestFrames,
}

impl ProfilerOptions {
    fn new(kind: ProfileKind) -> ProfilerOptions {
        ProfilerOptions {
            kind,
            program: String::new(),
            filter: FunctionFilter::all(),
            interval: None,
            max_frames: if kind == ProfileKind::Exact { 1024 } else { 128 },
            max_stacks: 1 << 18,
            max_timeline: 1 << 20,
            max_allocations: 1 << 20,
            every_call: false,
            guest_frames: GuestFrames::default(),
        }
    }

    /// Samples: where guests are at regular times. Costs guests hardly anything, but what takes little
    /// time is seen by chance.
    pub fn sampling() -> ProfilerOptions {
        ProfilerOptions::new(ProfileKind::Sampling)
    }

    /// Every call, of guests' functions and of host functions that they import: how often each path of
    /// calls was taken, and how long it took. Costs some tens of nanoseconds a call, so small functions
    /// and their callers look slower than they are.
    ///
    /// Counts are exact. Times are those of all calls, unless a path's calls prove to be shorter than a
    /// microsecond on average: of these, each that lasts for milliseconds is timed to within one, and of
    /// the others one in sixteen or so at random, for which the rest is taken to be the same on average.
    /// [`ProfilerOptions::with_every_call_timed`] times them all.
    pub fn exact() -> ProfilerOptions {
        ProfilerOptions::new(ProfileKind::Exact)
    }

    /// Memory: who allocates, what is still in use at the end, and who makes linear memories grow.
    /// Allocations are found by the names that languages give their allocators.
    pub fn memory() -> ProfilerOptions {
        ProfilerOptions::new(ProfileKind::Memory)
    }

    /// The program's name, for people. Default: the name of the module that was first seen.
    pub fn with_program(mut self, program: impl Into<String>) -> Self {
        self.program = program.into();
        self
    }

    /// Which functions an exact profile has. Time of others is that of their callers. Default: all.
    pub fn with_filter(mut self, filter: FunctionFilter) -> Self {
        self.filter = filter;
        self
    }

    /// Whether exact profiles time each call, however short it is: that costs two readings of the clock,
    /// which is mostly more than such a call takes. Default: false.
    pub fn with_every_call_timed(mut self, every: bool) -> Self {
        self.every_call = every;
        self
    }

    /// Time from one sample to the next: see [`wardian::sampler::SamplerOptions::with_interval`]. Default: 1 ms, and 100 µs
    /// until there are 500 samples, so that there are enough of a program that is over soon. The time of each counts for as
    /// much as its interval.
    pub fn with_interval(mut self, interval: Duration) -> Self {
        self.interval = Some(interval.clamp(Duration::from_micros(50), Duration::from_secs(3600)));
        self
    }

    /// How profiles of samples show calls of a program that an interpreter in the guest runs, CPython 3.11 to 3.14, PHP
    /// 8.2 or CRuby 3.2 to 3.4, and calls of goroutines of Go that are on their own stacks only: for 32 bits, whose memory is
    /// not shared. Of each sample at most 64 calls are known. Other guests cost nothing more. Default: [`GuestFrames::Mixed`].
    pub fn with_guest_frames(mut self, frames: GuestFrames) -> Self {
        self.guest_frames = frames;
        self
    }

    /// Frames of a stack at most. Of samples and allocations the innermost are kept; default: 128. In
    /// exact profiles calls that are further in are counted as `<other>` below the last one, as for
    /// [`ProfilerOptions::with_max_stacks`]; default: 1024.
    pub fn with_max_frames(mut self, frames: usize) -> Self {
        self.max_frames = frames.max(1);
        self
    }

    /// How many stacks are distinguished. What comes when they are used up is counted as `<other>` below the
    /// last caller that is known, and [`Meta::overflow`] is how much. A stack takes about 100 bytes. Default:
    /// 2<sup>18</sup>.
    pub fn with_max_stacks(mut self, stacks: usize) -> Self {
        self.max_stacks = stacks.clamp(1, 1 << 28);
        self
    }

    /// Samples whose time is kept, for [`Profile::timeline`]; all are counted. A sample takes 48 bytes.
    /// Default: 2<sup>20</sup>, the first 17 minutes of one thread.
    pub fn with_max_timeline(mut self, samples: usize) -> Self {
        self.max_timeline = samples;
        self
    }

    /// Allocations that are watched at once until they are freed, in profiles of memory. One takes about
    /// 50 bytes. Default: 2<sup>20</sup>.
    pub fn with_max_allocations(mut self, allocations: usize) -> Self {
        self.max_allocations = allocations;
        self
    }
}

/// Profiles guests: of one instance, or of any number of stores on any threads, in bounded memory.
/// Clones are the same profiler.
///
/// It sees what runs in stores and instances that it [`watch`](Profiler::watch)es, and, unless it only
/// samples, in modules that were compiled with its [listeners](Profiler::listener_factory). It keeps modules
/// that it has seen alive; nothing keeps it alive, and when it is dropped nothing more is recorded.
///
/// ```
/// use wardian::{Engine, Instance, Module, Store};
/// use wardian_observe::{Format, Profiler, ProfilerOptions};
/// let engine = Engine::default();
/// let module = Module::new(&engine, r#"(module $m (func $spin (export "spin") (param i32)
///   (loop $l (br_if $l (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))))"#)?;
/// let mut store = Store::new(&engine, ());
/// let instance = Instance::new(&mut store, &module, &[])?;
/// let spin = instance.typed_func::<i32, ()>(&mut store, "spin")?;
///
/// let profiler = Profiler::new(ProfilerOptions::sampling());
/// profiler.watch(&mut store, instance)?;
/// spin.call(&mut store, 200_000_000)?;
/// let profile = profiler.finish();
/// println!("{}", profile.table(10, 100, profile.main_value()));
///
/// let mut pprof = Vec::new();
/// profile.write(Format::Pprof, &mut pprof).expect("memory takes all");
/// # Ok::<(), wardian::Error>(())
/// ```
#[derive(Clone)]
pub struct Profiler(Arc<Shared>);

struct Shared {
    options: ProfilerOptions,
    functions: Mutex<Functions>,
    attached: Mutex<Attached>,
    engine: Mutex<Option<EngineKind>>,
    /// What the runtime did while no guest ran.
    runtime: Mutex<Vec<(&'static str, Duration)>>,
    start: SystemTime,
    began: Instant,
    work: Work,
}

impl Drop for Shared {
    fn drop(&mut self) {
        // Modules that were compiled with its listeners keep them.
        if let Work::Exact(calls) = &self.work {
            lock(calls).end();
        }
    }
}

/// What a profiler had seen at a time: see [`Profiler::mark`].
#[derive(Clone, Debug)]
pub struct ProfileMark(SampledBefore);

/// Listeners of instances that are watched, of which some may be gone.
#[derive(Default)]
struct Attached {
    all: Vec<Attachment>,
    /// When there are so many, those that are gone are looked for.
    many: usize,
}

/// What is measured, by kind.
enum Work {
    Sampling(Sampling),
    Exact(Mutex<Arc<Calls>>),
    Memory(Arc<Memories>),
}

/// Adds time of which there are no samples: those that were lost, as unknown time, and work of the runtime.
fn add_unsampled(profile: &mut Profile, lost: Duration, runtime: &[(&'static str, Duration)]) {
    let wall = |time: u64| {
        let mut values = [0; MAX_VALUES];
        values[1] = time;
        values
    };
    let nanoseconds = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
    if !lost.is_zero() {
        profile.add_alone("<unknown>", FunctionKind::Other, wall(nanoseconds(lost)));
    }
    for (work, time) in runtime {
        let name = format!("[runtime] {work}");
        profile.add_alone(&name, FunctionKind::Host, wall(nanoseconds(*time)));
    }
}

/// Numbers for functions of all modules.
#[derive(Default)]
pub(crate) struct Functions {
    symbols: Symbols,
    /// For each module, in the order of their first numbers, its number of the first function.
    first: Vec<(u32, ModuleId)>,
    known: HashMap<ModuleId, u32>,
    next: u32,
}

impl Profiler {
    /// A profiler that watches nothing yet.
    pub fn new(options: ProfilerOptions) -> Profiler {
        let work = match options.kind {
            ProfileKind::Sampling => Work::Sampling(Sampling::new(&SamplingOptions {
                interval: options.interval.unwrap_or(INTERVAL),
                fine_at_first: options.interval.is_none(),
                max_frames: options.max_frames,
                max_nodes: options.max_stacks,
                max_timeline: options.max_timeline,
                guest_frames: options.guest_frames,
            })),
            ProfileKind::Exact => {
                let depth = u32::try_from(options.max_frames).unwrap_or(u32::MAX);
                let limits = Limits { nodes: options.max_stacks, depth };
                Work::Exact(Mutex::new(Arc::new(Calls::new(limits, options.every_call))))
            }
            ProfileKind::Memory => Work::Memory(Arc::new(Memories::new(
                options.max_frames,
                options.max_stacks,
                options.max_allocations,
            ))),
        };
        Profiler(Arc::new(Shared {
            options,
            functions: Mutex::default(),
            attached: Mutex::default(),
            engine: Mutex::new(None),
            runtime: Mutex::default(),
            start: SystemTime::now(),
            began: Instant::now(),
            work,
        }))
    }

    /// Watches an instance from now on, which may be running: its calls, or, by samples, all of its
    /// store's guests. May be called for any number of instances, once for each.
    ///
    /// # Errors
    ///
    /// Samples: another sampler is at work in the store, or its engine was made without signals. Other
    /// kinds: as for [`Instance::attach`].
    pub fn watch(&self, mut store: impl AsContextMut, instance: Instance) -> Result<()> {
        match &self.0.work {
            Work::Sampling(sampling) => {
                self.see_engine(&store);
                let module = instance.module(&store);
                self.functions().symbols.module(&module);
                sampling.watch(&mut store, Some(module), false)
            }
            _ => {
                if let Work::Memory(memories) = &self.0.work {
                    memories.record(true);
                    memories.forget_with(&mut store, instance);
                }
                let attachment = instance.attach(store, self.listener_factory())?;
                lock(&self.0.attached).add(attachment);
                Ok(())
            }
        }
    }

    /// Samples all guests of a store from now on, also those that it does not have yet. Other kinds
    /// see instances rather than stores: for them it does nothing.
    ///
    /// # Errors
    ///
    /// As for [`Profiler::watch`].
    pub fn watch_store(&self, mut store: impl AsContextMut) -> Result<()> {
        self.see_engine(&store);
        match &self.0.work {
            Work::Sampling(sampling) => sampling.watch(&mut store, None, false),
            _ => Ok(()),
        }
    }

    /// As [`Profiler::watch_store`], but samples are only taken between [`Profiler::resume`] and [`Profiler::pause`]: until
    /// then it costs the store's guests nothing.
    ///
    /// # Errors
    ///
    /// As for [`Profiler::watch`].
    pub fn watch_store_paused(&self, mut store: impl AsContextMut) -> Result<()> {
        self.see_engine(&store);
        match &self.0.work {
            Work::Sampling(sampling) => sampling.watch(&mut store, None, true),
            _ => Ok(()),
        }
    }

    /// Begins to sample stores that are watched paused. Any thread may call it while guests run. It counts: samples are
    /// taken until [`Profiler::pause`] was called as often. Profilers of other kinds do nothing.
    ///
    /// # Errors
    ///
    /// The system refuses a thread.
    pub fn resume(&self) -> Result<()> {
        match &self.0.work {
            Work::Sampling(sampling) => sampling.resume(),
            _ => Ok(()),
        }
    }

    /// Ends what [`Profiler::resume`] began.
    pub fn pause(&self) {
        if let Work::Sampling(sampling) = &self.0.work {
            sampling.pause();
        }
    }

    /// How many stores are sampled, and the bytes of their memories, as far as [`wardian::sampler::Sampler::memories`] knows
    /// them.
    pub fn stores(&self) -> (usize, u64) {
        match &self.0.work {
            Work::Sampling(sampling) => sampling.stores(),
            _ => (0, 0),
        }
    }

    /// What was seen so far, for [`Profiler::profile_since`]; none of profilers that do not sample.
    pub fn mark(&self) -> Option<ProfileMark> {
        match &self.0.work {
            Work::Sampling(sampling) => Some(ProfileMark(sampling.state().mark())),
            _ => None,
        }
    }

    /// What was seen since a mark of this profiler. Guests may be running, and continue to be watched.
    pub fn profile_since(&self, mark: &ProfileMark) -> Profile {
        match &self.0.work {
            Work::Sampling(sampling) => self.sampled(sampling, Some(&mark.0)),
            _ => self.profile(),
        }
    }

    /// Listeners for [`wardian::CompileOptions::with_function_listener_factory`] or
    /// [`wardian::Config::function_listener_factory`]: all instances of the module, or of the engine's
    /// modules, are watched from the start. A profiler by samples listens to nothing.
    ///
    /// An instance must not be watched in both ways, or its calls count twice.
    pub fn listener_factory(&self) -> impl FunctionListenerFactory + use<> {
        Factory(Arc::downgrade(&self.0))
    }

    /// Ends the watching of stores and instances, and gives what was seen in all. Only modules that were
    /// compiled with the profiler's listeners keep them, but those record nothing more; in a profile of
    /// memory until something is watched again. What is watched from then on is added to what was seen.
    pub fn finish(&self) -> Profile {
        lock(&self.0.attached).all.clear();
        match &self.0.work {
            Work::Sampling(sampling) => sampling.stop(),
            Work::Exact(calls) => {
                let mut calls = lock(calls);
                *calls = Arc::new(calls.renew());
            }
            Work::Memory(memories) => memories.record(false),
        }
        self.profile()
    }

    /// What was seen so far. Guests may be running, and continue to be watched.
    pub fn profile(&self) -> Profile {
        let shared = &*self.0;
        let functions = self.functions();
        let mut meta = self.meta(&functions);
        match &shared.work {
            Work::Sampling(sampling) => {
                drop(functions);
                self.sampled(sampling, None)
            }
            Work::Exact(calls) => {
                let table = lock(calls).table(&functions);
                meta.overflow = table.overflow;
                resolve(shared.options.kind, meta, &functions.symbols, &table, Vec::new())
            }
            Work::Memory(memories) => {
                let state = memories.state();
                meta.overflow = state.table.overflow;
                meta.truncated = state.truncated;
                meta.notes.extend(memories.notes(&state));
                resolve(shared.options.kind, meta, &state.symbols, &state.table, Vec::new())
            }
        }
    }

    /// A profile of samples: of all, or of those since a time.
    fn sampled(&self, sampling: &Sampling, since: Option<&SampledBefore>) -> Profile {
        let options = &self.0.options;
        let mut meta = self.meta(&self.functions());
        let state = sampling.state();
        let (table, counts, timeline);
        let (table, counts) = match since {
            None => {
                timeline = state.timeline.clone();
                (&state.table, state.counts)
            }
            Some(since) => {
                (table, counts, timeline) = state.since(since);
                meta.duration = since.at.elapsed();
                (&table, counts)
            }
        };
        meta.samples = counts.taken;
        meta.dropped = counts.dropped;
        meta.missed = counts.missed;
        meta.truncated = counts.truncated;
        meta.overflow = state.table.overflow;
        meta.interval = Some(options.interval.unwrap_or(INTERVAL));
        meta.notes.extend(state.notes.iter().cloned());
        if timeline.len() as u64 != counts.taken {
            meta.notes.push(format!("The time line ends after {} samples.", timeline.len()));
        }
        let mut profile = resolve(options.kind, meta, &state.symbols, table, timeline);
        let runtime = if since.is_none() { self.runtime_times() } else { Vec::new() };
        add_unsampled(&mut profile, counts.lost(), &runtime);
        profile
    }

    /// Adds time in which the runtime worked for a guest and no sample could be taken, since none of its code ran:
    /// in profiles of samples it is a row `[runtime] compile`, or whatever it is called. Others ignore it.
    pub fn add_runtime_time(&self, work: &'static str, time: Duration) {
        let mut times = lock(&self.0.runtime);
        match times.iter_mut().find(|(known, _)| *known == work) {
            Some((_, sum)) => *sum = sum.saturating_add(time),
            None => times.push((work, time)),
        }
    }

    fn runtime_times(&self) -> Vec<(&'static str, Duration)> {
        lock(&self.0.runtime).clone()
    }

    fn functions(&self) -> MutexGuard<'_, Functions> {
        lock(&self.0.functions)
    }

    fn see_engine(&self, store: &impl AsContext) {
        let kind = store.as_context().engine().config().engine_kind();
        *lock(&self.0.engine) = Some(kind);
    }

    fn meta(&self, functions: &Functions) -> Meta {
        let shared = &*self.0;
        let engine = match *lock(&shared.engine) {
            Some(EngineKind::Compiled) => "compiled",
            Some(EngineKind::Interpreted) => "interpreted",
            Some(EngineKind::Tiered) => "tiered",
            _ => "unknown",
        };
        let named = Some(shared.options.program.clone()).filter(|p| !p.is_empty());
        let seen = || functions.symbols.first_name().map(str::to_owned);
        Meta {
            program: named.or_else(seen).unwrap_or_else(|| "guest".into()),
            engine: engine.into(),
            start: shared.start,
            duration: shared.began.elapsed(),
            interval: None,
            samples: 0,
            dropped: 0,
            missed: 0,
            truncated: 0,
            overflow: 0,
            notes: Vec::new(),
        }
    }

    fn listener(&self, definition: &FunctionDefinition<'_>) -> Option<Arc<dyn FunctionListener>> {
        let (module, func) = (definition.module()?, definition.index()?);
        let kind = module.engine().config().engine_kind();
        *lock(&self.0.engine) = Some(kind);
        match &self.0.work {
            Work::Sampling(_) => None,
            Work::Exact(calls) => {
                let chosen = self.0.options.filter.matches(definition);
                let number = |functions: &mut Functions| functions.number(&module, func);
                chosen.then(|| {
                    let func = number(&mut self.functions());
                    Arc::new(CallListener::new(&lock(calls), func)) as Arc<dyn FunctionListener>
                })
            }
            Work::Memory(memories) => {
                self.functions().symbols.module(&module);
                memories.record(true);
                memories.listener(definition)
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|e| e.into_inner())
}

impl Attached {
    fn add(&mut self, attachment: Attachment) {
        if self.all.len() >= self.many {
            self.all.retain(Attachment::is_active);
            self.many = 64 + 2 * self.all.len();
        }
        self.all.push(attachment);
    }
}

impl std::fmt::Debug for Profiler {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Profiler").field("kind", &self.0.options.kind).finish_non_exhaustive()
    }
}

/// Gives functions their listeners, as long as there is the profiler: it holds modules, whose engine may
/// hold this.
struct Factory(Weak<Shared>);

impl FunctionListenerFactory for Factory {
    fn function_listener(
        &self,
        definition: &FunctionDefinition<'_>,
    ) -> Option<Arc<dyn FunctionListener>> {
        Profiler(self.0.upgrade()?).listener(definition)
    }
}

impl Functions {
    /// The number of a function.
    fn number(&mut self, module: &wardian::Module, func: u32) -> u32 {
        let id = self.symbols.module(module);
        let first = *self.known.entry(id).or_insert_with(|| {
            let first = self.next;
            self.first.push((first, id));
            self.next += module.info().functions.len() as u32;
            first
        });
        first + func
    }

    /// The function of a number.
    pub(crate) fn place(&self, number: u32) -> Place {
        let after = self.first.partition_point(|(first, _)| *first <= number);
        let Some((first, module)) = after.checked_sub(1).map(|at| self.first[at]) else {
            return Place::Unknown;
        };
        let func = number - first;
        if func < self.symbols.get(module).info().imported_functions {
            Place::Import { module, func }
        } else {
            Place::Code { module, func, offset: None }
        }
    }
}
