//! Programs that start threads: `wasi` `thread-spawn`.

use crate::checkpoint::{Found, Request};
use crate::guest::{self, Host};
use crate::program::Compiled;
use crate::settings::Settings;
use crate::stop::{Handle, Slot};
use anyhow::{Context, bail};
use wardian::limits::ResourceLimiter;
use wardian::{ExternType, Linker, Store};
use wardian_wasi::{DEFAULT_MAX_THREADS, WasiThreads, WasiThreadsBuilder};

/// Runs the program of a module that makes threads, or continues it, until all its threads have ended. Others can stop it
/// once its handle is in the slot.
///
/// # Errors
///
/// Those by which it is not run.
pub(crate) fn run(
    program: &Compiled,
    linker: &Linker<Host>,
    store: &mut Store<Host>,
    settings: &Settings,
    found: Option<Found>,
    slot: &Slot,
) -> anyhow::Result<wardian::Result<()>> {
    let cannot_run = || format!("cannot run {}", program.name);
    let builder = describe(program, store, settings).with_context(cannot_run)?;
    let token = store.cancel_token();
    if let Some(found) = found {
        let group = found.resume_threads(builder, store, linker)?;
        Handle::put(slot, token, Request::Threads(group.handle()));
        return Ok(group.run(store).map(drop));
    }
    let group = builder.build(linker).with_context(cannot_run)?;
    Handle::put(slot, token, Request::Threads(group.handle()));
    let mut began = false;
    let outcome = group.run_with(store, |store, instance| {
        began = true;
        guest::call_functions(program, store, instance)
    });
    match outcome {
        Err(error) if !began && guest::is_refusal(&error) => Err(error).with_context(cannot_run),
        outcome => Ok(outcome),
    }
}

fn describe(
    program: &Compiled,
    store: &Store<Host>,
    settings: &Settings,
) -> anyhow::Result<WasiThreadsBuilder<Host>> {
    let host = store.data().clone();
    // The shared memory belongs to no store, so no store's limits are asked for its beginning.
    for (_, name, ty) in program.module.imports() {
        let ExternType::Memory(memory) = &ty else { continue };
        let bytes = usize::try_from(memory.min.saturating_mul(memory.page_size()));
        let bytes = bytes.unwrap_or(usize::MAX);
        if memory.shared && !host.limits.clone().memory_growing(0, bytes, None)? {
            bail!("the limits refuse its memory `{name}`, a {ty}");
        }
    }
    let settings = settings.clone();
    let max_threads = settings.max_threads.unwrap_or(DEFAULT_MAX_THREADS);
    Ok(WasiThreads::builder(&program.module, move |_tid| host.clone())
        .max_threads(max_threads)
        .configure(move |store| guest::prepare(store, &settings)))
}
