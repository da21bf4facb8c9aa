//! Instances.

use crate::give;
use crate::reference::{Reference, What};
use crate::store::Handle;
use crate::vector::Vector;
use crate::wardian::errors::misuse;
use crate::wardian::or_trap;
use wardian::Instance;

/// Null if it is not made; then a trap says why, also where an import does not fit. Otherwise the place for it gets null.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wasm_instance_new(
    store: *mut Handle,
    module: *const Reference,
    imports: *const Vector<*mut Reference>,
    trap_out: *mut *mut Reference,
) -> *mut Reference {
    // SAFETY: see the crate's documentation.
    let (store, module, imports) = unsafe {
        let imports = imports.as_ref().map(Vector::as_slice).unwrap_or_default();
        (&*store, (*module).module(), imports)
    };
    // SAFETY: as above.
    let items =
        imports.iter().map(|import| unsafe { import.as_ref() }.and_then(Reference::item).cloned());
    let made = match (module, items.collect::<Option<Vec<_>>>()) {
        (Some(module), Some(items)) => store.with(|context| Instance::new(context, module, &items)),
        _ => Err(misuse("an import is null, or nothing that can be imported")),
    };
    // SAFETY: null, or a place for a trap.
    let Some(instance) = (unsafe { or_trap(store, trap_out, made) }) else {
        return std::ptr::null_mut();
    };
    store.add_instance(instance);
    give(Reference::new(store, What::Instance(instance)))
}

/// In the order of the module.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wasm_instance_exports(
    instance: *const Reference,
    out: *mut Vector<*mut Reference>,
) {
    // SAFETY: see the crate's documentation.
    unsafe {
        let reference = &*instance;
        let exports = match &reference.what {
            What::Instance(instance) => reference.store.with(|context| instance.exports(context)),
            _ => Vec::new(),
        };
        let exports = exports.into_iter().map(|(_, item)| reference.store.item(item));
        out.write(Vector::new(exports.collect()));
    }
}
