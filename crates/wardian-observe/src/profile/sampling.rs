//! Sampled profiles: samplers of stores, read by a thread of their own.

use super::kind::MAX_VALUES;
use super::model::TimelineSample;
use super::script::Script;
use super::stacks::{ROOT, StackTable};
use crate::script::GuestFrames;
use crate::symbols::{ModuleId, Place, Symbols};
use std::collections::HashMap;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use wardian::{
    AsContext, AsContextMut, Engine, Frame, Module, Result,
    sampler::{Sample, SampledFrame, Sampler, SamplerOptions},
};

/// How often samples are read.
const DRAIN_EVERY: Duration = Duration::from_millis(50);
/// The same while the program of an interpreter is followed, or its beginning waited for.
const DRAIN_OFTEN: Duration = Duration::from_millis(10);
/// Room for samples until then, and for the time that a busy machine may keep the reader from it.
const RING_BYTES: usize = 2 << 20;
/// How often samples are taken at first, if nobody says how often, and how many: so that programs that are over soon have
/// enough of them.
const FINE: Duration = Duration::from_micros(100);
const FINE_SAMPLES: u64 = 500;
/// The factor by which an interval may be exceeded: after a longer time no guest was running in between.
const GAP: u32 = 4;

/// The samples of all stores.
pub(crate) struct Sampling {
    state: Arc<Mutex<State>>,
    reader: Mutex<Option<Reader>>,
    max_frames: usize,
}

/// How samples are taken and counted.
pub(crate) struct SamplingOptions {
    pub(crate) interval: Duration,
    /// Whether the first samples are taken more often.
    pub(crate) fine_at_first: bool,
    pub(crate) max_frames: usize,
    pub(crate) max_nodes: usize,
    pub(crate) max_timeline: usize,
    pub(crate) guest_frames: GuestFrames,
}

struct Reader {
    // Dropped, it ends the thread.
    stop: Sender<()>,
    thread: JoinHandle<()>,
}

impl Watched {
    /// How much of a sample's processor time was in the kernel, for the guest's own code: what host functions and the
    /// runtime make of the system is theirs.
    fn kernel_time(&mut self, sample: &Sample<'_>, places: &[Place], most: Duration) -> Duration {
        let now = sample.kernel_time();
        let before = self.last_kernel.replace(now).unwrap_or(now);
        // Backwards if the store has moved to another thread.
        let new = now.saturating_sub(before);
        if !matches!(places.first(), Some(Place::Code { .. } | Place::Script { .. })) {
            return Duration::ZERO;
        }
        let all = self.kernel.saturating_add(new);
        let kernel = all.min(most);
        self.kernel = all - kernel;
        kernel
    }
}

/// What has been read.
pub(crate) struct State {
    watched: Vec<Watched>,
    /// Who has paused stores sampled.
    users: usize,
    next_store: u32,
    pub(crate) table: StackTable,
    pub(crate) symbols: Symbols,
    hosts: HashMap<(ModuleId, u32), Place>,
    pub(crate) timeline: Vec<TimelineSample>,
    max_timeline: usize,
    /// When the profiler was made, on the clock of samples.
    start: Duration,
    interval: Duration,
    fine: Fine,
    guest_frames: GuestFrames,
    /// What readers of the profile should know.
    pub(crate) notes: Vec<String>,
    pub(crate) counts: Counts,
}

/// Whether samples are taken more often than later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fine {
    Now,
    /// They were until this time, on the clock of samples.
    Until(Duration),
}

/// What became of samples.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) taken: u64,
    pub(crate) dropped: u64,
    pub(crate) missed: u64,
    pub(crate) truncated: u64,
    /// By how much samples came later than one interval after the one before, while the guest ran.
    pub(crate) late: Duration,
    /// For how long those stand that were dropped, and that were missed.
    dropped_time: Duration,
    missed_time: Duration,
}

impl Counts {
    fn since(&self, before: &Counts) -> Counts {
        Counts {
            taken: self.taken - before.taken,
            dropped: self.dropped - before.dropped,
            missed: self.missed - before.missed,
            truncated: self.truncated - before.truncated,
            late: self.late.saturating_sub(before.late),
            dropped_time: self.dropped_time.saturating_sub(before.dropped_time),
            missed_time: self.missed_time.saturating_sub(before.missed_time),
        }
    }

