//! Samples of what a store's guests are doing: what profilers are made from.
//!
//! ```text
//!   Sampler::start ── every interval: a signal to the thread that runs the guest ──> raw frames
//!   Sampler::drain ── Samples: time and program counters ── resolve ──> functions, offsets
//! ```
//!
//! What happens while the guest runs is in [`wardian_vm::samples`]; all that is slow happens here, on the
//! thread that reads.

use crate::error::{LimitKind, UsageKind};
use crate::{AsContextMut, Engine, Error, Frame, Module, Result, stack::ProgramCounter};
use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;
use wardian_runtime::stack::backtrace;
use wardian_runtime::store::samples::{self, SamplePlace};
use wardian_types::GuestAddr;
use wardian_vm::addr::CodeAddr;
use wardian_vm::interrupt::Interrupter;
use wardian_vm::samples::chain::{
    Chain as RawChain, End, FieldOffset, MAX_PATH, Mark, MarkByte, Next,
};
use wardian_vm::samples::{HOST, RawSample, SampleRing, next_sample};

/// Now, on the clock of samples.
pub fn now() -> Duration {
    Duration::from_nanos(wardian_vm::samples::now())
}

/// How a [`Sampler`] works.
#[derive(Clone, Debug)]
pub struct SamplerOptions {
    interval: Duration,
    capacity: usize,
    max_frames: usize,
    paused: bool,
}

impl Default for SamplerOptions {
    fn default() -> Self {
        SamplerOptions::new()
    }
}

/// The shortest interval: the guest has to get something done between two signals.
const SHORTEST: Duration = Duration::from_micros(50);
/// The longest, so that no sum overflows.
const LONGEST: Duration = Duration::from_secs(3600);

impl SamplerOptions {
    /// The defaults, as the methods say.
    pub fn new() -> SamplerOptions {
        SamplerOptions {
            interval: Duration::from_millis(1),
            capacity: 1 << 20,
            max_frames: 128,
            paused: false,
        }
    }

    /// Time from one sample to the next, on the wall, on average: it varies by a quarter, so that a
    /// guest that repeats itself is not always seen at the same point. At least 50 µs: less counts as
    /// that. At most an hour. Default: 1 ms.
    pub fn with_interval(mut self, interval: Duration) -> Self {
        self.interval = interval.clamp(SHORTEST, LONGEST);
        self
    }

    /// Bytes for samples that have not been read; a sample takes 32, and 8 for each frame. When they
    /// are used up samples are dropped, and counted. There is always room for one sample. Default:
    /// 1 MiB.
    pub fn with_capacity(mut self, bytes: usize) -> Self {
        self.capacity = bytes;
        self
    }

    /// Whether no sample is taken until [`Sampler::resume`], which any thread can call: until then the sampler costs the
    /// guest nothing. Default: false.
    pub fn with_paused(mut self, paused: bool) -> Self {
        self.paused = paused;
        self
    }

    /// The maximum number of frames of a sample, the innermost; if there were more, [`Sample::is_truncated`]
    /// is true. At least 1. Default: 128.
    pub fn with_max_frames(mut self, frames: usize) -> Self {
        self.max_frames = frames;
        self
    }
}

