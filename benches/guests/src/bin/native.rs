//! The guests as native code, as a driver: `native MODULE cpu|wall`. The module is not looked at. See
//! "Engines in other processes" in the README of the benchmarks.

use bench_guests as _;
use std::io::{BufRead, Write};
use std::time::Duration;

macro_rules! guests {
    ($($name:ident)*) => {
        // SAFETY: what the library beside this file defines.
        unsafe extern "C" {
            $(safe fn $name(n: i32) -> i64;)*
        }

        const GUESTS: &[(&str, extern "C" fn(i32) -> i64)] = &[$((stringify!($name), $name)),*];
    };
}

guests! {
    json words brainf vm_switch vm_table virtual_calls small_calls deflate inflate lz77 sieve life quicksort
    mergesort fib ackermann matrix nbody raytrace sha256 hashmap fnv_crc
}

fn main() -> std::io::Result<()> {
    let clock = match std::env::args().nth(2).as_deref() {
        Some("wall") => rustix::time::ClockId::Monotonic,
        _ => rustix::time::ClockId::ThreadCPUTime,
    };
    let now = || {
        let time = rustix::time::clock_gettime(clock);
        Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
    };
    let mut out = std::io::stdout().lock();
    let processor = if cfg!(target_feature = "avx2") { "this processor" } else { "any processor" };
    writeln!(out, "ready Rust, compiled for {processor}")?;
    out.flush()?;
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        let (name, number) = line.split_once(' ').unwrap_or((&line, ""));
        let guest = GUESTS.iter().find(|g| g.0 == name);
        match (guest, number.parse()) {
            (Some((_, guest)), Ok(number)) => {
                let start = now();
                let result = guest(number);
                writeln!(out, "{result} {}", (now() - start).as_nanos())?;
            }
            _ => writeln!(out, "error there is no such function")?,
        }
        out.flush()?;
    }
    Ok(())
}