    /// Time of guests that no sample stands for.
    pub(crate) fn lost(&self) -> Duration {
        // A tick that was missed makes the next sample late, so it would count twice.
        self.dropped_time.saturating_add(self.missed_time.max(self.late))
    }

    /// Counts samples that were lost at an interval.
    fn lose(&mut self, dropped: u64, missed: u64, interval: Duration) {
        let time = |count: u64| interval.saturating_mul(u32::try_from(count).unwrap_or(u32::MAX));
        self.dropped += dropped;
        self.missed += missed;
        self.dropped_time = self.dropped_time.saturating_add(time(dropped));
        self.missed_time = self.missed_time.saturating_add(time(missed));
    }
}

/// A store that is sampled.
struct Watched {
    id: u64,
    number: u32,
    sampler: Sampler,
    engine: Engine,
    /// Kept until its samples have been looked up.
    modules: Vec<Module>,
    /// Time and processor time of the sample before.
    last: Option<(Duration, Duration)>,
    /// The kernel's time of the sample before, and what of it has been given to no sample yet: the kernel counts by ticks
    /// that may be longer than an interval.
    last_kernel: Option<Duration>,
    kernel: Duration,
    script: Script,
}

impl Sampling {
    pub(crate) fn new(options: &SamplingOptions) -> Sampling {
        let SamplingOptions { interval, max_frames, max_nodes, max_timeline, guest_frames, .. } =
            *options;
        let start = wardian::sampler::now();
        // Not if that would be less often.
        let is_fine = options.fine_at_first && interval > FINE;
        let state = State {
            watched: Vec::new(),
            users: 0,
            next_store: 0,
            table: StackTable::new(max_nodes),
            symbols: Symbols::default(),
            hosts: HashMap::new(),
            timeline: Vec::new(),
            max_timeline,
            start,
            interval,
            fine: if is_fine { Fine::Now } else { Fine::Until(start) },
            guest_frames,
            notes: Vec::new(),
            counts: Counts::default(),
        };
        let state = Arc::new(Mutex::new(state));
        Sampling { state, reader: Mutex::new(None), max_frames }
    }

    /// Begins to sample a store, unless it is sampled already. If it is `paused` that begins with
    /// [`Sampling::resume`].
    pub(crate) fn watch(
        &self,
        store: &mut impl AsContextMut,
        module: Option<Module>,
        paused: bool,
    ) -> Result<()> {
        let mut state = lock(&self.state);
        let (id, engine) = {
            let context = store.as_context();
            (context.id(), context.engine().clone())
        };
        if let Some(known) = state.watched.iter_mut().find(|w| w.id == id) {
            known.modules.extend(module);
            return Ok(());
        }
        let options = SamplerOptions::new()
            .with_interval(state.current_interval())
            .with_capacity(RING_BYTES)
            .with_paused(paused && state.users == 0)
            .with_max_frames(self.max_frames);
        let sampler = Sampler::start(store.as_context_mut(), options)?;
        let number = state.next_store;
        state.next_store += 1;
        let modules = module.into_iter().collect();
        let script = Script::new(state.guest_frames);
        state.watched.push(Watched {
            id,
            number,
            sampler,
            engine,
            modules,
            last: None,
            last_kernel: None,
            kernel: Duration::ZERO,
            script,
        });
        let is_idle = paused && state.users == 0;
        drop(state);
        if is_idle { Ok(()) } else { self.start_reader() }
    }

    /// Begins to sample all stores that are watched, unless somebody else has that done.
    pub(crate) fn resume(&self) -> Result<()> {
        let mut state = lock(&self.state);
        if state.users == 0 {
            let interval = state.current_interval();
            for watched in &mut state.watched {
                (watched.last, watched.last_kernel) = (None, None);
                watched.sampler.resume(interval)?;
            }
        }
        state.users += 1;
        drop(state);
        self.start_reader()
    }

    /// Ends what [`Sampling::resume`] began, if nobody else has it done.
    pub(crate) fn pause(&self) {
        let mut state = lock(&self.state);
        state.users = state.users.saturating_sub(1);
        if state.users == 0 {
            state.watched.iter().for_each(|watched| watched.sampler.pause());
            drop(state);
            // Its thread ends when it next looks.
            drop(lock(&self.reader).take());
        }
    }

