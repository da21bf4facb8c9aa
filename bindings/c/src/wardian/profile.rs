//! Profiles by samples.

use super::trap_of;
use crate::reference::Reference;
use crate::store::Handle;
use crate::vector::Vector;
use crate::{give, take};
use std::time::Duration;
use wardian_observe::{Format, Profiler, ProfilerOptions};

#[unsafe(no_mangle)]
pub extern "C" fn wardian_profiler_new(microseconds: u64) -> *mut Profiler {
    let interval = Duration::from_micros(microseconds);
    give(Profiler::new(ProfilerOptions::sampling().with_interval(interval)))
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn wardian_profiler_delete(profiler: *mut Profiler) {
    // SAFETY: see the crate's documentation.
    drop(unsafe { take(profiler) });
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn wardian_profiler_watch(
    profiler: *const Profiler,
    store: *mut Handle,
) -> *mut Reference {
    // SAFETY: see the crate's documentation.
    unsafe {
        let store = &*store;
        trap_of(store, store.with(|context| (*profiler).watch_store(context)))
    }
}

/// What was seen, for pprof.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wardian_profiler_pprof(profiler: *const Profiler, out: *mut Vector<u8>) {
    // SAFETY: see the crate's documentation.
    unsafe {
        let mut bytes = Vec::new();
        (*profiler).profile().write(Format::Pprof, &mut bytes).expect("memory takes all");
        out.write(Vector::new(bytes));
    }
}
