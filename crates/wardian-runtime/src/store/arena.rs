//! Records at addresses that never change, freed together.

use std::ptr::NonNull;

/// Never moves what it holds.
pub struct Arena<V> {
    /// Every vector was made with its final capacity, so none of them ever moves.
    chunks: Vec<Vec<V>>,
}

impl<V> Default for Arena<V> {
    fn default() -> Self {
        Arena { chunks: Vec::new() }
    }
}

/// Values in a chunk, from the first to all later ones.
const CHUNK: std::ops::Range<usize> = 4..1024;

impl<V> Arena<V> {
    /// Adds a value; returns its address.
    pub fn push(&mut self, value: V) -> NonNull<V> {
        let last = self.chunks.last().map_or((0, 0), |c| (c.len(), c.capacity()));
        if last.0 == last.1 {
            let capacity = (last.1 * 2).clamp(CHUNK.start, CHUNK.end);
            self.chunks.push(Vec::with_capacity(capacity));
        }
        let chunk = self.chunks.last_mut().expect("one was just made sure of");
        chunk.push(value);
        // SAFETY: the last value of the chunk, inside its buffer.
        unsafe { NonNull::new_unchecked(chunk.as_mut_ptr().add(chunk.len() - 1)) }
    }

    /// The addresses of all values.
    pub fn addresses(&mut self) -> impl Iterator<Item = NonNull<V>> {
        self.chunks.iter_mut().flat_map(|chunk| {
            let (first, len) = (chunk.as_mut_ptr(), chunk.len());
            // SAFETY: values of the chunk, inside its buffer.
            (0..len).map(move |i| unsafe { NonNull::new_unchecked(first.add(i)) })
        })
    }

    /// Adds values next to each other; returns the address of the first.
    pub fn extend(&mut self, values: Vec<V>) -> NonNull<V> {
        let mut values = values.into_boxed_slice().into_vec();
        let first = NonNull::from(values.as_mut_slice()).cast();
        // Full, so that `push` starts a new chunk rather than grow this one.
        self.chunks.push(values);
        first
    }
}
