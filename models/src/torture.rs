//! The models ask the system for nothing that it could refuse.

use std::io;
use std::time::Duration;

/// What is asked of the system.
#[derive(Clone, Copy, Debug)]
pub enum Point {
    /// An event file.
    Event,
}

/// It is there.
pub fn check(_: Point) -> io::Result<()> {
    Ok(())
}

/// No limit.
pub const fn longest_wait() -> Option<Duration> {
    None
}
