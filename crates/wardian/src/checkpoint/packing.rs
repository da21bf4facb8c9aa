//! Packing memories, on several threads where that is worth it.
//!
//! ```text
//!   memory   │ batch 0 │ batch 1 │ batch 2 │ batch 3 │ …      so many chunks each
//!                 │         │         │
//!              thread    thread    thread                      look for zeroes, hash, compress
//!                 └─────────┴────┬────┘
//!                             caller                           takes the batches in their order
//! ```
//!
//! No more than a few batches are packed and not yet taken, so a memory is never copied as a whole.

use super::pages::{CHUNK, Chunk, Contents};
use crate::Result;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::{Condvar, Mutex, MutexGuard};

/// Chunks that are packed at once.
pub(super) const BATCH: u64 = 16;

/// Batches that are packed and not yet taken, for each thread.
const AHEAD: usize = 3;

/// Chunks next to each other, without those that are not stored.
pub(super) type Batch<'a> = Vec<Chunk<Cow<'a, [u8]>>>;

/// Packs a memory, and gives the batches in their order. Empty ones are left out.
pub(super) fn pack<'a>(
    contents: &Contents<'a>,
    threads: usize,
    mut take: impl FnMut(Batch<'a>) -> Result<()>,
) -> Result<()> {
    let chunks = contents.bytes.len().div_ceil(CHUNK) as u64;
    let batches = chunks.div_ceil(BATCH) as usize;
    let batch = |number: usize| -> Batch<'a> {
        let first = number as u64 * BATCH;
        (first..chunks.min(first + BATCH)).filter_map(|index| contents.chunk(index)).collect()
    };
    let line = Line::default();
    std::thread::scope(|scope| {
        let mut workers = 0;
        if threads > 1 {
            for _ in 0..threads.min(batches / 2) {
                let work = || line.work(batches, threads * AHEAD, &batch);
                workers +=
                    usize::from(std::thread::Builder::new().spawn_scoped(scope, work).is_ok());
            }
        }
        // Whatever happens here, the others end.
        let _end = End(&line);
        for number in 0..batches {
            let packed = match workers {
                0 => batch(number),
                _ => line.next(number),
            };
            if !packed.is_empty() {
                take(packed)?;
            }
        }
        Ok(())
    })
}

/// What the threads have packed.
#[derive(Default)]
struct Line<'a> {
    state: Mutex<State<'a>>,
    changed: Condvar,
}

#[derive(Default)]
struct State<'a> {
    /// The next batch to be packed.
    next: usize,
    /// The next batch to be taken.
    wanted: usize,
    packed: BTreeMap<usize, Batch<'a>>,
    ended: bool,
}

impl<'a> Line<'a> {
    fn lock(&self) -> MutexGuard<'_, State<'a>> {
        self.state.lock().unwrap_or_else(|e| e.into_inner())
    }

    fn wait<'g>(&self, state: MutexGuard<'g, State<'a>>) -> MutexGuard<'g, State<'a>> {
        self.changed.wait(state).unwrap_or_else(|e| e.into_inner())
    }

    /// Packs batches until there are no more.
    fn work(&self, batches: usize, ahead: usize, pack: &impl Fn(usize) -> Batch<'a>) {
        loop {
            let mut state = self.lock();
            while !state.ended && state.next < batches && state.next >= state.wanted + ahead {
                state = self.wait(state);
            }
            if state.ended || state.next >= batches {
                return;
            }
            let number = state.next;
            state.next += 1;
            drop(state);
            let on_panic = End(self);
            let batch = pack(number);
            std::mem::forget(on_panic);
            self.lock().packed.insert(number, batch);
            self.changed.notify_all();
        }
    }

    /// Waits for a batch. If a thread has panicked there is none; the scope passes the panic on.
    fn next(&self, number: usize) -> Batch<'a> {
        let mut state = self.lock();
        loop {
            if let Some(batch) = state.packed.remove(&number) {
                state.wanted = number + 1;
                self.changed.notify_all();
                return batch;
            }
            if state.ended {
                return Batch::new();
            }
            state = self.wait(state);
        }
    }
}

/// Ends the threads.
struct End<'l, 'a>(&'l Line<'a>);

impl Drop for End<'_, '_> {
    fn drop(&mut self) {
        self.0.lock().ended = true;
        self.0.changed.notify_all();
    }
}
