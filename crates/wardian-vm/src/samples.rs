//! Samples of a running guest: taken by a signal handler, read by any thread.
//!
//! ```text
//!   watchdog ── want, signal ──> handler, on the thread that runs the guest
//!                                  walks the frames into the ring
//!   ring   ┌───────────┬──────────────────────────────┬──────────────┐
//!          │ free      │ length, times, pc, pc, 0, pc │ length, ...  │ free
//!          └───────────┴──────────────────────────────┴──────────────┘
//!                      read                                          written     (mod its length)
//! ```
//!
//! A word 0 among the program counters means the host: at the beginning if it was at work, in between where a
//! host function called a guest.
//!
//! **One producer.** Only a handler writes that finds the ring through the store its thread runs; a
//! store is run by one thread at a time, and what moves it to another thread orders what the two do. A
//! handler that interrupts a handler sees `busy` and leaves. It writes words, then `written` (release);
//! the reader reads `written` (acquire), then words, then sets `read` (release), which the producer
//! reads (acquire) before it uses the room again. Readers take turns by a lock, which handlers never
//! touch.
//!
//! **The end.** The thread that stops clears `active`, then waits until `busy` is clear; a handler sets
//! `busy`, then looks at `active`. All four are sequentially consistent, so either the handler sees that
//! sampling is over, or the thread that stops waits for it. The memory outlives both: the store keeps the
//! ring until its own thread replaces it or drops the store, and no handler runs on a thread that does that.
//!
//! If a [`Chain`] or a [`Scan`] is to be followed, its links come behind the program counters.
//!
//! The handler allocates nothing, takes no lock, and calls nothing but `clock_gettime`, `getrusage` and, for links,
//! `process_vm_readv`.

pub mod chain;
pub mod scan;

use crate::arch::Registers;
use crate::frames::{Frames, Step};
use crate::layout::StoreCtx;
use crate::system;
use chain::{Bytes, Chain};
use scan::Scan;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering, fence};
use std::sync::{Arc, Mutex, OnceLock};

/// Words before the program counters of a sample: length and flags, time, processor time, that of the kernel.
pub const HEADER: usize = 4;
/// Flag beside the length: there were more frames.
const TRUNCATED: u64 = 1 << 32;
/// Where beside the length the number of links is.
const LINKS: u32 = 40;
/// Stands for the host among program counters.
pub const HOST: u64 = 0;

/// Where samples wait to be read.
#[derive(Debug)]
pub struct SampleRing {
    /// A sample is to be taken.
    wanted: AtomicBool,
    /// A handler is at work.
    busy: AtomicBool,
    active: AtomicBool,
    /// Grows with each beginning and end of a series of samples.
    series: AtomicU64,
    #[allow(dead_code, reason = "nobody asks for samples where there are no signals")]
    max_frames: usize,
    words: Box<[AtomicU64]>,
    /// Words ever written, and ever read.
    written: AtomicU64,
    read: AtomicU64,
    dropped: AtomicU64,
    missed: AtomicU64,
    reader: Mutex<()>,
    /// What is copied of the guest's memory.
    followed: OnceLock<(Followed, Bytes)>,
}

/// What was read from a ring.
#[derive(Clone, Debug, Default)]
pub struct Drained {
    /// The samples, one after the other, as in the ring: see [`next_sample`].
    pub words: Vec<u64>,
    /// Samples for which there was no room, since the ring was last read.
    pub dropped: u64,
    /// Requests since the last read that came before the previous one was served.
    pub missed: u64,
}

/// A sample among [`Drained::words`].
#[derive(Clone, Copy, Debug)]
pub struct RawSample<'a> {
    /// Nanoseconds on the system's monotonic clock.
    pub time: u64,
    /// Nanoseconds of processor time that the thread had used up.
    pub cpu_time: u64,
    /// Nanoseconds of it in the kernel, as far as the system says that.
    pub kernel_time: u64,
    /// Whether there were more frames.
    pub truncated: bool,
    /// Program counters, [`HOST`] between them.
    pub frames: &'a [u64],
    /// Links of what is followed, the first one first: see [`Chain::links`] and [`Scan::links`].
    pub links: &'a [u64],
}

