//! Memories that embedders could make: they move, refuse, panic, lie, and count.
#![allow(unsafe_code, reason = "supplying memory of one's own is a promise")]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use wardian::{
    Engine, Error, Instance, Module, Result, Store, TrapCode,
    allocator::{
        FixedMemory, GuardedMemory, LinearMemory, MemoryAllocator, MemoryRequest, Reservation,
    },
};

/// What a tortured memory does.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Plan {
    /// Each growth moves it, and the old place is no longer mapped.
    pub(crate) moves: bool,
    /// Each growth gives another base, but the old place stays.
    pub(crate) pretends_to_move: bool,
    /// It is in a reservation with guard pages.
    pub(crate) guarded: bool,
    /// This allocation is refused, counted from 1.
    pub(crate) refused_allocation: usize,
    /// This growth is refused, counted from 1.
    pub(crate) refused_growth: usize,
    /// This allocation panics.
    pub(crate) panicking_allocation: usize,
    /// This growth panics.
    pub(crate) panicking_growth: usize,
    /// Each growth runs a guest of another engine, which traps.
    pub(crate) runs_guests: bool,
    /// What it says about itself.
    pub(crate) lie: Lie,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Lie {
    #[default]
    None,
    NullBase,
    OddBase,
    TooShort,
    /// It says so only after it has grown.
    NullWhenGrown,
}

/// Makes memories by a plan, and counts.
#[derive(Clone, Default)]
pub(crate) struct Torture {
    plan: Plan,
    counts: Arc<Counts>,
    /// What was asked for.
    seen: Arc<Mutex<Vec<String>>>,
}

#[derive(Default)]
struct Counts {
    asked: AtomicUsize,
    made: AtomicUsize,
    freed: AtomicUsize,
    grown: AtomicUsize,
}

impl Torture {
    pub(crate) fn new(plan: Plan) -> Torture {
        Torture { plan, ..Torture::default() }
    }

    pub(crate) fn made(&self) -> usize {
        self.counts.made.load(Ordering::SeqCst)
    }

    pub(crate) fn freed(&self) -> usize {
        self.counts.freed.load(Ordering::SeqCst)
    }

    pub(crate) fn asked(&self) -> usize {
        self.counts.asked.load(Ordering::SeqCst)
    }

    pub(crate) fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }
}

impl MemoryAllocator for Torture {
    fn allocate(&self, request: &MemoryRequest<'_>) -> Result<Box<dyn LinearMemory>> {
        let nth = self.counts.asked.fetch_add(1, Ordering::SeqCst) + 1;
        assert_ne!(nth, self.plan.panicking_allocation, "the allocator panics");
        if nth == self.plan.refused_allocation {
            return Err(Error::host(format!("allocation {nth} is refused")));
        }
        self.seen.lock().unwrap().push(format!(
            "{} bytes of {}, shared {}, for {:?} as {:?}",
            request.minimum, request.maximum, request.shared, request.module, request.instance
        ));
        let inner = if self.plan.guarded {
            GuardedMemory::boxed(request.minimum, request.maximum)?
        } else {
            // Nobody has more than this in a test.
            FixedMemory::boxed(request.minimum, request.maximum.min(1 << 30))?
        };
        self.counts.made.fetch_add(1, Ordering::SeqCst);
        let (plan, counts) = (self.plan, self.counts.clone());
        let size = request.minimum;
        Ok(Box::new(Tortured { inner, size, old: Vec::new(), grown: 0, plan, counts }))
    }
}

fn run_guest() {
    let engine = Engine::default();
    let text = r#"(module (memory 1) (func (export "run") (param i32) (result i32)
      (drop (memory.grow (i32.const 1))) (i32.load8_u (local.get 0))))"#;
    let m = Module::new(&engine, text).unwrap();
    let mut store = Store::new(&engine, ());
    let i = Instance::new(&mut store, &m, &[]).unwrap();
    let run = i.typed_func::<i32, i32>(&mut store, "run").unwrap();
    assert_eq!(run.call(&mut store, 70000).unwrap(), 0);
    assert_eq!(run.call(&mut store, -1).unwrap_err().trap(), Some(TrapCode::MemoryOutOfBounds));
}

struct Tortured {
    inner: Box<dyn LinearMemory>,
    size: usize,
    old: Vec<Box<dyn LinearMemory>>,
    grown: usize,
    plan: Plan,
    counts: Arc<Counts>,
}

// SAFETY: the memories inside keep the promises, and the old one has been copied when the new one
// takes its place. A plan with a lie breaks them; Wardian finds that before it uses the memory.
unsafe impl LinearMemory for Tortured {
    fn base(&self) -> *mut u8 {
        match self.plan.lie {
            Lie::NullBase => std::ptr::null_mut(),
            Lie::NullWhenGrown if self.grown > 0 => std::ptr::null_mut(),
            Lie::OddBase => self.inner.base().wrapping_add(8),
            _ => self.inner.base(),
        }
    }

    fn capacity(&self) -> usize {
        self.inner.capacity() - usize::from(self.plan.lie == Lie::TooShort)
    }

    fn reallocate(&mut self, size: usize) -> Option<*mut u8> {
        let nth = self.counts.grown.fetch_add(1, Ordering::SeqCst) + 1;
        assert_ne!(nth, self.plan.panicking_growth, "the memory panics");
        if nth == self.plan.refused_growth {
            return None;
        }
        if self.plan.runs_guests {
            run_guest();
        }
        if self.plan.moves || self.plan.pretends_to_move {
            let new = FixedMemory::boxed(size, size).ok()?;
            let old = std::mem::replace(&mut self.inner, new);
            // SAFETY: both have so many bytes, and the guest waits.
            unsafe { self.inner.base().copy_from_nonoverlapping(old.base(), self.size) };
            if self.plan.moves {
                old.free();
            } else {
                self.old.push(old);
            }
        } else {
            self.inner.reallocate(size)?;
        }
        self.size = size;
        self.grown += 1;
        Some(self.base())
    }

    fn never_moves(&self) -> bool {
        !self.plan.moves
    }

    fn reservation(&self) -> Option<Reservation> {
        self.inner.reservation()
    }

    fn shrink(&mut self, size: usize) -> bool {
        self.size = size;
        self.inner.shrink(size)
    }

    fn free(self: Box<Self>) {
        self.counts.freed.fetch_add(1, Ordering::SeqCst);
    }
}

/// A file of a test's own folder as a memory.
pub(crate) fn open_file(
    path: impl AsRef<std::path::Path>,
    minimum: usize,
    maximum: usize,
) -> std::io::Result<Box<dyn LinearMemory>> {
    // SAFETY: only the test that made the folder uses the file, one memory at a time.
    unsafe { wardian::allocator::FileMemory::open(path, minimum, maximum) }
}