/// Takes samples of a store's guests at regular times, until it is stopped or dropped, or the store
/// goes.
///
/// A thread of the process sends the signal that also interrupts guests
/// ([`crate::Config::interrupt_signal`]) to the thread that runs the store's guest, wherever the store
/// has moved. Its handler notes where the guest and its callers are; nothing is allocated or looked up
/// there. Nobody is signalled while no guest runs. While a guest waits in a host function, it is the
/// host that is seen at work.
///
/// When the store goes, the sampler keeps the modules of its instances until it is dropped itself, so that
/// samples can be resolved.
///
/// Code is not changed by it, and what stops a guest still does. Two things can be noticed: a
/// system call of a host function is interrupted more often, so that some fail with `EINTR` which
/// otherwise rarely do (those that the system does not restart, as `poll`); and while a host function
/// runs the guest of another store, this one's ticks are [missed](Samples::missed).
///
/// ```
/// use wardian::{sampler::{Sampler, SamplerOptions}, Engine, Instance, Module, Store};
/// use std::collections::HashMap;
/// let engine = Engine::default();
/// let module = Module::new(&engine, r#"(module (func $spin (export "spin") (param i32)
///   (loop $l (br_if $l (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))))"#)?;
/// let mut store = Store::new(&engine, ());
/// let instance = Instance::new(&mut store, &module, &[])?;
/// let spin = instance.typed_func::<i32, ()>(&mut store, "spin")?;
///
/// let sampler = Sampler::start(&mut store, SamplerOptions::new())?;
/// spin.call(&mut store, 300_000_000)?;
/// sampler.stop();
///
/// let mut self_time: HashMap<String, usize> = HashMap::new();
/// for sample in sampler.drain().resolve(&engine) {
///     let top = sample.frames.first().map(|f| f.to_string()).unwrap_or_default();
///     *self_time.entry(top).or_default() += 1;
/// }
/// for (function, samples) in &self_time {
///     println!("{samples:6} {function}");
/// }
/// # Ok::<(), wardian::Error>(())
/// ```
pub struct Sampler {
    place: SamplePlace,
    interrupter: Arc<Interrupter>,
}

impl Sampler {
    /// Begins to take samples. May be called by a host function while a guest runs.
    ///
    /// # Errors
    ///
    /// The store has a sampler that has not been stopped; or its engine was made without signals
    /// ([`crate::Config::signals`]); or the system refuses a thread.
    pub fn start(mut store: impl AsContextMut, options: SamplerOptions) -> Result<Sampler> {
        let store = store.as_context_mut();
        if !store.engine().inner().settings().signals {
            return Err(Error::usage(
                UsageKind::Disabled,
                "samples are taken by a signal, but the engine was made without signals",
            ));
        }
        let inner = &mut store.0.inner;
        let ring = SampleRing::new(options.capacity, options.max_frames);
        let place = SamplePlace::new(ring);
        inner.start_sampling(&place)?;
        let sampler = Sampler { place, interrupter: inner.interrupter().clone() };
        if !options.paused {
            sampler.resume(options.interval)?;
        }
        Ok(sampler)
    }

    /// Takes samples from now on, at this interval: see [`SamplerOptions::with_interval`]. Any thread may call it.
    ///
    /// # Errors
    ///
    /// The system refuses a thread.
    pub fn resume(&self, interval: Duration) -> Result<()> {
        let interval = interval.clamp(SHORTEST, LONGEST);
        match self.interrupter.sample(&self.place.ring, interval) {
            true => Ok(()),
            false => Err(Error::limit(
                LimitKind::System,
                "the system gives no thread that could ask for samples",
            )),
        }
    }

    /// Takes no samples until it is resumed; one that was asked for may still come. Any thread may call it.
    pub fn pause(&self) {
        self.place.ring.next_series();
    }

    /// Takes out what has been sampled since it was last called, from any thread, also during sampling and
    /// after it has ended.
    pub fn drain(&self) -> Samples {
        let drained = self.place.ring.drain();
        Samples { words: drained.words, dropped: drained.dropped, missed: drained.missed }
    }

    /// Ends it, from any thread: no sample is taken after this returns. What has not been drained
    /// stays. The store can then have another sampler.
    pub fn stop(&self) {
        self.place.ring.stop();
    }

    /// The first memories of the store's instances, in the order in which these were made: of instances whose memory is
    /// the engine's own, of 32 bits and not shared. None once the store has gone.
    pub fn memories(&self) -> Vec<SampledMemory> {
        let modules = self.place.memory_modules().into_iter().enumerate();
        let memory = |(index, module)| SampledMemory {
            place: self.place.clone(),
            which: samples::SampledMemory::from_usize(index),
            module: Module::of(module),
        };
        modules.map(memory).collect()
    }

    /// Whether samples are still taken: it was not stopped, and the store is there.
    pub fn is_active(&self) -> bool {
        self.place.ring.is_active() && self.interrupter.is_attached()
    }
}