/// Parses the first sample, and advances past it.
pub fn next_sample<'a>(words: &mut &'a [u64]) -> Option<RawSample<'a>> {
    let [head, time, cpu_time, kernel_time, ..] = **words else { return None };
    let (sample, rest) = words.split_at_checked(head as u32 as usize)?;
    let words_of = sample.get(HEADER..)?;
    let links = words_of.len().checked_sub((head >> LINKS) as usize)?;
    let (frames, links) = words_of.split_at(links);
    *words = rest;
    Some(RawSample { time, cpu_time, kernel_time, truncated: head & TRUNCATED != 0, frames, links })
}

impl SampleRing {
    /// A ring of so many bytes, for samples of at most `max_frames` frames. It has room for one sample
    /// at least.
    pub fn new(bytes: usize, max_frames: usize) -> Arc<SampleRing> {
        // The length of a sample must fit its header.
        let max_frames = max_frames.clamp(1, 1 << 20);
        let words = (bytes / 8).max(HEADER + max_frames);
        Arc::new(SampleRing {
            wanted: false.into(),
            busy: false.into(),
            active: true.into(),
            series: 0.into(),
            max_frames,
            words: (0..words).map(|_| AtomicU64::new(0)).collect(),
            written: 0.into(),
            read: 0.into(),
            dropped: 0.into(),
            missed: 0.into(),
            reader: Mutex::new(()),
            followed: OnceLock::new(),
        })
    }

    /// Copies the links of what is followed with each sample from now on; only the first call does something. Says whether
    /// this was it.
    ///
    /// # Safety
    ///
    /// The promise of [`Bytes::new`] holds whenever a guest of the store that has the ring runs.
    pub unsafe fn follow(&self, followed: Followed, bytes: Bytes) -> bool {
        followed.is_valid() && self.followed.set((followed, bytes)).is_ok()
    }

    /// Whether samples are still taken.
    pub fn is_active(&self) -> bool {
        self.active.load(Ordering::SeqCst)
    }

    /// Stops sampling: after this returns no handler writes to the ring.
    pub fn stop(&self) {
        self.active.store(false, Ordering::SeqCst);
        while self.busy.load(Ordering::SeqCst) {
            // The thread of that handler may be waiting for a processor.
            std::thread::yield_now();
        }
    }

    /// Ends the series of samples that is asked for, if one is. Returns the number of the next one.
    pub fn next_series(&self) -> u64 {
        self.series.fetch_add(1, Ordering::SeqCst) + 1
    }

    /// Whether samples of this series are still asked for.
    pub(crate) fn is_series(&self, series: u64) -> bool {
        self.series.load(Ordering::SeqCst) == series
    }

