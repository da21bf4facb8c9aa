//! Snapshots of guests, and images of stores.

use super::errors::misuse;
use super::{or_trap, trap_of};
use crate::reference::Reference;
use crate::store::Handle;
use crate::value::Value;
use crate::vector::Vector;
use crate::{give, take};
use wardian::{image::Image, snapshot::Snapshot};

#[unsafe(no_mangle)]
pub unsafe extern "C" fn wardian_snapshot_new(
    store: *mut Handle,
    state: bool,
    trap_out: *mut *mut Reference,
) -> *mut Snapshot {
    // SAFETY: see the crate's documentation.
    unsafe {
        let store = &*store;
        let taken = store.calling(|caller| {
            let mut snapshotter = caller.get_snapshotter()?;
            Some(match state {
                true => snapshotter.snapshot_with_state(),
                false => Ok(snapshotter.snapshot()),
            })
        });
        let taken = taken.flatten().unwrap_or_else(|| {
            Err(misuse("a snapshot is taken in a callback, of the guest that has called it"))
        });
        or_trap(store, trap_out, taken).map_or(std::ptr::null_mut(), give)
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn wardian_snapshot_delete(snapshot: *mut Snapshot) {
    // SAFETY: see the crate's documentation.
    drop(unsafe { take(snapshot) });
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn wardian_snapshot_restore(
    snapshot: *const Snapshot,
    store: *mut Handle,
    results: *const Vector<Value>,
) -> *mut Reference {
    // SAFETY: see the crate's documentation.
    unsafe {
        let (snapshot, store) = (&*snapshot, &*store);
        let given = results.as_ref().map(Vector::as_slice).unwrap_or_default();
        let types = snapshot.result_types();
        let values = match types.len() == given.len() {
            true => given.iter().zip(types).map(|(value, ty)| value.read(*ty)).collect(),
            false => Err(format!("{} results are needed, not {}", types.len(), given.len())),
        };
        let why = match values {
            Ok::<Vec<_>, _>(values) => store.with(|context| snapshot.restore(context, &values)),
            Err(wrong) => misuse(wrong),
        };
        trap_of(store, Err(why))
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn wardian_image_new(
    store: *mut Handle,
    trap_out: *mut *mut Reference,
) -> *mut Image {
    // SAFETY: see the crate's documentation.
    unsafe {
        let store = &*store;
        let made = store.with(|mut context| context.image());
        or_trap(store, trap_out, made).map_or(std::ptr::null_mut(), give)
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn wardian_image_delete(image: *mut Image) {
    // SAFETY: see the crate's documentation.
    drop(unsafe { take(image) });
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn wardian_store_reset(
    store: *mut Handle,
    image: *const Image,
) -> *mut Reference {
    // SAFETY: see the crate's documentation.
    unsafe {
        let store = &*store;
        trap_of(store, store.with(|mut context| context.reset_to(&*image)))
    }
}