impl Drop for Sampler {
    fn drop(&mut self) {
        self.stop();
    }
}

impl fmt::Debug for Sampler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sampler").field("active", &self.is_active()).finish_non_exhaustive()
    }
}

/// A chain of records in a guest's memory, such as an interpreter keeps for the calls of the program that it runs. All
/// pointers have 32 bits.
///
/// With each sample at most 64 records are copied: of each two words and a mark. Records and pointers may be
/// anything: a chain that leads out of the memory ends there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chain(RawChain);

impl Chain {
    /// The chain whose first record is found from an address by reading a pointer at each offset of the path: the first
    /// from the address on, each further one from the pointer before on. Of a record the words at two
    /// offsets are copied, of which the second loses its lowest bit, and a third is the pointer to the
    /// next record, zero in the last.
    ///
    /// None if the path has more than four steps, or a word would be more than 64 bytes from the beginning of a
    /// record.
    pub fn new(start: u32, path: &[u32], words: [u32; 2], next: u32) -> Option<Chain> {
        let [first, second] = words.map(FieldOffset::from_u32);
        let mut steps = [FieldOffset::FIRST; MAX_PATH];
        for (step, offset) in steps.get_mut(..path.len())?.iter_mut().zip(path) {
            *step = FieldOffset::from_u32(*offset);
        }
        Chain::valid(RawChain {
            start: GuestAddr::from_u64(start.into()),
            path: steps,
            steps: path.len(),
            first,
            second,
            next: Next::At(FieldOffset::from_u32(next)),
            mark: None,
        })
    }

    fn valid(chain: RawChain) -> Option<Chain> {
        chain.is_valid().then_some(Chain(chain))
    }

    /// The same of records that lie one behind the other, so many bytes each. They end where the last pointer but one of the
    /// path says it, or the start if there is one step: there are, at the first two offsets of `end`, a pointer, and how many
    /// words of 32 bits are from that to the end; the third is how many bytes before the end are no records.
    ///
    /// None as above, or if a record has more than 64 bytes, or none.
    pub fn array(
        start: u32,
        path: &[u32],
        words: [u32; 2],
        record: u32,
        end: [u32; 3],
    ) -> Option<Chain> {
        let Chain(chain) = Chain::new(start, path, words, 0)?;
        let [base, words, spare] = end;
        let [base, words] = [base, words].map(FieldOffset::from_u32);
        let next = Next::Behind(record, End { base, words, spare });
        Chain::valid(RawChain { next, ..chain }).filter(|_| record > 0)
    }

    /// Marks records whose byte at an offset has at least a value. None if that is more than 64 bytes from the
    /// beginning of a record.
    pub fn with_mark(self, offset: u32, least: u8) -> Option<Chain> {
        let byte = MarkByte::In(FieldOffset::from_u32(offset));
        self.marked(Mark { byte, ignored: 0, least })
    }

    /// As [`Chain::with_mark`], but marks records of whose byte any of these bits is set.
    pub fn with_mark_bits(self, offset: u32, bits: u8) -> Option<Chain> {
        let byte = MarkByte::In(FieldOffset::from_u32(offset));
        self.marked(Mark { byte, ignored: !bits, least: 1 })
    }

    /// As [`Chain::with_mark_bits`], but of the byte that a pointer at an offset leads to.
    pub fn with_mark_bits_behind(self, pointer: u32, bits: u8) -> Option<Chain> {
        let byte = MarkByte::Behind(FieldOffset::from_u32(pointer));
        self.marked(Mark { byte, ignored: !bits, least: 1 })
    }

    fn marked(self, mark: Mark) -> Option<Chain> {
        Chain::valid(RawChain { mark: Some(mark), ..self.0 })
    }
}

/// The memory of an instance, read by any thread while its guest runs: see [`Sampler::memories`].
#[derive(Clone)]
pub struct SampledMemory {
    place: SamplePlace,
    which: samples::SampledMemory,
    module: Module,
}

impl SampledMemory {
    /// What the instance was made from.
    pub fn module(&self) -> &Module {
        &self.module
    }