    /// How many stores there are, and the bytes of their memories.
    pub(crate) fn stores(&self) -> (usize, u64) {
        let mut state = lock(&self.state);
        state.watched.retain(|watched| watched.sampler.is_active());
        let memories = state.watched.iter().flat_map(|watched| watched.sampler.memories());
        let bytes = memories.map(|memory| memory.len() as u64).sum();
        (state.watched.len(), bytes)
    }

    fn start_reader(&self) -> Result<()> {
        let mut reader = lock(&self.reader);
        if reader.is_some() {
            return Ok(());
        }
        let (stop, stopped) = channel();
        let state = self.state.clone();
        let builder = std::thread::Builder::new().name("profiler".into());
        let thread = builder.spawn(move || read(&state, &stopped)).map_err(|e| {
            wardian::Error::host(format!("cannot make the thread that reads samples: {e}"))
        })?;
        *reader = Some(Reader { stop, thread });
        Ok(())
    }

    /// All that was sampled so far.
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        let mut state = lock(&self.state);
        state.drain();
        state
    }

    /// Ends all sampling.
    pub(crate) fn stop(&self) {
        lock(&self.state).watched.iter().for_each(|w| w.sampler.stop());
        if let Some(Reader { stop, thread }) = lock(&self.reader).take() {
            drop(stop);
            // It can only have failed with the profiler's own state, which is read below.
            let _ = thread.join();
        }
    }
}

impl Drop for Sampling {
    fn drop(&mut self) {
        self.stop();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|e| e.into_inner())
}

fn read(state: &Mutex<State>, stopped: &Receiver<()>) {
    let mut wait = DRAIN_EVERY;
    while let Err(RecvTimeoutError::Timeout) = stopped.recv_timeout(wait) {
        let mut state = lock(state);
        state.drain();
        state.end_fine();
        let is_urgent = state.watched.iter().any(|watched| watched.script.is_urgent());
        wait = if is_urgent { DRAIN_OFTEN } else { DRAIN_EVERY };
    }
}

/// What had been sampled at a time.
#[derive(Clone, Debug)]
pub(crate) struct SampledBefore {
    /// Of each node of the table.
    values: Vec<[u64; MAX_VALUES]>,
    counts: Counts,
    timeline: usize,
    pub(crate) at: Instant,
}

impl State {
    /// What has been sampled by now.
    pub(crate) fn mark(&self) -> SampledBefore {
        SampledBefore {
            values: self.table.nodes.iter().map(|node| node.values).collect(),
            counts: self.counts,
            timeline: self.timeline.len(),
            at: Instant::now(),
        }
    }

    /// What was sampled since: the stacks, their counts and the points of the time line.
    pub(crate) fn since(
        &self,
        before: &SampledBefore,
    ) -> (StackTable, Counts, Vec<TimelineSample>) {
        let (table, nodes) = self.table.since(&before.values);
        let counts = self.counts.since(&before.counts);
        let samples = self.timeline.iter().skip(before.timeline);
        let node = |sample: &TimelineSample| TimelineSample {
            stack: sample.stack.map(|node| nodes[node] as usize),
            ..*sample
        };
        (table, counts, samples.map(node).collect())
    }

    fn drain(&mut self) {
        let mut watched = std::mem::take(&mut self.watched);
        // Asked before draining: what is inactive then has given all that it will.
        watched.retain_mut(|one| {
            let is_active = one.sampler.is_active();
            self.drain_one(one);
            if !is_active {
                self.note(one.script.end());
            }
            is_active
        });
        watched.append(&mut self.watched);
        self.watched = watched;
    }

    fn note(&mut self, note: Option<String>) {
        self.notes.extend(note.filter(|note| !self.notes.contains(note)));
    }

    /// At which interval samples are taken now.
    fn current_interval(&self) -> Duration {
        match self.fine {
            Fine::Now => FINE,
            Fine::Until(_) => self.interval,
        }
    }

    /// At which interval a sample was taken.
    fn interval_of(&self, sample: &Sample<'_>) -> Duration {
        match self.fine {
            Fine::Until(time) if sample.time() >= time => self.interval,
            _ => FINE,
        }
    }

