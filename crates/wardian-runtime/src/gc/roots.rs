//! Objects that the embedder holds.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use wardian_vm::heap::HeapRef;

/// An object that the embedder holds. It is alive as long as somebody besides the store has this.
#[derive(Debug)]
pub struct Root {
    /// The reference: not null.
    word: HeapRef,
    /// No other root of the store has it, ever.
    number: u64,
    /// Set when a snapshot from before the object was made is restored.
    gone: AtomicBool,
}

impl Root {
    /// The reference; none if the object is gone.
    pub fn word(&self) -> Option<HeapRef> {
        (!self.gone.load(Ordering::Relaxed)).then_some(self.word)
    }

    /// The reference as raw slots have it. An integer is in there itself, an object is meant by its root: so a slot
    /// leads to the object as long as the root is held, and to nothing later.
    pub fn slot(&self) -> u64 {
        if self.word.is_integer() { self.word.as_word() } else { OBJECT | self.number }
    }
}

/// Marks a raw slot that means an object. Handles of other references have generations of fewer bits.
const OBJECT: u64 = 1 << 63;

/// Whether a raw slot means an object, if anything.
pub(crate) fn is_object_slot(slot: u64) -> bool {
    slot & OBJECT != 0
}

/// The roots of a store. Reading a value makes one, and only borrows the store.
#[derive(Default)]
pub struct Roots(Mutex<Held>);

/// Roots in the order in which they were made.
#[derive(Default)]
struct Held {
    held: Vec<Arc<Root>>,
    /// The number of the next one.
    next: u64,
    /// How many there may be before those are looked for that nobody has.
    threshold: usize,
}

/// Fewer roots than this are not worth a look.
const LEAST: usize = 256;

impl Held {
    fn prune(&mut self) {
        self.held.retain(|root| Arc::strong_count(root) > 1);
    }
}

impl Roots {
    fn held(&self) -> MutexGuard<'_, Held> {
        self.0.lock().unwrap_or_else(|e| e.into_inner())
    }

    /// Makes a root of a reference that is not null.
    pub fn add(&self, word: HeapRef) -> Arc<Root> {
        let root = |number| Arc::new(Root { word, number, gone: AtomicBool::new(false) });
        // An integer needs nobody to keep it.
        if word.is_integer() {
            return root(0);
        }
        let mut held = self.held();
        if held.held.len() >= held.threshold.max(LEAST) {
            held.prune();
            held.threshold = 2 * held.held.len();
        }
        let root = root(held.next);
        held.next += 1;
        held.held.push(root.clone());
        root
    }

    /// The root that a raw slot means, if somebody still has it.
    pub fn of_slot(&self, slot: u64) -> Option<Arc<Root>> {
        let held = self.held();
        let number = slot & !OBJECT;
        let at = held.held.binary_search_by_key(&number, |root| root.number).ok()?;
        let root = &held.held[at];
        (is_object_slot(slot) && Arc::strong_count(root) > 1).then(|| root.clone())
    }

    /// Forgets what the embedder has dropped.
    pub(crate) fn prune(&self) {
        self.held().prune();
    }

    /// Passes each reference to `f`.
    pub(crate) fn each(&self, mut f: impl FnMut(HeapRef)) {
        self.held().held.iter().for_each(|root| f(root.word));
    }

    /// Separates the roots made so far from those that are made later.
    pub fn moment(&self) -> u64 {
        self.held().next
    }

    /// Objects made since a moment are gone.
    pub(crate) fn drop_since(&self, moment: u64) {
        self.held().held.retain(|root| {
            let stays = root.number < moment;
            root.gone.fetch_or(!stays, Ordering::Relaxed);
            stays
        });
    }
}

#[cfg(test)]
mod tests {
    use super::Roots;
    use wardian_vm::heap::HeapRef;

    #[test]
    fn what_nobody_holds_goes() {
        let roots = Roots::default();
        let count = || {
            let mut count = 0;
            roots.each(|_| count += 1);
            count
        };
        let add = |word| roots.add(HeapRef::from_u32(word));
        let kept = add(8);
        for i in 0..10_000 {
            add(16 + 8 * i);
        }
        assert!(count() < 1000);
        let moment = roots.moment();
        let newer = add(24);
        roots.drop_since(moment);
        assert_eq!((kept.word(), newer.word()), (Some(HeapRef::from_u32(8)), None));
        roots.prune();
        assert_eq!(count(), 1);
        assert_eq!(roots.of_slot(kept.slot()).and_then(|root| root.word()), kept.word());
        for slot in [newer.slot(), kept.slot() + 1, kept.slot() & !super::OBJECT, 8, 0] {
            assert!(roots.of_slot(slot).is_none(), "{slot:#x}");
        }
        let slot = kept.slot();
        drop(kept);
        assert!(roots.of_slot(slot).is_none());
        roots.prune();
        assert_eq!((add(7).word(), add(7).slot()), (Some(HeapRef::of_integer(3)), 7));
        assert_eq!(count(), 0);
    }
}