    /// Asks for a sample by the next signal.
    pub(crate) fn want(&self) {
        if self.wanted.swap(true, Ordering::Release) {
            self.missed.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Removes all samples from the ring. Any thread may call this.
    pub fn drain(&self) -> Drained {
        let _reader = self.reader.lock().unwrap_or_else(|e| e.into_inner());
        let read = self.read.load(Ordering::Relaxed);
        let written = self.written.load(Ordering::Acquire);
        let words = (read..written).map(|at| self.word(at).load(Ordering::Relaxed)).collect();
        self.read.store(written, Ordering::Release);
        Drained {
            words,
            dropped: self.dropped.swap(0, Ordering::Relaxed),
            missed: self.missed.swap(0, Ordering::Relaxed),
        }
    }

    fn word(&self, at: u64) -> &AtomicU64 {
        &self.words[(at % self.words.len() as u64) as usize]
    }

    #[allow(dead_code, reason = "nobody asks for samples where there are no signals")]
    /// Writes a sample, or counts it as dropped. Only for the one handler that has set `busy`.
    fn write(&self, in_host: bool, frames: impl Iterator<Item = Step>) {
        let start = self.written.load(Ordering::Relaxed);
        let used = start - self.read.load(Ordering::Acquire);
        let room = self.words.len() as u64 - used;
        let host = in_host.then_some(Step::Host);
        let mut length = HEADER as u64;
        let mut truncated = 0;
        for (count, step) in host.into_iter().chain(frames).enumerate() {
            if count == self.max_frames {
                truncated = TRUNCATED;
                break;
            }
            if length >= room {
                self.dropped.fetch_add(1, Ordering::Relaxed);
                return;
            }
            let word = match step {
                Step::Frame(pc) => pc.as_usize() as u64,
                Step::Host => HOST,
            };
            self.word(start + length).store(word, Ordering::Relaxed);
            length += 1;
        }
        if length > room {
            self.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let links = match self.followed.get() {
            Some((Followed::Chain(chain), bytes)) => {
                self.write_links(start + length, room - length, chain.links(bytes))
            }
            Some((Followed::Scan(scan), bytes)) => {
                self.write_links(start + length, room - length, scan.links(bytes))
            }
            None => 0,
        };
        length += links;
        self.word(start).store(length | truncated | links << LINKS, Ordering::Relaxed);
        self.word(start + 1).store(now(), Ordering::Relaxed);
        self.word(start + 2).store(system::thread_nanoseconds(), Ordering::Relaxed);
        self.word(start + 3).store(system::thread_kernel_nanoseconds(), Ordering::Relaxed);
        self.written.store(start + length, Ordering::Release);
    }
}

impl SampleRing {
    /// Writes what was copied of the guest's memory, and returns how many words that is.
    fn write_links(&self, at: u64, room: u64, links: impl Iterator<Item = u64>) -> u64 {
        let mut count = 0;
        for link in links.take(room as usize) {
            self.word(at + count).store(link, Ordering::Relaxed);
            count += 1;
        }
        count
    }
}

/// What of a guest's memory is copied with each sample.
#[derive(Clone, Copy, Debug)]
pub enum Followed {
    /// Records that lead to each other.
    Chain(Chain),
    /// Addresses on a stack.
    Scan(Scan),
}

impl Followed {
    fn is_valid(&self) -> bool {
        match self {
            Followed::Chain(chain) => chain.is_valid(),
            Followed::Scan(_) => true,
        }
    }
}

/// Nanoseconds on the monotonic clock.
pub fn now() -> u64 {
    system::nanoseconds()
}

/// Takes the sample that is wanted of the guest of `store`, if one is. Returns whether one was.
///
/// # Safety
///
/// To be called by a signal handler, on the thread that runs the guest, with the registers of the interrupted
/// thread. `in_code` says whether the program counter is in compiled code.
#[allow(dead_code, reason = "nobody asks for samples where there are no signals")]
pub(crate) unsafe fn take(store: *mut StoreCtx, registers: &Registers<'_>, in_code: bool) -> bool {
    // SAFETY: the store is valid while its guest runs, and so is its ring: see above.
    unsafe {
        let ring = (*store).samples.load(Ordering::Acquire) as *const SampleRing;
        let Some(ring) = ring.as_ref() else { return false };
        if !ring.wanted.load(Ordering::Acquire) {
            return false;
        }
        // In another handler: the position of the guest is not known.
        if registers.on_signal_stack() || ring.busy.swap(true, Ordering::SeqCst) {
            return true;
        }
        if ring.is_active() {
            ring.wanted.store(false, Ordering::Relaxed);
            if let Some((in_host, frames)) = Frames::at_signal(&*store, registers, in_code) {
                ring.write(in_host, frames);
            }
        }
        ring.busy.store(false, Ordering::SeqCst);
        true
    }
}

/// Makes a ring the one for samples of a store, which keeps it until it is given another.
///
/// # Safety
///
/// `store` is valid, and this thread has it: no other runs its guests. The ring stays until the store
/// goes, or until after another was given.
pub unsafe fn attach(store: *mut StoreCtx, ring: &Arc<SampleRing>) {
    // SAFETY: the caller's promise. The fence keeps the compiler from freeing the ring before it,
    // where a handler on this thread could come in between.
    unsafe { (*store).samples.store(Arc::as_ptr(ring) as usize, Ordering::SeqCst) };
    fence(Ordering::SeqCst);
}

#[cfg(test)]
mod tests {
    use super::{Drained, SampleRing, next_sample};
    use crate::addr::CodeAddr;
    use crate::frames::Step;

    fn read(drained: &Drained) -> Vec<(Vec<u64>, bool)> {
        let mut words = &drained.words[..];
        std::iter::from_fn(|| next_sample(&mut words))
            .map(|s| (s.frames.to_vec(), s.truncated))
            .collect()
    }

    fn frames(of: std::ops::Range<usize>) -> impl Iterator<Item = Step> {
        of.map(|pc| Step::Frame(CodeAddr::from_usize(pc)))
    }

    #[test]
    fn samples_come_out_as_they_went_in_around_the_end_of_the_ring() {
        let ring = SampleRing::new(8 * 15, 3);
        for round in 1..100 {
            ring.write(false, frames(round..round + 2));
            ring.write(true, frames(5..9));
            let drained = ring.drain();
            assert_eq!(drained.dropped, 0);
            let pc = round as u64;
            assert_eq!(read(&drained), [(vec![pc, pc + 1], false), (vec![0, 5, 6], true)]);
        }
    }

    #[test]
    fn a_full_ring_drops_whole_samples_and_counts_them() {
        let ring = SampleRing::new(8 * 14, 8);
        for _ in 0..5 {
            ring.write(false, frames(1..4));
        }
        let drained = ring.drain();
        assert_eq!((read(&drained).len(), drained.dropped), (2, 3));
        ring.write(false, frames(1..1));
        let drained = ring.drain();
        assert_eq!((read(&drained), drained.dropped), (vec![(vec![], false)], 0));
    }

    #[test]
    fn links_of_a_chain_come_behind_the_frames() {
        use super::Followed;
        use super::chain::{Bytes, Chain, FieldOffset, Next};
        use std::sync::atomic::AtomicUsize;
        use wardian_types::GuestAddr;
        let ring = SampleRing::new(8 * 14, 3);
        // At 4 the chain's address, at 8 its one record.
        let (words, len) = ([0u32, 8, 7, 9, 0], AtomicUsize::new(20));
        let chain = Chain {
            start: GuestAddr::from_u64(4),
            path: [FieldOffset::FIRST; 4],
            steps: 1,
            first: FieldOffset::FIRST,
            second: FieldOffset::from_u32(4),
            next: Next::At(FieldOffset::from_u32(8)),
            mark: None,
        };
        // SAFETY: both outlive the ring.
        let bytes = unsafe { Bytes::new(words.as_ptr().cast(), &len) };
        // SAFETY: as above.
        assert!(unsafe { ring.follow(Followed::Chain(chain), bytes) });
        ring.write(true, frames(5..6));
        ring.write(false, frames(1..4));
        let drained = ring.drain();
        let mut words = &drained.words[..];
        let first = next_sample(&mut words).unwrap();
        assert_eq!((first.frames, first.links), (&[0, 5][..], &[7 << 32 | 8][..]));
        // There was no room left for it.
        let second = next_sample(&mut words).unwrap();
        assert_eq!((second.frames, second.links), (&[1, 2, 3][..], &[][..]));
    }

    #[test]
    fn a_sample_is_missed_if_the_one_before_was_not_taken() {
        let ring = SampleRing::new(0, 1);
        (0..3).for_each(|_| ring.want());
        assert_eq!((ring.drain().missed, ring.drain().missed), (2, 0));
    }
}
