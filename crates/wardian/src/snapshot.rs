//! Snapshots: a guest is resumed from an earlier state.

use crate::error::UsageKind;
use crate::value::Val;
use crate::{AsContextMut, Caller, Error, ErrorKind, Result, Store};
use std::fmt;
use std::sync::Arc;
use wardian_runtime::store::host::HostCall;
use wardian_runtime::store::inner::StoreInner;
use wardian_runtime::store::snapshot::SnapshotData;
use wardian_types::ValType;

impl<T: 'static> Store<T> {
    /// Lets host functions of all calls take snapshots; without it only of calls with
    /// [`crate::CallOptions::with_snapshotter`]. Costs nothing as long as none is taken.
    #[doc(alias = "WithSnapshotter")]
    pub fn enable_snapshots(&mut self, on: bool) {
        self.as_context_mut().0.inner.allow_snapshots(on);
    }
}

impl<T: 'static> Caller<'_, T> {
    /// What takes snapshots of the guest that calls; none if they are not enabled, if the guest was
    /// called with [`crate::TypedFunc::call_async`], or if it is not the innermost guest any more (in
    /// the destructor of an asynchronous host function's future).
    pub fn get_snapshotter(&mut self) -> Option<Snapshotter<'_>> {
        let call = self.host_call();
        let store = self.inner_mut();
        store.can_snapshot(call.serial()).then_some(Snapshotter { store, call })
    }
}

/// Takes snapshots of the guest that is calling a host function.
pub struct Snapshotter<'a> {
    store: &'a mut StoreInner,
    call: HostCall,
}

impl Snapshotter<'_> {
    /// A snapshot of the guest's stack. When it is restored, the guest is resumed as if the host function
    /// that took it returned again.
    ///
    /// Memories, globals and tables are not part of it: they stay as they are when it is restored.
    /// See [`Snapshotter::snapshot_with_state`].
    pub fn snapshot(&mut self) -> Snapshot {
        let taken = self.store.take_snapshot(self.call, false);
        Snapshot(taken.expect("only capturing state can fail"))
    }

    /// A snapshot of the guest's stack together with the memories, globals and tables of all
    /// instances of the store, and its heap of objects, which is copied. Memories are captured copy-on-write: what the guest does not write
    /// afterwards is not copied again when it is restored. A restore may shrink memories and tables.
    ///
    /// # Errors
    ///
    /// An instance has a shared memory, which others change at any time; or the system has no memory.
    pub fn snapshot_with_state(&mut self) -> Result<Snapshot> {
        Ok(Snapshot(self.store.take_snapshot(self.call, true)?))
    }
}

impl fmt::Debug for Snapshotter<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Snapshotter")
    }
}

/// Where a guest was when a host function took this. Clones are the same snapshot.
///
/// It can be restored as often as you like: from the host function that took it, from others, from
/// nested calls, also after the functions have returned that were open then; as long as the call
/// into the guest is open that the host function was called in.
///
/// ```
/// use wardian::{snapshot::Snapshot, CallOptions, Caller, Engine, Error, Linker, Module, Store, Val};
/// let engine = Engine::default();
/// let mut linker = Linker::<Option<Snapshot>>::new(&engine);
/// // Like `setjmp`: returns 0 now, and what `jump` is given when that is called.
/// linker.func_wrap("env", "mark", |mut caller: Caller<'_, Option<Snapshot>>| -> i32 {
///     let snapshot = caller.get_snapshotter().map(|mut s| s.snapshot());
///     *caller.data_mut() = snapshot;
///     0
/// })?;
/// linker.func_wrap("env", "jump", |mut caller: Caller<'_, Option<Snapshot>>, to: i32| {
///     let snapshot = caller.data().clone().expect("there is a mark");
///     Err::<(), _>(snapshot.restore(&mut caller, &[Val::I32(to)]))
/// })?;
/// let module = Module::new(&engine, r#"(module
///   (import "env" "mark" (func $mark (result i32)))
///   (import "env" "jump" (func $jump (param i32)))
///   (func (export "run") (result i32) (local $n i32)
///     (local.set $n (call $mark))
///     (if (i32.lt_u (local.get $n) (i32.const 5))
///       (then (call $jump (i32.add (local.get $n) (i32.const 1)))))
///     (local.get $n)))"#)?;
/// let mut store = Store::new(&engine, None);
/// let instance = linker.instantiate(&mut store, &module)?;
/// let run = instance.typed_func::<(), i32>(&mut store, "run")?;
/// let options = CallOptions::new().with_snapshotter();
/// assert_eq!(run.call_with(&mut store, &options, ())?, 5);
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone)]
pub struct Snapshot(Arc<SnapshotData>);

impl Snapshot {
    /// Resumes the guest from the snapshot, as soon as the running host function returns: return
    /// the error that this gives. The host function that took the snapshot then returns `results`.
    ///
    /// The frames of the embedder's between here and there are unwound: calls of guests return
    /// [`ErrorKind::Restored`], host functions return, their destructors run. A host function that
    /// swallows the error does not stop that.
    ///
    /// If it cannot be restored the error is another one, which says why, and nothing has happened:
    /// the store is another one than it was taken in, the call that it was taken in has ended, or
    /// the results are not of the types of the host function that took it.
    pub fn restore(&self, mut store: impl AsContextMut, results: &[Val]) -> Error {
        let store = store.as_context_mut();
        self.ask(&mut store.0.inner, |store, snapshot| {
            let types = snapshot.result_types();
            let fits = |(given, ty): (&Val, &ValType)| match ty {
                ValType::Ref(_) => store.check_value(&given.clone().into(), *ty).is_ok(),
                _ => given.ty() == *ty,
            };
            if results.len() != types.len() || !results.iter().zip(types).all(fits) {
                let wanted = wardian_types::FuncType::new([], types.to_vec());
                let given: Vec<_> = results.iter().map(Val::ty).collect();
                let given = wardian_types::FuncType::new([], given);
                return Err(Error::usage(
                    UsageKind::Type,
                    format!(
                        "a snapshot is restored with the results of the function that took it, \
                     {wanted}, not {given}"
                    ),
                ));
            }
            let mut slots = vec![0; types.iter().map(|t| t.slots()).sum()];
            store.write_values(results.iter().cloned().map(Into::into), &mut slots)?;
            Ok(slots)
        })
    }

    /// The types of the results that it is restored with: those of the host function that took it.
    pub fn result_types(&self) -> &[wardian_types::ValType] {
        self.0.result_types()
    }

    /// As [`Snapshot::restore`], with results as raw slots: a `v128` takes two, everything else one;
    /// references are handles, which are checked.
    pub fn restore_raw(&self, mut store: impl AsContextMut, results: &[u64]) -> Error {
        let store = store.as_context_mut();
        self.ask(&mut store.0.inner, |store, snapshot| {
            Ok(store.results_for(snapshot, results.to_vec())?)
        })
    }

    fn ask(
        &self,
        store: &mut StoreInner,
        slots: impl FnOnce(&mut StoreInner, &SnapshotData) -> Result<Vec<u64>>,
    ) -> Error {
        let asked = store
            .check_restore(&self.0)
            .map_err(Error::from)
            .and_then(|()| slots(store, &self.0))
            .map(|results| store.request_restore(&self.0, results));
        match asked {
            Ok(()) => Error::new(ErrorKind::Restored),
            Err(error) => error,
        }
    }
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Snapshot").finish_non_exhaustive()
    }
}
