//! Destructors of the embedder's values, kept from unwinding through the runtime.
//!
//! A value of the embedder's (a listener, a notifier, a future, a panic's payload) can panic when it is
//! dropped. Where the runtime drops one, its own state may be half changed, or a panic may be unwinding
//! already, in which case a second one would abort the process.

use crate::background::outside;
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// What a destructor panicked with.
pub type Payload = Box<dyn Any + Send>;

/// Drops a value of the embedder's. A panic of its destructor has been reported by the panic hook, and
/// ends here.
pub fn drop_contained<V>(value: V) {
    if let Err(payload) = try_drop(value) {
        discard(payload);
    }
}

/// Drops a value of the embedder's; returns the panic of its destructor.
pub fn try_drop<V>(value: V) -> Result<(), Payload> {
    outside(|| catch_unwind(AssertUnwindSafe(|| drop(value))))
}

/// Drops the payload of a panic. A payload whose own destructor panics is leaked, with what that
/// panicked with: there is no end to what could follow.
pub fn discard(payload: Payload) {
    if let Err(next) = try_drop(payload) {
        std::mem::forget(next);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Panics(u32);
    impl Drop for Panics {
        fn drop(&mut self) {
            if self.0 > 0 {
                std::panic::panic_any(Panics(self.0 - 1));
            }
        }
    }

    #[test]
    fn panics_of_destructors_end_here() {
        for depth in 0..4 {
            drop_contained(Panics(depth));
        }
        assert!(try_drop(Panics(1)).is_err());
        assert!(try_drop(Panics(0)).is_ok());
    }
}
