//! Source files of Wardian that threads meet in, compiled with the mutexes, condition variables and atomics of
//! [loom](https://docs.rs/loom), which tries every order of their steps. What they call besides is replaced by what a
//! model needs: `system` counts signals, `watchdog` keeps what it is given.
//!
//! ```text
//!   crates/wardian-vm/src/park.rs            waiting on an address        tests/park.rs
//!   crates/wardian-vm/src/interrupt.rs       stopping a guest             tests/interrupt.rs
//!   crates/wardian-runtime/src/module/tiers/published.rs
//!                                            code of another thread       tests/published.rs
//! ```

// Files of other crates name it so.
extern crate self as wardian_vm;

#[path = "../../crates/wardian-vm/src/addr.rs"]
pub mod addr;
pub mod background;
#[path = "../../crates/wardian-vm/src/contain.rs"]
pub mod contain;
#[path = "../../crates/wardian-vm/src/interrupt.rs"]
#[allow(dead_code, reason = "no samples are taken")]
pub mod interrupt;
pub mod layout;
#[path = "../../crates/wardian-vm/src/park.rs"]
pub mod park;
#[path = "../../crates/wardian-runtime/src/module/tiers/published.rs"]
#[allow(dead_code, unreachable_pub, reason = "parts of it are for the rest of its crate")]
mod published_file;
pub mod samples;
pub mod sync;
pub mod system;
pub mod torture;
pub mod watchdog;

pub use published_file::TierState;

/// What `published.rs` keeps for its own crate.
#[derive(Debug, Default)]
pub struct Published(published_file::Published);

impl Published {
    /// What is known.
    pub fn get(&self) -> Option<TierState> {
        self.0.get()
    }

    /// Somebody wants it.
    pub fn mark_wanted(&self) {
        self.0.mark_wanted();
    }

    /// What came of it.
    pub fn settle(&self, address: Option<addr::CodeAddr>) {
        self.0.settle(address);
    }
}

/// A store that stays where it is for ever, and its interrupter.
pub fn store() -> (&'static layout::StoreCtx, std::sync::Arc<interrupt::Interrupter>) {
    let store: *mut layout::StoreCtx = Box::into_raw(Box::default());
    // SAFETY: it is leaked.
    unsafe { (&*store, interrupt::Interrupter::new(store)) }
}

/// A model with at most three changes of threads that no thread asked for: so it ends soon, and most faults need two.
pub fn model(body: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(body);
}
