//! Programs that start threads, and what the callbacks of their host functions need.

use super::errors::{limited, misuse};
use super::linker::Linkage;
use super::wasi::Wasi;
use super::{or_trap, text, trap_of};
use crate::reference::Reference;
use crate::store::{Data, Handle};
use crate::vector::Vector;
use crate::{give, take};
use std::ffi::c_char;
use std::fs::File;
use std::io::{BufReader, BufWriter};
use std::sync::{Mutex, PoisonError};
use wardian::checkpoint::{AfterCheckpoint, CheckpointOptions, ReadOptions, ResumeOptions};
use wardian::limits::{ResourceLimiter, StoreLimits};
use wardian::{Error, ExternType, Module, Result, Store};
use wardian_wasi::{
    ResumedThreads, SaveOptions, WasiState, WasiThreads, WasiThreadsBuilder, WasiThreadsCheckpoint,
    WasiThreadsHandle,
};

/// The name of the state of WASI in checkpoints, as the command `wardian` has it.
const WASI: &str = "wasi";

/// `wardian_threads_t`.
pub struct Threads {
    store: Handle,
    group: Mutex<Option<Group>>,
    handle: WasiThreadsHandle<Data>,
}

enum Group {
    New(WasiThreads<Data>),
    Resumed(Box<ResumedThreads<Data>>),
}

/// Describes the threads of a program whose main thread has this store.
fn describe(
    store: &mut Store<Data>,
    module: &Module,
    max_threads: usize,
) -> Result<WasiThreadsBuilder<Data>> {
    store.host_state_with(|data| {
        // Those that there are stand still then.
        let options = SaveOptions::new().with_threads(true);
        let state = data.wasi.save_with(&options).map_err(Error::host)?;
        Ok(vec![(WASI.to_owned(), state.to_bytes())])
    });
    let wasi = store.data().wasi.clone();
    let limits = store.data().limits.clone();
    let limits = StoreLimits { used_bytes: 0, used_table_bytes: 0, ..limits };
    let fuel = store.fuel().ok();
    // The shared memory belongs to no store, so no store's limits are asked for its beginning.
    for (_, name, ty) in module.imports() {
        let ExternType::Memory(memory) = &ty else { continue };
        let bytes = usize::try_from(memory.min.saturating_mul(memory.page_size()));
        let bytes = bytes.unwrap_or(usize::MAX);
        if memory.shared && !limits.clone().memory_growing(0, bytes, None)? {
            return Err(limited(format!("the limits refuse the module's memory `{name}`, a {ty}")));
        }
    }
    let data = move |_tid| {
        let mut data = Data::new();
        (data.limits, data.wasi) = (limits.clone(), wasi.clone());
        data
    };
    let configure = move |store: &mut Store<Data>| {
        store.limiter(|data| &mut data.limits);
        if let Some(fuel) = fuel {
            // Engines that count it take it.
            let _ = store.set_fuel(fuel);
        }
        Handle::of_thread(store);
    };
    Ok(WasiThreads::builder(module, data).max_threads(max_threads).configure(configure))
}

