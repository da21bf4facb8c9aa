//! How an instance is made: its name, who is notified when it is closed, where imports come from.

use super::errors::misuse;
use super::linker::Linkage;
use super::{or_trap, text};
use crate::reference::{Reference, What};
use crate::store::{Data, Handle};
use crate::types::Type;
use crate::{give, take};
use std::ffi::{CString, c_char, c_void};
use wardian::{
    Error, InstantiateOptions, StoreContextMut,
    close::ClosingInstance,
    resolver::{ImportRequest, Resolution},
};

/// `wardian_instantiation_t`.
pub struct Instantiation(InstantiateOptions<Data>);

impl Instantiation {
    pub(super) fn set(
        &mut self,
        with: impl FnOnce(InstantiateOptions<Data>) -> InstantiateOptions<Data>,
    ) {
        self.0 = with(std::mem::replace(&mut self.0, InstantiateOptions::new()));
    }
}

/// What C gives to be passed to its functions, with what ends it.
pub(super) struct Environment {
    pub(super) pointer: *mut c_void,
    pub(super) finalizer: Option<extern "C" fn(*mut c_void)>,
}

// SAFETY: where it is used on other threads than that of the store, the header says so to C.
unsafe impl Send for Environment {}
// SAFETY: as above.
unsafe impl Sync for Environment {}

impl Drop for Environment {
    fn drop(&mut self) {
        if let Some(finalizer) = self.finalizer {
            finalizer(self.pointer);
        }
    }
}

/// A text for C; a zero in it ends it.
fn c_text(text: &str) -> CString {
    CString::new(text.split('\0').next().unwrap_or_default()).unwrap_or_default()
}

#[unsafe(no_mangle)]
pub extern "C" fn wardian_instantiation_new() -> *mut Instantiation {
    give(Instantiation(InstantiateOptions::new()))
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn wardian_instantiation_delete(options: *mut Instantiation) {
    // SAFETY: see the crate's documentation.
    drop(unsafe { take(options) });
}

/// False if the name is not UTF-8.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wardian_instantiation_name(
    options: *mut Instantiation,
    name: *const c_char,
) -> bool {
    // SAFETY: see the crate's documentation.
    unsafe {
        let Ok(name) = text(name) else { return false };
        (*options).set(|options| options.with_name(name));
        true
    }
}

type OnClose = unsafe extern "C" fn(*mut c_void, *const c_char, u32);

#[unsafe(no_mangle)]
pub unsafe extern "C" fn wardian_instantiation_on_close(
    options: *mut Instantiation,
    notify: OnClose,
    environment: *mut c_void,
    finalizer: Option<extern "C" fn(*mut c_void)>,
) {
    let environment = Environment { pointer: environment, finalizer };
    let notify = move |instance: &ClosingInstance, code: u32| {
        let name = instance.name().map(c_text);
        let name = name.as_ref().map_or(std::ptr::null(), |name| name.as_ptr());
        let environment = &environment;
        // SAFETY: the function takes these, as C has said.
        unsafe { notify(environment.pointer, name, code) }
    };
    let notifier = wardian::close::CloseNotifyFunc::new(notify);
    // SAFETY: see the crate's documentation.
    unsafe { (*options).set(|options| options.with_close_notifier(notifier)) }
}

type Resolve = unsafe extern "C" fn(
    *mut c_void,
    *mut Handle,
    *const c_char,
    *const c_char,
    *const Type,
    *mut *mut Reference,
) -> *mut Reference;

#[unsafe(no_mangle)]
pub unsafe extern "C" fn wardian_instantiation_resolver(
    options: *mut Instantiation,
    resolve: Resolve,
    environment: *mut c_void,
    finalizer: Option<extern "C" fn(*mut c_void)>,
) {
    let environment = Environment { pointer: environment, finalizer };
    let resolver = move |mut store: StoreContextMut<'_, Data>, request: &ImportRequest<'_>| {
        let environment = &environment;
        let handle = store.data().handle.upgrade();
        let handle = handle.ok_or_else(|| Error::host("the store is being dropped"))?;
        let (module, name) = (c_text(request.module()), c_text(request.name()));
        let ty = Type::new(request.ty().clone());
        let mut failed = std::ptr::null_mut();
        let lent = &mut handle.clone();
        // SAFETY: the function takes these, as C has said; what it gives is its own to give.
        let found = handle.lending(&mut store, || unsafe {
            take(resolve(
                environment.pointer,
                lent,
                module.as_ptr(),
                name.as_ptr(),
                &ty,
                &mut failed,
            ))
        });
        match found {
            _ if !failed.is_null() => Err(crate::trap::error(failed)),
            None => Ok(Resolution::Unresolved),
            Some(found) => match found.what {
                What::Extern(item) => Ok(Resolution::Extern(item)),
                _ => Err(misuse("a resolver gave something that cannot be imported")),
            },
        }
    };
    // SAFETY: see the crate's documentation.
    unsafe { (*options).set(|options| options.with_import_resolver(resolver)) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn wardian_linker_instantiate_with(
    linker: *const Linkage,
    store: *mut Handle,
    module: *const Reference,
    options: *const Instantiation,
    trap_out: *mut *mut Reference,
) -> *mut Reference {
    // SAFETY: see the crate's documentation.
    unsafe {
        let store = &*store;
        let make = || {
            let module = (*module).module().ok_or_else(|| misuse("it is no module"))?;
            store.with(|context| (*linker).0.instantiate_with(context, module, &(*options).0))
        };
        let Some(instance) = or_trap(store, trap_out, make()) else { return std::ptr::null_mut() };
        store.add_instance(instance);
        give(Reference::new(store, What::Instance(instance)))
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn wardian_instance_close(instance: *const Reference, code: u32) -> bool {
    // SAFETY: see the crate's documentation.
    unsafe {
        let What::Instance(of) = &(*instance).what else { return false };
        (*instance).store.with(|context| of.close_with_exit_code(context, code))
    }
}
