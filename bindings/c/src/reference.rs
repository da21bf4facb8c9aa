//! References: one type for all kinds, so that the casts of `wasm.h` are casts.

use crate::store::{Handle, Key};
use crate::trap::TrapData;
use crate::{give, take};
use std::ffi::c_void;
use std::sync::{Arc, Mutex};
use wardian::{Extern, ExternRef, Instance, Module, Val};

/// `wasm_ref_t`, and what is one.
#[derive(Clone)]
pub struct Reference {
    pub(crate) store: Handle,
    pub(crate) what: What,
}

/// What a reference refers to.
#[derive(Clone)]
pub(crate) enum What {
    Extern(Extern),
    Instance(Instance),
    Module(Arc<WithInfo<Module>>),
    Trap(Arc<WithInfo<TrapData>>),
    Foreign(Arc<WithInfo<()>>),
    /// A value that a guest holds and that C has not made: an `externref` of others, an object, an exception.
    Value(Val),
}

// SAFETY: what C attaches is used where the store is used; all else can be sent anyway.
unsafe impl Send for What {}
// SAFETY: as above.
unsafe impl Sync for What {}

/// What C attaches to a thing.
pub(crate) struct Info {
    data: *mut c_void,
    finalizer: Option<extern "C" fn(*mut c_void)>,
}

impl Info {
    const NONE: Info = Info { data: std::ptr::null_mut(), finalizer: None };
}

impl Drop for Info {
    fn drop(&mut self) {
        if let Some(finalizer) = self.finalizer {
            finalizer(self.data);
        }
    }
}

/// A thing that is no part of a store, with what is attached to it.
pub(crate) struct WithInfo<V> {
    pub(crate) value: V,
    info: Mutex<Info>,
}

// SAFETY: as for `What`.
unsafe impl<V: Send> Send for WithInfo<V> {}
// SAFETY: as for `What`.
unsafe impl<V: Sync> Sync for WithInfo<V> {}

impl<V> WithInfo<V> {
    pub(crate) fn new(value: V) -> Arc<WithInfo<V>> {
        Arc::new(WithInfo { value, info: Mutex::new(Info::NONE) })
    }
}

impl Reference {
    pub(crate) fn new(store: &Handle, what: What) -> Reference {
        Reference { store: store.clone(), what }
    }

    pub(crate) fn item(&self) -> Option<&Extern> {
        match &self.what {
            What::Extern(item) => Some(item),
            _ => None,
        }
    }

    pub(crate) fn module(&self) -> Option<&Module> {
        match &self.what {
            What::Module(module) => Some(&module.value),
            _ => None,
        }
    }

    pub(crate) fn trap(&self) -> Option<&TrapData> {
        match &self.what {
            What::Trap(trap) => Some(&trap.value),
            _ => None,
        }
    }

    /// As a value of the embedder's, which guests hold. It does not keep the store alive.
    pub(crate) fn to_externref(&self) -> ExternRef {
        match &self.what {
            What::Value(Val::ExternRef(Some(value))) => value.clone(),
            what => ExternRef::new(what.clone()),
        }
    }

    /// What a value of the embedder's refers to.
    pub(crate) fn of_externref(store: &Handle, value: &ExternRef) -> Reference {
        let known = value.data().downcast_ref::<What>();
        let what =
            known.cloned().unwrap_or_else(|| What::Value(Val::ExternRef(Some(value.clone()))));
        Reference::new(store, what)
    }

    fn same(&self, other: &Reference) -> bool {
        match (&self.what, &other.what) {
            (What::Module(a), What::Module(b)) => Module::same(&a.value, &b.value),
            (What::Trap(a), What::Trap(b)) => Arc::ptr_eq(a, b),
            (What::Foreign(a), What::Foreign(b)) => Arc::ptr_eq(a, b),
            (What::Value(a), What::Value(b)) => a == b,
            _ => match (self.key(), other.key()) {
                (Some(a), Some(b)) => a == b && self.store.same(&other.store),
                _ => false,
            },
        }
    }

