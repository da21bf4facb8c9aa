//! Packing memories, on several threads where that is worth it.
//!
//! ```text
//!   memory   │ batch 0 │ batch 1 │ batch 2 │ batch 3 │ …      so many chunks each
//!                 │         │         │
//!              thread    thread    caller                      look for zeroes, hash, compress
//!                 └─────────┴────┬────┘
//!                             caller                           takes the batches in their order
//! ```
//!
//! The caller packs, too, while the batch that it is to take is not ready. No more than a few batches are packed and not yet taken, so a memory is never copied as a whole.

use super::pages::{CHUNK, Chunk, ChunkIndex, Contents};
use crate::Result;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::{Condvar, Mutex, MutexGuard};

/// Chunks that are packed at once.
pub const BATCH: u64 = 16;

/// Batches that are packed and not yet taken, for each thread.
const AHEAD: usize = 3;

/// Chunks next to each other, without those that are not stored.
pub type Batch<'a> = Vec<Chunk<Cow<'a, [u8]>>>;

/// Packs a memory, and gives the batches in their order. Empty ones are left out.
pub fn pack<'a>(
    contents: &Contents<'a>,
    threads: usize,
    mut take: impl FnMut(Batch<'a>) -> Result<()>,
) -> Result<()> {
    let chunks = contents.bytes.len().div_ceil(CHUNK) as u64;
    let batches = chunks.div_ceil(BATCH) as usize;
    let batch = |number: usize| -> Batch<'a> {
        let first = number as u64 * BATCH;
        let indices = (first..chunks.min(first + BATCH)).map(ChunkIndex::from_u64);
        indices.filter_map(|index| contents.chunk(index)).collect()
    };
    let line = Line { batches, ahead: threads * AHEAD, ..Line::default() };
    std::thread::scope(|scope| {
        for _ in 1..threads.min(batches) {
            // Without a further thread this one does the work.
            let _ = std::thread::Builder::new().spawn_scoped(scope, || line.work(&batch));
        }
        // Whatever happens here, the others end.
        let _end = End(&line);
        for number in 0..batches {
            let packed = line.next(number, &batch);
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
    batches: usize,
    /// How many may be packed and not yet taken.
    ahead: usize,
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
    fn work(&self, pack: &impl Fn(usize) -> Batch<'a>) {
        let mut state = self.lock();
        while !state.ended && state.next < self.batches {
            state = match state.next < state.wanted + self.ahead {
                true => self.pack_next(state, pack),
                false => self.wait(state),
            };
        }
    }

    /// Packs the next batch that nobody has begun.
    fn pack_next<'g>(
        &'g self,
        mut state: MutexGuard<'g, State<'a>>,
        pack: &impl Fn(usize) -> Batch<'a>,
    ) -> MutexGuard<'g, State<'a>> {
        let number = state.next;
        state.next += 1;
        drop(state);
        let on_panic = End(self);
        let batch = pack(number);
        std::mem::forget(on_panic);
        let mut state = self.lock();
        state.packed.insert(number, batch);
        self.changed.notify_all();
        state
    }

    /// Takes a batch, and packs others until it is ready. If a thread has panicked there is none; the scope passes the
    /// panic on.
    fn next(&self, number: usize, pack: &impl Fn(usize) -> Batch<'a>) -> Batch<'a> {
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
            state = match state.next < self.batches.min(state.wanted + self.ahead) {
                true => self.pack_next(state, pack),
                false => self.wait(state),
            };
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