    /// Takes samples less often, if there are as many as a program needs that is over soon.
    fn end_fine(&mut self) {
        if self.fine == Fine::Now && self.counts.taken >= FINE_SAMPLES {
            self.fine = Fine::Until(wardian::sampler::now());
            for watched in &self.watched {
                // Without a thread for it samples are taken as before, and count less than they should.
                let _ = watched.sampler.resume(self.interval);
            }
        }
    }

    fn drain_one(&mut self, watched: &mut Watched) {
        let why = watched.script.begin(self.guest_frames, &watched.sampler, &mut self.symbols);
        self.note(why);
        let samples = watched.sampler.drain();
        self.counts.lose(samples.dropped(), samples.missed(), self.current_interval());
        for sample in samples.iter() {
            self.add(watched, &sample);
        }
    }

    fn add(&mut self, watched: &mut Watched, sample: &Sample<'_>) {
        let places = self.places(&watched.engine, sample);
        let places = watched.script.places(&mut self.symbols, sample, places);
        let interval = self.interval_of(sample);
        let cpu = self.cpu(watched, sample, interval);
        let kernel = watched.kernel_time(sample, &places, cpu.min(interval));
        let mut stack = ROOT;
        if !places.is_empty() {
            if !kernel.is_zero() {
                let with_kernel = places.iter().rev().copied().chain([Place::Kernel]);
                let stack = self.table.stack(with_kernel);
                self.table.add(stack, 1, kernel.as_nanos() as u64);
                self.table.add(stack, 2, kernel.as_nanos() as u64);
            }
            stack = self.table.stack(places.into_iter().rev());
        }
        self.counts.taken += 1;
        self.counts.truncated += u64::from(sample.is_truncated());
        if stack != ROOT {
            self.table.add(stack, 0, 1);
            self.table.add(stack, 1, interval.saturating_sub(kernel).as_nanos() as u64);
            self.table.add(stack, 2, cpu.saturating_sub(kernel).as_nanos() as u64);
        }
        if self.timeline.len() < self.max_timeline {
            let time = sample.time().saturating_sub(self.start);
            let stack = Some(stack as usize);
            self.timeline.push(TimelineSample {
                time,
                wall: interval,
                cpu,
                stack,
                store: watched.number,
            });
        }
    }

    /// The processor time that goes with a sample: what was used since the one before.
    fn cpu(&mut self, watched: &mut Watched, sample: &Sample<'_>, interval: Duration) -> Duration {
        let now = (sample.time(), sample.cpu_time());
        let Some(last) = watched.last.replace(now) else { return interval };
        let wall = now.0.saturating_sub(last.0);
        // Backwards if the store has moved to another thread.
        let cpu = now.1.checked_sub(last.1).unwrap_or(interval);
        // The usual interval counts: a busy machine is often later than a few of the finer ones.
        if wall > interval.max(self.interval) * GAP {
            return cpu.min(interval);
        }
        self.counts.late += wall.saturating_sub(interval);
        cpu.min(wall)
    }

    /// The places of a sample, the innermost first.
    fn places(&mut self, engine: &Engine, sample: &Sample<'_>) -> Vec<Place> {
        let mut places = Vec::with_capacity(sample.frames().len());
        let mut host = None;
        for frame in sample.resolve(engine) {
            let place = match &frame {
                SampledFrame::Guest(frame) => self.code(frame),
                SampledFrame::Host => Place::Host,
                _ => Place::Unknown,
            };
            // The call that the guest makes says who is at work for it.
            if let Some(at) = host.take() {
                places[at] = self.host(place);
            }
            if place == Place::Host {
                host = Some(places.len());
            }
            places.push(place);
        }
        places
    }

    fn code(&mut self, frame: &Frame) -> Place {
        let module = self.symbols.module(frame.module());
        Place::Code { module, func: frame.func_index(), offset: frame.code_offset() }
    }

    fn host(&mut self, caller: Place) -> Place {
        let Place::Code { module, offset: Some(offset), .. } = caller else { return Place::Host };
        let symbols = &self.symbols;
        *self.hosts.entry((module, offset)).or_insert_with(|| symbols.host_at(module, offset))
    }
}
