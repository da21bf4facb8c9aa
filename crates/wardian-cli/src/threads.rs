//! Programs that make threads.

use crate::args::RunArgs;
use crate::observe::Observer;
use crate::postmortem::Deaths;
use crate::report;
use crate::wasi::{Fuel, Host};
use anyhow::bail;
use std::sync::Arc;
use wardian::{ExternType, Linker, Module, Store, limits::ResourceLimiter};
use wardian_wasi::{WasiThreads, WasiThreadsBuilder};

/// The group of a program that can make threads; `None` for one that cannot.
pub(crate) fn group(
    args: &RunArgs,
    module: &Module,
    linker: &Linker<Host>,
    host: &Host,
    observer: Arc<dyn Observer>,
    deaths: Arc<Deaths>,
) -> anyhow::Result<Option<WasiThreads<Host>>> {
    if !wardian_wasi::needs_threads(module) {
        return Ok(None);
    }
    Ok(Some(describe(args, module, linker, host, observer, deaths)?.build(linker)?))
}

/// The description of the group.
pub(crate) fn describe(
    args: &RunArgs,
    module: &Module,
    linker: &Linker<Host>,
    host: &Host,
    observer: Arc<dyn Observer>,
    deaths: Arc<Deaths>,
) -> anyhow::Result<WasiThreadsBuilder<Host>> {
    // The shared memory belongs to no store, so no store's limiter is asked for its beginning.
    for (_, name, ty) in module.imports() {
        let ExternType::Memory(memory) = &ty else { continue };
        let bytes = usize::try_from(memory.min * memory.page_size()).unwrap_or(usize::MAX);
        if memory.shared && !host.limits.clone().memory_growing(0, bytes, None)? {
            bail!("the limits refuse the module's memory `{name}`, a {ty}");
        }
    }
    let host = host.clone();
    Ok(WasiThreads::builder(module, move |_| host.clone())
        .max_threads(args.max_threads)
        .options(crate::run::options(args, linker))
        .on_failure(move |tid, _, _, error| deaths.add(format!("thread {tid}"), error))
        .configure(move |store| {
            limit(store);
            if let Err(error) = observer.store(store) {
                report::warning(&format!("a thread of the guest is not observed: {error}"));
            }
        }))
}

/// Makes the store ask for memory, and for fuel if that is counted.
pub(crate) fn limit(store: &mut Store<Host>) {
    store.limiter(|host| &mut host.limits);
    // An engine that does not count has nothing to ask for.
    let _ = store.refuel_with(|host| host.fuel.as_ref().and_then(Fuel::take));
}
