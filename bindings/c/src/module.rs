//! Modules.

use crate::reference::{Reference, What, WithInfo};
use crate::store::Handle;
use crate::types::{Export, Import};
use crate::vector::Vector;
use crate::{give, take};
use wardian::{Engine, Module};

pub(crate) fn reference(store: &Handle, module: Module) -> *mut Reference {
    give(Reference::new(store, What::Module(WithInfo::new(module))))
}

/// Null if the bytes, binary or text, are no valid module: `wardian_module_new` says why.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wasm_module_new(
    store: *mut Handle,
    bytes: *const Vector<u8>,
) -> *mut Reference {
    // SAFETY: see the crate's documentation.
    let (store, bytes) = unsafe { (&*store, (*bytes).as_slice()) };
    Module::new(&store.engine(), bytes).map_or(std::ptr::null_mut(), |m| reference(store, m))
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn wasm_module_validate(
    store: *mut Handle,
    bytes: *const Vector<u8>,
) -> bool {
    // SAFETY: see the crate's documentation.
    let (store, bytes) = unsafe { (&*store, (*bytes).as_slice()) };
    Module::validate(&store.engine(), bytes).is_ok()
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn wasm_module_imports(
    module: *const Reference,
    out: *mut Vector<*mut Import>,
) {
    // SAFETY: see the crate's documentation.
    unsafe {
        let module = (*module).module();
        let imports = module.into_iter().flat_map(Module::imports);
        out.write(Vector::new(imports.map(|(m, n, ty)| give(Import::new(m, n, ty))).collect()));
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn wasm_module_exports(
    module: *const Reference,
    out: *mut Vector<*mut Export>,
) {
    // SAFETY: see the crate's documentation.
    unsafe {
        let module = (*module).module();
        let exports = module.into_iter().flat_map(Module::exports);
        out.write(Vector::new(exports.map(|(name, ty)| give(Export::new(name, ty))).collect()));
    }
}

/// Empty if the module has no code that could be written: that of an interpreting engine.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wasm_module_serialize(module: *const Reference, out: *mut Vector<u8>) {
    // SAFETY: see the crate's documentation.
    unsafe {
        let bytes = (*module).module().and_then(|module| module.serialize().ok());
        out.write(Vector::new(bytes.unwrap_or_default()));
    }
}

/// The bytes have to come from [`wasm_module_serialize`]: what they hold is executed. Null if they are of another engine's
/// configuration or another build.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wasm_module_deserialize(
    store: *mut Handle,
    bytes: *const Vector<u8>,
) -> *mut Reference {
    // SAFETY: see the crate's documentation; the bytes are ours, as C promises.
    unsafe {
        let store = &*store;
        let module = Module::deserialize(&store.engine(), (*bytes).as_slice());
        module.map_or(std::ptr::null_mut(), |module| reference(store, module))
    }
}

/// `wasm_shared_module_t`.
pub struct SharedModule(Module);

#[unsafe(no_mangle)]
pub unsafe extern "C" fn wasm_module_share(module: *const Reference) -> *mut SharedModule {
    // SAFETY: see the crate's documentation.
    let module = unsafe { (*module).module() };
    module.map_or(std::ptr::null_mut(), |module| give(SharedModule(module.clone())))
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn wasm_shared_module_delete(module: *mut SharedModule) {
    // SAFETY: see the crate's documentation.
    drop(unsafe { take(module) });
}

/// In a store of another engine it is compiled again. Null if that engine refuses it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wasm_module_obtain(
    store: *mut Handle,
    shared: *const SharedModule,
) -> *mut Reference {
    // SAFETY: see the crate's documentation.
    let (store, SharedModule(module)) = unsafe { (&*store, &*shared) };
    let engine = store.engine();
    let module = match Engine::same(module.engine(), &engine) {
        true => Ok(module.clone()),
        false => Module::new(&engine, module.bytes()),
    };
    module.map_or(std::ptr::null_mut(), |module| reference(store, module))
}