    fn key(&self) -> Option<Key> {
        Some(match &self.what {
            What::Instance(instance) => Key::Instance(*instance),
            What::Extern(Extern::Func(func)) => Key::Func(*func),
            What::Extern(Extern::Global(global)) => Key::Global(*global),
            What::Extern(Extern::Table(table)) => Key::Table(*table),
            What::Extern(Extern::Memory(memory)) => Key::Memory(*memory),
            _ => return None,
        })
    }

    fn info(&self) -> *mut c_void {
        let of = |info: &Mutex<Info>| info.lock().map_or(std::ptr::null_mut(), |info| info.data);
        match &self.what {
            What::Module(module) => of(&module.info),
            What::Trap(trap) => of(&trap.info),
            What::Foreign(foreign) => of(&foreign.info),
            _ => self.key().map_or(std::ptr::null_mut(), |key| {
                self.store.info(|all| all.get(&key).map_or(std::ptr::null_mut(), |info| info.data))
            }),
        }
    }

    fn set_info(&self, data: *mut c_void, finalizer: Option<extern "C" fn(*mut c_void)>) {
        let info = Info { data, finalizer };
        let set = |at: &Mutex<Info>, info| {
            let mut at = at.lock().unwrap_or_else(|e| e.into_inner());
            std::mem::replace(&mut *at, info)
        };
        let before = match &self.what {
            What::Module(module) => Some(set(&module.info, info)),
            What::Trap(trap) => Some(set(&trap.info, info)),
            What::Foreign(foreign) => Some(set(&foreign.info, info)),
            _ => match self.key() {
                Some(key) => self.store.info(|all| all.insert(key, info)),
                None => Some(info),
            },
        };
        // The finalizer may use the store.
        drop(before);
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn wasm_foreign_new(store: *mut Handle) -> *mut Reference {
    // SAFETY: see the crate's documentation.
    give(Reference::new(unsafe { &*store }, What::Foreign(WithInfo::new(()))))
}

macro_rules! references {
    ($($delete:ident $copy:ident $same:ident $get:ident $set:ident $set_with:ident)*) => {$(
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $delete(reference: *mut Reference) {
            // SAFETY: see the crate's documentation.
            drop(unsafe { take(reference) });
        }

        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $copy(reference: *const Reference) -> *mut Reference {
            // SAFETY: see the crate's documentation.
            unsafe { reference.as_ref() }.map_or(std::ptr::null_mut(), |reference| give(reference.clone()))
        }

        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $same(one: *const Reference, other: *const Reference) -> bool {
            // SAFETY: see the crate's documentation.
            match unsafe { (one.as_ref(), other.as_ref()) } {
                (Some(one), Some(other)) => one.same(other),
                (one, other) => one.is_none() && other.is_none(),
            }
        }

        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $get(reference: *const Reference) -> *mut c_void {
            // SAFETY: see the crate's documentation.
            unsafe { (*reference).info() }
        }

        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $set(reference: *mut Reference, data: *mut c_void) {
            // SAFETY: see the crate's documentation.
            unsafe { (*reference).set_info(data, None) }
        }

        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $set_with(
            reference: *mut Reference,
            data: *mut c_void,
            finalizer: Option<extern "C" fn(*mut c_void)>,
        ) {
            // SAFETY: see the crate's documentation.
            unsafe { (*reference).set_info(data, finalizer) }
        }
    )*};
}

references! {
    wasm_ref_delete wasm_ref_copy wasm_ref_same
        wasm_ref_get_host_info wasm_ref_set_host_info wasm_ref_set_host_info_with_finalizer
    wasm_trap_delete wasm_trap_copy wasm_trap_same
        wasm_trap_get_host_info wasm_trap_set_host_info wasm_trap_set_host_info_with_finalizer
    wasm_foreign_delete wasm_foreign_copy wasm_foreign_same
        wasm_foreign_get_host_info wasm_foreign_set_host_info wasm_foreign_set_host_info_with_finalizer
    wasm_module_delete wasm_module_copy wasm_module_same
        wasm_module_get_host_info wasm_module_set_host_info wasm_module_set_host_info_with_finalizer
    wasm_func_delete wasm_func_copy wasm_func_same
        wasm_func_get_host_info wasm_func_set_host_info wasm_func_set_host_info_with_finalizer
    wasm_global_delete wasm_global_copy wasm_global_same
        wasm_global_get_host_info wasm_global_set_host_info wasm_global_set_host_info_with_finalizer
    wasm_table_delete wasm_table_copy wasm_table_same
        wasm_table_get_host_info wasm_table_set_host_info wasm_table_set_host_info_with_finalizer
    wasm_memory_delete wasm_memory_copy wasm_memory_same
        wasm_memory_get_host_info wasm_memory_set_host_info wasm_memory_set_host_info_with_finalizer
    wasm_extern_delete wasm_extern_copy wasm_extern_same
        wasm_extern_get_host_info wasm_extern_set_host_info wasm_extern_set_host_info_with_finalizer
    wasm_instance_delete wasm_instance_copy wasm_instance_same
        wasm_instance_get_host_info wasm_instance_set_host_info wasm_instance_set_host_info_with_finalizer
}

/// Casts to a reference, and back, which give null if it refers to another kind of thing.
macro_rules! casts {
    ($($pattern:pat => $up:ident $up_const:ident $down:ident $down_const:ident)*) => {$(
        #[unsafe(no_mangle)]
        pub extern "C" fn $up(reference: *mut Reference) -> *mut Reference {
            reference
        }

        #[unsafe(no_mangle)]
        pub extern "C" fn $up_const(reference: *const Reference) -> *const Reference {
            reference
        }

        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $down(reference: *mut Reference) -> *mut Reference {
            // SAFETY: see the crate's documentation.
            match unsafe { reference.as_ref() } {
                Some(Reference { what: $pattern, .. }) => reference,
                _ => std::ptr::null_mut(),
            }
        }

        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $down_const(reference: *const Reference) -> *const Reference {
            // SAFETY: see the crate's documentation.
            match unsafe { reference.as_ref() } {
                Some(Reference { what: $pattern, .. }) => reference,
                _ => std::ptr::null(),
            }
        }
    )*};
}

casts! {
    What::Trap(_) => wasm_trap_as_ref wasm_trap_as_ref_const wasm_ref_as_trap wasm_ref_as_trap_const
    What::Foreign(_) => wasm_foreign_as_ref wasm_foreign_as_ref_const wasm_ref_as_foreign wasm_ref_as_foreign_const
    What::Module(_) => wasm_module_as_ref wasm_module_as_ref_const wasm_ref_as_module wasm_ref_as_module_const
    What::Instance(_) => wasm_instance_as_ref wasm_instance_as_ref_const wasm_ref_as_instance
        wasm_ref_as_instance_const
    What::Extern(_) => wasm_extern_as_ref wasm_extern_as_ref_const wasm_ref_as_extern wasm_ref_as_extern_const
    What::Extern(Extern::Func(_)) => wasm_func_as_ref wasm_func_as_ref_const wasm_ref_as_func
        wasm_ref_as_func_const
    What::Extern(Extern::Global(_)) => wasm_global_as_ref wasm_global_as_ref_const wasm_ref_as_global
        wasm_ref_as_global_const
    What::Extern(Extern::Table(_)) => wasm_table_as_ref wasm_table_as_ref_const wasm_ref_as_table
        wasm_ref_as_table_const
    What::Extern(Extern::Memory(_) | Extern::SharedMemory(_)) => wasm_memory_as_ref wasm_memory_as_ref_const
        wasm_ref_as_memory wasm_ref_as_memory_const
    What::Extern(Extern::Func(_)) => wasm_func_as_extern wasm_func_as_extern_const wasm_extern_as_func
        wasm_extern_as_func_const
    What::Extern(Extern::Global(_)) => wasm_global_as_extern wasm_global_as_extern_const wasm_extern_as_global
        wasm_extern_as_global_const
    What::Extern(Extern::Table(_)) => wasm_table_as_extern wasm_table_as_extern_const wasm_extern_as_table
        wasm_extern_as_table_const
    What::Extern(Extern::Memory(_) | Extern::SharedMemory(_)) => wasm_memory_as_extern
        wasm_memory_as_extern_const wasm_extern_as_memory wasm_extern_as_memory_const
}