/// Works with a store in which no guest runs.
fn idle<R>(store: &Handle, work: impl FnOnce(&mut Store<Data>) -> Result<R>) -> Result<R> {
    store.idle(work).unwrap_or_else(|| Err(misuse("a callback of the store runs")))
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn wardian_threads_new(
    linker: *const Linkage,
    store: *mut Handle,
    module: *const Reference,
    max_threads: usize,
    trap_out: *mut *mut Reference,
) -> *mut Threads {
    // SAFETY: see the crate's documentation.
    unsafe {
        let store = &*store;
        let made = idle(store, |store| {
            let module = (*module).module().ok_or_else(|| misuse("it is no module"))?;
            describe(store, module, max_threads)?.build(&(*linker).0)
        });
        let Some(group) = or_trap(store, trap_out, made) else { return std::ptr::null_mut() };
        let handle = group.handle();
        let group = Mutex::new(Some(Group::New(group)));
        give(Threads { store: store.clone(), group, handle })
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn wardian_threads_resume(
    linker: *const Linkage,
    store: *mut Handle,
    wasi: *mut Wasi,
    path: *const c_char,
    max_threads: usize,
    trap_out: *mut *mut Reference,
) -> *mut Threads {
    // SAFETY: see the crate's documentation.
    unsafe {
        let (store, wasi) = (&*store, take(wasi));
        let resumed = idle(store, |store| {
            let file = BufReader::new(File::open(text(path)?)?);
            let read = WasiThreadsCheckpoint::read(file, &ReadOptions::new())?;
            if let Some(state) = read.main().host_state(WASI) {
                let state = WasiState::from_bytes(state).map_err(Error::host)?;
                store.data_mut().wasi = Wasi::restored(wasi, &state)?;
            }
            let module = read.main().module(store.engine(), 0)?;
            let module = module.ok_or_else(|| misuse("the checkpoint lacks its module"))?;
            let builder = describe(store, &module, max_threads)?;
            builder.resume(&(*linker).0, store, read, &ResumeOptions::new())
        });
        let Some(group) = or_trap(store, trap_out, resumed) else { return std::ptr::null_mut() };
        let handle = group.handle();
        let group = Mutex::new(Some(Group::Resumed(Box::new(group))));
        give(Threads { store: store.clone(), group, handle })
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn wardian_threads_delete(threads: *mut Threads) {
    // SAFETY: see the crate's documentation.
    drop(unsafe { take(threads) });
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn wardian_threads_run(threads: *const Threads) -> *mut Reference {
    // SAFETY: see the crate's documentation.
    let Threads { store, group, .. } = unsafe { &*threads };
    let group = group.lock().unwrap_or_else(PoisonError::into_inner).take();
    let done = idle(store, |store| {
        let done = match group.ok_or_else(|| misuse("the program has run already"))? {
            Group::New(group) => group.run(store),
            Group::Resumed(group) => group.run(store).map(drop),
        };
        // The group has cancelled it.
        store.clear_cancellation();
        done
    });
    trap_of(store, done)
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn wardian_threads_end(threads: *const Threads, code: u32) {
    // SAFETY: see the crate's documentation.
    unsafe { (*threads).handle.end(Error::exit(code)) };
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn wardian_threads_live(threads: *const Threads) -> usize {
    // SAFETY: see the crate's documentation.
    unsafe { (*threads).handle.live() }
}

/// True if it is written; else the message says why not.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wardian_threads_checkpoint(
    threads: *const Threads,
    path: *const c_char,
    stop: bool,
    problem: *mut Vector<u8>,
) -> bool {
    // SAFETY: see the crate's documentation.
    unsafe {
        let after = if stop { AfterCheckpoint::End } else { AfterCheckpoint::Resume };
        let write = || {
            let file = BufWriter::new(File::create(text(path)?)?);
            (*threads).handle.checkpoint_to(&CheckpointOptions::new(), file, move || after)
        };
        let written: Result<()> = write();
        let message = written.as_ref().err().map(|error| format!("{error}\0").into_bytes());
        if let Some(problem) = problem.as_mut() {
            std::ptr::from_mut(problem).write(Vector::new(message.unwrap_or_default()));
        }
        written.is_ok()
    }
}

/// Null if no callback runs on this thread.
#[unsafe(no_mangle)]
pub extern "C" fn wardian_callback_store() -> *mut Handle {
    Handle::current().map_or(std::ptr::null_mut(), give)
}

/// Null if no callback runs, or the instance that calls has no such export.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wardian_callback_export(
    store: *const Handle,
    name: *const c_char,
) -> *mut Reference {
    // SAFETY: see the crate's documentation.
    unsafe {
        let (store, Ok(name)) = (&*store, text(name)) else { return std::ptr::null_mut() };
        let item = store.calling(|caller| caller.get_export(name)).flatten();
        item.map_or(std::ptr::null_mut(), |item| store.item(item))
    }
}
