//! Linkers.

use super::errors::misuse;
use super::{or_trap, text, trap_of};
use crate::items::{Callback, Code, WithEnvironment};
use crate::reference::{Reference, What};
use crate::store::{Data, Handle};
use crate::types::Type;
use crate::{give, take};
use std::ffi::{c_char, c_void};
use wardian::{Caller, Engine, Error, Linker, Val};

/// `wardian_linker_t`.
pub struct Linkage(pub(super) Linker<Data>);

#[unsafe(no_mangle)]
pub unsafe extern "C" fn wardian_linker_new(engine: *mut Engine) -> *mut Linkage {
    // SAFETY: see the crate's documentation.
    give(Linkage(Linker::new(unsafe { &*engine })))
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn wardian_linker_delete(linker: *mut Linkage) {
    // SAFETY: see the crate's documentation.
    drop(unsafe { take(linker) });
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn wardian_linker_define_func(
    linker: *mut Linkage,
    store: *mut Handle,
    module: *const c_char,
    name: *const c_char,
    ty: *const Type,
    code: WithEnvironment,
    environment: *mut c_void,
    finalizer: Option<extern "C" fn(*mut c_void)>,
) -> *mut Reference {
    let callback = Callback { code: Code::WithEnvironment(code), environment, finalizer };
    // SAFETY: see the crate's documentation.
    unsafe {
        let define = || {
            let ty = (*ty).func().ok_or_else(|| misuse("the type is none of functions"))?;
            let types = ty.results().to_vec();
            let closure = move |caller: Caller<'_, Data>, params: &[Val], out: &mut [Val]| {
                let store = caller.data().handle.upgrade();
                let store = store.ok_or_else(|| Error::host("the store is being dropped"))?;
                callback.call(&store, caller, &types, params, out)
            };
            (*linker).0.func_new(text(module)?, text(name)?, ty.clone(), closure).map(drop)
        };
        trap_of(&*store, define())
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn wardian_linker_define(
    linker: *mut Linkage,
    store: *mut Handle,
    module: *const c_char,
    name: *const c_char,
    item: *const Reference,
) -> *mut Reference {
    // SAFETY: see the crate's documentation.
    unsafe {
        let define = || {
            let item = (*item).item().cloned();
            let item = item.ok_or_else(|| misuse("it is nothing that can be imported"))?;
            (*linker).0.define(text(module)?, text(name)?, item).map(drop)
        };
        trap_of(&*store, define())
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn wardian_linker_define_wasi(
    linker: *mut Linkage,
    store: *mut Handle,
) -> *mut Reference {
    // SAFETY: see the crate's documentation.
    unsafe {
        let done = wardian_wasi::add_to_linker(&mut (*linker).0, |data: &mut Data| &mut data.wasi);
        trap_of(&*store, done)
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn wardian_linker_instantiate(
    linker: *const Linkage,
    store: *mut Handle,
    module: *const Reference,
    trap_out: *mut *mut Reference,
) -> *mut Reference {
    // SAFETY: see the crate's documentation.
    unsafe {
        let store = &*store;
        let module = (*module).module().ok_or_else(|| misuse("it is no module"));
        let made = module
            .and_then(|module| store.with(|context| (*linker).0.instantiate(context, module)));
        let Some(instance) = or_trap(store, trap_out, made) else { return std::ptr::null_mut() };
        store.add_instance(instance);
        give(Reference::new(store, What::Instance(instance)))
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn wardian_instance_export(
    instance: *const Reference,
    name: *const c_char,
) -> *mut Reference {
    // SAFETY: see the crate's documentation.
    unsafe {
        let (What::Instance(of), Ok(name)) = (&(*instance).what, text(name)) else {
            return std::ptr::null_mut();
        };
        let store = &(*instance).store;
        let item = store.with(|context| of.get_export(context, name));
        item.map_or(std::ptr::null_mut(), |item| store.item(item))
    }
}