    /// Its size in bytes; zero once the store has gone.
    pub fn len(&self) -> usize {
        self.place.memory_len(self.which)
    }

    /// Whether there is nothing in it, or the store has gone.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Copies bytes as they are at this moment: the guest may be changing them. Returns whether all are there and the
    /// store still is; if not, `into` may have some of them.
    pub fn read(&self, offset: usize, into: &mut [u8]) -> bool {
        self.place.copy(self.which, GuestAddr::from_u64(offset as u64), into)
    }

    /// Has each further sample show what a chain in this memory leads to: see [`Sample::links`]. A sampler follows one
    /// chain, the first. Returns whether this is it.
    pub fn follow(&self, chain: Chain) -> bool {
        self.place.follow(self.which, chain.0)
    }

    /// Has each further sample show addresses on a stack that the guest keeps in this memory, as Go does: words of 64 bits
    /// in a range, in the 16 KiB from where global 0 of the instance points to. The first of [`Sample::links`] has this
    /// pointer; each further one where a word is, and the word, whose lowest bit is the mark. At most 64. Like a chain, it
    /// is followed if it is the first. Returns whether it is.
    pub fn scan_stack(&self, words: Range<u32>) -> bool {
        self.place.scan(self.which, words)
    }
}

impl fmt::Debug for SampledMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SampledMemory").field("len", &self.len()).finish_non_exhaustive()
    }
}

/// Samples as they were taken, the oldest first: times and program counters. Keep them as they are
/// for as long as the guest runs if time matters, and resolve them later; but before the modules go, which
/// the store and then the [`Sampler`] keep.
#[derive(Clone, Default)]
pub struct Samples {
    words: Vec<u64>,
    dropped: u64,
    missed: u64,
}

impl Samples {
    /// The samples, the oldest first.
    pub fn iter(&self) -> impl Iterator<Item = Sample<'_>> {
        let mut words = &self.words[..];
        std::iter::from_fn(move || next_sample(&mut words).map(Sample))
    }

    /// How many there are. Counts them.
    pub fn len(&self) -> usize {
        self.iter().count()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.words.is_empty()
    }

    /// How many more there would have been, had there been room.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// How many times the next sample was asked for before the one before was taken: the thread had no
    /// processor for so long, or ran the guest of another store. What is missing here is spread over
    /// the program differently from what is there.
    pub fn missed(&self) -> u64 {
        self.missed
    }

    /// Looks up all frames. Slow: thousands of frames take about a millisecond.
    pub fn resolve(&self, engine: &Engine) -> Vec<ResolvedSample> {
        let resolve = |sample: Sample<'_>| ResolvedSample {
            time: sample.time(),
            frames: sample.resolve(engine),
            truncated: sample.is_truncated(),
        };
        self.iter().map(resolve).collect()
    }
}

impl fmt::Debug for Samples {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Samples")
            .field("len", &self.len())
            .field("dropped", &self.dropped)
            .field("missed", &self.missed)
            .finish()
    }
}

/// What was seen at one time.
#[derive(Clone, Copy, Debug)]
pub struct Sample<'a>(RawSample<'a>);

impl<'a> Sample<'a> {
    /// When, on the system's monotonic clock (`CLOCK_MONOTONIC`).
    pub fn time(&self) -> Duration {
        Duration::from_nanos(self.0.time)
    }

    /// How much processor time the thread that ran the guest had used up by then (`CLOCK_THREAD_CPUTIME_ID`).
    /// Its increase since the sample before distinguishes a thread that worked from one that waited, as long
    /// as the store stayed on its thread.
    pub fn cpu_time(&self) -> Duration {
        Duration::from_nanos(self.0.cpu_time)
    }

    /// How much of it was in the system's kernel, as that estimates it: most kernels look where a thread is at their own
    /// ticks, which are milliseconds apart. Zero where that is not known.
    pub fn kernel_time(&self) -> Duration {
        Duration::from_nanos(self.0.kernel_time)
    }

