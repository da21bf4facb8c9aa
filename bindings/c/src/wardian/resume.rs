//! Checkpoints and forks.

use super::errors::misuse;
use super::linker::Linkage;
use super::{or_trap, trap_of};
use crate::reference::{Reference, What};
use crate::store::{Data, Handle};
use crate::value::Value;
use crate::vector::Vector;
use crate::{give, take};
use wardian::{
    Store, Val,
    checkpoint::{Checkpoint, CheckpointOptions, ResumeOptions, Resumed},
    fork::Fork,
};

/// `wardian_resumed_t`.
pub struct Restored {
    store: Handle,
    resumed: Resumed,
}

fn restored(store: &Handle, resumed: Resumed) -> *mut Restored {
    resumed.instances().iter().for_each(|instance| store.add_instance(*instance));
    give(Restored { store: store.clone(), resumed })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn wardian_resumed_delete(resumed: *mut Restored) {
    // SAFETY: see the crate's documentation.
    drop(unsafe { take(resumed) });
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn wardian_checkpoint(
    store: *mut Handle,
    out: *mut Vector<u8>,
) -> *mut Reference {
    let options = CheckpointOptions::new();
    // SAFETY: see the crate's documentation.
    unsafe {
        let store = &*store;
        let taken = match store.calling(|caller| caller.checkpoint(&options)) {
            Some(taken) => taken,
            None => store.idle(|store| store.checkpoint(&options)).expect("no callback runs"),
        };
        let bytes = taken.and_then(|checkpoint| checkpoint.to_bytes());
        trap_of(
            store,
            bytes.map(|bytes| out.write(Vector::new(bytes))).inspect_err(|_| {
                out.write(Vector::new(Vec::new()));
            }),
        )
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn wardian_resume(
    store: *mut Handle,
    linker: *const Linkage,
    bytes: *const Vector<u8>,
    trap_out: *mut *mut Reference,
) -> *mut Restored {
    // SAFETY: see the crate's documentation.
    unsafe {
        let store = &*store;
        let resumed = Checkpoint::from_bytes((*bytes).as_slice()).and_then(|checkpoint| {
            let options = ResumeOptions::new();
            let resumed = store.idle(|store| checkpoint.resume(store, &(*linker).0, &options));
            resumed.unwrap_or_else(|| Err(misuse("a callback of the store runs")))
        });
        let resumed = or_trap(store, trap_out, resumed);
        resumed.map_or(std::ptr::null_mut(), |resumed| restored(store, resumed))
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn wardian_fork(
    store: *mut Handle,
    resumed_out: *mut *mut Restored,
    trap_out: *mut *mut Reference,
) -> *mut Handle {
    // SAFETY: see the crate's documentation.
    unsafe {
        let store = &*store;
        // From the start, so that it counts the memories that the child begins with.
        let limited = |child: &mut Store<Data>| child.limiter(|data| &mut data.limits);
        let forked = match store.calling(|caller| caller.fork_with(Data::new(), limited)) {
            Some(forked) => forked,
            None => {
                let forked = store.idle(|store| store.fork_with(Data::new(), limited));
                forked.expect("no callback runs")
            }
        };
        let Some(forked) = or_trap(store, trap_out, forked) else { return std::ptr::null_mut() };
        let Fork { store: child, resumed, .. } = forked;
        let child = Handle::of(child);
        if let Some(out) = resumed_out.as_mut() {
            *out = restored(&child, resumed);
        }
        give(child)
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn wardian_resumed_is_running(resumed: *const Restored) -> bool {
    // SAFETY: see the crate's documentation.
    unsafe { (*resumed).resumed.is_running() }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn wardian_resumed_instance(
    resumed: *const Restored,
    index: usize,
) -> *mut Reference {
    // SAFETY: see the crate's documentation.
    let Restored { store, resumed } = unsafe { &*resumed };
    let instance = resumed.instances().get(index).copied();
    instance.map_or(std::ptr::null_mut(), |i| give(Reference::new(store, What::Instance(i))))
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn wardian_resumed_run(
    resumed: *mut Restored,
    given: *const Vector<Value>,
    out: *mut Vector<Value>,
) -> *mut Reference {
    // SAFETY: see the crate's documentation.
    unsafe {
        out.write(Vector::new(Vec::new()));
        let Some(resumed) = take(resumed) else { return std::ptr::null_mut() };
        let Restored { store, resumed } = *resumed;
        let done = match given.as_ref() {
            None => store.with(|context| resumed.run(context)),
            Some(given) => read(&resumed, given.as_slice())
                .and_then(|given| store.with(|context| resumed.run_with(context, &given))),
        };
        let done = done.map(|values| {
            let values: Vec<Value> = values.iter().map(|v| Value::new(&store, v)).collect();
            out.write(Vector::new(values));
        });
        trap_of(&store, done)
    }
}

/// The results of the function that the guest waits for.
fn read(resumed: &Resumed, given: &[Value]) -> wardian::Result<Vec<Val>> {
    let types = resumed.pending().map(|pending| pending.ty.results()).unwrap_or_default();
    if types.len() != given.len() {
        let wanted = types.len();
        return Err(misuse(format!("{wanted} results are needed, not {}", given.len())));
    }
    given.iter().zip(types).map(|(value, ty)| value.read(*ty).map_err(misuse)).collect()
}
