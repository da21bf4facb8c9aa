//! Configurations, engines, and stores, which all that refers to them keeps alive.

use crate::reference::Info;
use crate::{give, take};
use std::cell::{Cell, RefCell, UnsafeCell};
use std::collections::HashMap;
use std::ptr::NonNull;
use std::sync::Arc;
use wardian::{
    AsContextMut, Caller, Config, Engine, Extern, Instance, Store, StoreContextMut,
    limits::StoreLimits,
};
use wardian_wasi::WasiCtx;

/// The data of a store.
pub(crate) struct Data {
    pub(crate) limits: StoreLimits,
    pub(crate) wasi: WasiCtx,
    /// The store that it is the data of.
    pub(crate) handle: WeakHandle,
    /// The same, of the store of a guest's thread, which nobody else keeps alive.
    pub(crate) owner: Option<Handle>,
}

impl Data {
    /// Without limits, and with nothing of WASI.
    pub(crate) fn new() -> Data {
        let (limits, wasi) = (StoreLimits::default(), WasiCtx::builder().build());
        Data { limits, wasi, handle: WeakHandle(std::sync::Weak::new()), owner: None }
    }
}

/// `wasm_config_t`.
pub struct Configuration(pub(crate) Config);

#[unsafe(no_mangle)]
pub extern "C" fn wasm_config_new() -> *mut Configuration {
    give(Configuration(Config::new()))
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn wasm_config_delete(config: *mut Configuration) {
    // SAFETY: see the crate's documentation.
    drop(unsafe { take(config) });
}

#[unsafe(no_mangle)]
pub extern "C" fn wasm_engine_new() -> *mut Engine {
    Engine::new(&Config::new()).map_or(std::ptr::null_mut(), give)
}

/// Null if the configuration does not work here.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wasm_engine_new_with_config(config: *mut Configuration) -> *mut Engine {
    // SAFETY: see the crate's documentation.
    let config = unsafe { take(config) };
    let engine = config.and_then(|config| Engine::new(&config.0).ok());
    engine.map_or(std::ptr::null_mut(), give)
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn wasm_engine_delete(engine: *mut Engine) {
    // SAFETY: see the crate's documentation.
    drop(unsafe { take(engine) });
}

/// A store, shared by all that refers to it: what is behind `wasm_store_t`.
#[derive(Clone)]
pub struct Handle(Arc<Shared>);

// SAFETY: C uses a store, with all that refers to it, on one thread at a time.
unsafe impl Send for Handle {}
// SAFETY: as above.
unsafe impl Sync for Handle {}

struct Shared {
    /// None if the store is that of a guest's thread, which C has only in callbacks.
    store: Option<UnsafeCell<Store<Data>>>,
    /// Who has the store, while a callback runs.
    lent: Cell<Option<Lent>>,
    /// What C has attached to things that live as long as the store.
    infos: RefCell<HashMap<Key, Info>>,
    /// Instances that were made, to be found again for frames.
    instances: RefCell<Vec<Instance>>,
}

impl Shared {
    fn of(store: Option<UnsafeCell<Store<Data>>>) -> Shared {
        let (infos, instances) = Default::default();
        Shared { store, lent: Cell::new(None), infos, instances }
    }

    /// # Panics
    ///
    /// The store is that of a guest's thread, and no callback runs.
    fn cell(&self) -> &UnsafeCell<Store<Data>> {
        self.store.as_ref().expect("the store of a guest's thread is used in its callbacks only")
    }
}

/// By what the innermost callback that runs has the store.
#[derive(Clone, Copy)]
enum Lent {
    /// A host function.
    Caller(NonNull<Caller<'static, Data>>),
    /// A resolver of imports.
    Context(NonNull<StoreContextMut<'static, Data>>),
}

thread_local! {
    /// See [`Handle::current`].
    static CURRENT: RefCell<Option<Handle>> = const { RefCell::new(None) };
}

/// Something of a store that C can attach something to.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Key {
    Func(wardian::Func),
    Global(wardian::Global),
    Table(wardian::Table),
    Memory(wardian::Memory),
    Instance(Instance),
}

impl Handle {
    pub(crate) fn new(engine: &Engine) -> Handle {
        let mut store = Store::new(engine, Data::new());
        store.limiter(|data| &mut data.limits);
        Handle::of(store)
    }

    pub(crate) fn of(mut store: Store<Data>) -> Handle {
        store.enable_snapshots(true);
        Handle(Arc::new_cyclic(|weak| {
            store.data_mut().handle = WeakHandle(weak.clone());
            Shared::of(Some(UnsafeCell::new(store)))
        }))
    }

    /// What stands for the store of a guest's thread, which C has only in callbacks.
    #[allow(clippy::arc_with_non_send_sync, reason = "a `Handle` is, by what C promises")]
    pub(crate) fn of_thread(store: &mut Store<Data>) {
        store.enable_snapshots(true);
        let handle = Handle(Arc::new(Shared::of(None)));
        let data = store.data_mut();
        data.handle = handle.downgrade();
        data.owner = Some(handle);
    }

    /// Works with the store: that of the callback that runs, if one does.
    pub(crate) fn with<R>(&self, work: impl FnOnce(StoreContextMut<'_, Data>) -> R) -> R {
        // A callback may give up the last reference to the store.
        let shared = self.0.clone();
        // SAFETY: one thread uses the store at a time. Without a callback nobody borrows it: `work` calls C only through
        // callbacks. During a callback the call that it was made in lies still, and the store is its caller's.
        unsafe {
            match shared.lent.get() {
                Some(Lent::Caller(mut caller)) => work(caller.as_mut().as_context_mut()),
                Some(Lent::Context(mut context)) => work(context.as_mut().as_context_mut()),
                None => work((*shared.cell().get()).as_context_mut()),
            }
        }
    }

    /// The store itself, unless a callback runs.
    pub(crate) fn idle<R>(&self, work: impl FnOnce(&mut Store<Data>) -> R) -> Option<R> {
        let shared = self.0.clone();
        if shared.lent.get().is_some() {
            return None;
        }
        // SAFETY: as in `with`.
        Some(work(unsafe { &mut *shared.cell().get() }))
    }

    /// The caller of the callback that runs.
    pub(crate) fn calling<R>(&self, work: impl FnOnce(&mut Caller<'_, Data>) -> R) -> Option<R> {
        let Lent::Caller(mut caller) = self.0.lent.get()? else { return None };
        // SAFETY: it is there until the callback returns, and nobody else uses it now.
        Some(work(unsafe { caller.as_mut() }))
    }

    /// Runs a callback with its caller.
    pub(crate) fn in_callback<R>(
        &self,
        caller: &mut Caller<'_, Data>,
        work: impl FnOnce() -> R,
    ) -> R {
        // The lifetime is that of the call, at whose end what was there before is put back.
        self.lend(Lent::Caller(NonNull::from(caller).cast()), work)
    }

    /// Runs a resolver of imports with the store that it was lent.
    pub(crate) fn lending<R>(
        &self,
        store: &mut StoreContextMut<'_, Data>,
        work: impl FnOnce() -> R,
    ) -> R {
        // As in `in_callback`.
        self.lend(Lent::Context(NonNull::from(store).cast()), work)
    }

    fn lend<R>(&self, lent: Lent, work: impl FnOnce() -> R) -> R {
        struct Restore<'a>(&'a Handle, Option<Lent>, Option<Handle>);
        impl Drop for Restore<'_> {
            fn drop(&mut self) {
                self.0.0.lent.set(self.1);
                CURRENT.replace(self.2.take());
            }
        }
        let outer = CURRENT.replace(Some(self.clone()));
        let _restore = Restore(self, self.0.lent.replace(Some(lent)), outer);
        work()
    }

    /// The store of the innermost callback that runs on this thread.
    pub(crate) fn current() -> Option<Handle> {
        CURRENT.with_borrow(Clone::clone)
    }

    pub(crate) fn engine(&self) -> Engine {
        self.with(|store| store.engine().clone())
    }

    pub(crate) fn same(&self, other: &Handle) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// A pointer that does not keep the store alive, for what lies in the store.
    pub(crate) fn downgrade(&self) -> WeakHandle {
        WeakHandle(Arc::downgrade(&self.0))
    }

    pub(crate) fn info<R>(&self, work: impl FnOnce(&mut HashMap<Key, Info>) -> R) -> R {
        work(&mut self.0.infos.borrow_mut())
    }

    pub(crate) fn add_instance(&self, instance: Instance) {
        self.0.instances.borrow_mut().push(instance);
    }

    /// The instance of a module, if there is one only.
    pub(crate) fn instance_of(&self, module: &wardian::Module) -> Option<Instance> {
        let instances = self.0.instances.borrow().clone();
        let mut of = instances
            .into_iter()
            .filter(|i| self.with(|store| wardian::Module::same(&i.module(&store), module)));
        of.next().filter(|_| of.next().is_none())
    }

    /// Something of the store as a reference.
    pub(crate) fn item(&self, item: Extern) -> *mut crate::reference::Reference {
        give(crate::reference::Reference::new(self, crate::reference::What::Extern(item)))
    }
}

/// See [`Handle::downgrade`].
#[derive(Clone)]
pub(crate) struct WeakHandle(std::sync::Weak<Shared>);

// SAFETY: closures that have it run only where their store is used.
unsafe impl Send for WeakHandle {}
// SAFETY: as above.
unsafe impl Sync for WeakHandle {}

impl WeakHandle {
    pub(crate) fn upgrade(&self) -> Option<Handle> {
        self.0.upgrade().map(Handle)
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn wasm_store_new(engine: *mut Engine) -> *mut Handle {
    // SAFETY: see the crate's documentation.
    give(Handle::new(unsafe { &*engine }))
}

/// The store goes with the last thing that refers to it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wasm_store_delete(store: *mut Handle) {
    // SAFETY: see the crate's documentation.
    drop(unsafe { take(store) });
}