    /// Whether the host was at work for the guest: a host function or listener, or the runtime itself,
    /// say in `memory.grow`. Then [`RawFrame::Host`] comes first.
    pub fn in_host(&self) -> bool {
        self.0.frames.first() == Some(&HOST)
    }

    /// Whether there were more frames than [`SamplerOptions::with_max_frames`] says.
    pub fn is_truncated(&self) -> bool {
        self.0.truncated
    }

    /// What was open, the innermost first, through all nested calls of the store.
    ///
    /// In rare samples, say where a function was about to make a tail call, one frame is missing: the
    /// caller of the innermost function.
    pub fn frames(&self) -> impl ExactSizeIterator<Item = RawFrame> + use<'a> {
        self.0.frames.iter().map(|word| match *word {
            HOST => RawFrame::Host,
            pc => RawFrame::Guest(ProgramCounter(pc)),
        })
    }

    /// What the chain led to that is followed, if one is: of each record its two words, and whether it has the mark; or
    /// what [`SampledMemory::scan_stack`] found. They come from the guest, and may be anything. At most 64.
    pub fn links(&self) -> impl ExactSizeIterator<Item = (u32, u32, bool)> + use<'a> {
        let link = |word: &u64| ((word >> 32) as u32, *word as u32 & !1, word & 1 != 0);
        self.0.links.iter().map(link)
    }

    /// Looks up the frames. Offsets are those of operators nearby where code was moved by the optimiser.
    /// Those of code that is part of no function, but stands between functions and
    /// their callers or listeners, are left out.
    pub fn resolve(&self, engine: &Engine) -> Vec<SampledFrame> {
        let resolve = |frame| match frame {
            RawFrame::Host => [None, Some(SampledFrame::Host)],
            RawFrame::Guest(pc) => self.resolve_one(engine, pc),
        };
        self.frames().flat_map(resolve).flatten().collect()
    }

    /// The frame at a program counter, after that of a function whose body the compiler has put there.
    fn resolve_one(&self, engine: &Engine, pc: ProgramCounter) -> [Option<SampledFrame>; 2] {
        let address = usize::try_from(pc.0).map_or(CodeAddr::MAX, CodeAddr::from_usize);
        let frame = |module, func, offset| {
            SampledFrame::Guest(Frame::of(backtrace::Frame::new(module, func, offset)))
        };
        match engine.inner().code().find_sampled(address, self.0.time) {
            Some(at) => {
                let inlined =
                    at.inlined.map(|(f, offset)| frame(at.module.clone(), f, Some(offset)));
                [inlined, Some(frame(at.module, at.func, at.offset))]
            }
            None if engine.inner().is_glue(address) => [None, None],
            None => [None, Some(SampledFrame::Unknown(pc))],
        }
    }
}

/// A frame of a [`Sample`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RawFrame {
    /// A guest's function: where it is, or where it called from.
    Guest(ProgramCounter),
    /// The host: called by the next frame outwards. Between guests it is a host function that called a
    /// guest.
    Host,
}

/// A sample with its frames looked up.
#[derive(Clone, Debug)]
pub struct ResolvedSample {
    /// As [`Sample::time`].
    pub time: Duration,
    /// The innermost first.
    pub frames: Vec<SampledFrame>,
    /// As [`Sample::is_truncated`].
    pub truncated: bool,
}

/// A frame of a sample, looked up.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum SampledFrame {
    /// A guest's function, and where it is.
    Guest(Frame),
    /// As [`RawFrame::Host`].
    Host,
    /// Of code that is gone, with its module, or of another engine.
    Unknown(ProgramCounter),
}

impl SampledFrame {
    /// The guest's frame, if it is one.
    pub fn guest(&self) -> Option<&Frame> {
        if let SampledFrame::Guest(frame) = self { Some(frame) } else { None }
    }
}

impl fmt::Display for SampledFrame {
    /// The function's name, without where in it: what samples are counted by.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SampledFrame::Guest(frame) => f.write_str(&frame.definition().display_name()),
            SampledFrame::Host => f.write_str("<host>"),
            SampledFrame::Unknown(pc) => write!(f, "<unknown {:#x}>", pc.0),
        }
    }
}
