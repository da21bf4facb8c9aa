//! Functions, globals, tables and memories.

use crate::reference::{Reference, What};
use crate::store::{Data, Handle};
use crate::trap;
use crate::types::{FUNC, GLOBAL, MEMORY, TABLE, TAG, Type};
use crate::value::{Value, read_reference};
use crate::vector::{Element, Vector};
use crate::wardian::errors::misuse;
use std::ffi::c_void;
use wardian::{
    Caller, Error, Extern, ExternType, Func, FuncType, Global, Memory, Table, Val, ValType,
};

pub(crate) type Plain =
    unsafe extern "C" fn(*const Vector<Value>, *mut Vector<Value>) -> *mut Reference;
pub(crate) type WithEnvironment =
    unsafe extern "C" fn(*mut c_void, *const Vector<Value>, *mut Vector<Value>) -> *mut Reference;

/// A function of C's.
#[derive(Clone, Copy)]
pub(crate) enum Code {
    Plain(Plain),
    WithEnvironment(WithEnvironment),
}

/// A function of C's, with what it is given.
pub(crate) struct Callback {
    pub(crate) code: Code,
    pub(crate) environment: *mut c_void,
    pub(crate) finalizer: Option<extern "C" fn(*mut c_void)>,
}

// SAFETY: it is called where its store is used, and C takes care of what it is given.
unsafe impl Send for Callback {}
// SAFETY: as above.
unsafe impl Sync for Callback {}

impl Drop for Callback {
    fn drop(&mut self) {
        if let Some(finalizer) = self.finalizer {
            finalizer(self.environment);
        }
    }
}

impl Callback {
    /// Calls it for a guest.
    pub(crate) fn call(
        &self,
        store: &Handle,
        mut caller: Caller<'_, Data>,
        types: &[ValType],
        params: &[Val],
        out: &mut [Val],
    ) -> wardian::Result<()> {
        let mut arguments = Vector::new(params.iter().map(|v| Value::new(store, v)).collect());
        let mut results = Vector::new(types.iter().map(|_| Value::empty()).collect());
        // SAFETY: the function takes such vectors, as C has said.
        let failed = store.in_callback(&mut caller, || unsafe {
            match self.code {
                Code::Plain(code) => code(&arguments, &mut results),
                Code::WithEnvironment(code) => code(self.environment, &arguments, &mut results),
            }
        });
        arguments.delete();
        let mut read = || {
            for ((out, result), ty) in out.iter_mut().zip(results.as_slice()).zip(types) {
                *out = result
                    .read(*ty)
                    .map_err(|why| misuse(format!("a callback's result: {why}")))?;
            }
            Ok(())
        };
        let done = if failed.is_null() { read() } else { Err(trap::error(failed)) };
        results.delete();
        done
    }
}

fn new_func(store: &Handle, ty: &Type, callback: Callback) -> *mut Reference {
    let Some(ty) = ty.func().cloned() else { return std::ptr::null_mut() };
    let weak = store.downgrade();
    let types = ty.results().to_vec();
    let closure = move |caller: Caller<'_, Data>, params: &[Val], out: &mut [Val]| {
        let store = weak.upgrade().ok_or_else(|| Error::host("the store is being dropped"))?;
        callback.call(&store, caller, &types, params, out)
    };
    let func = store.with(|context| Func::try_new(context, ty, closure));
    func.map_or(std::ptr::null_mut(), |func| store.item(Extern::Func(func)))
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn wasm_func_new(
    store: *mut Handle,
    ty: *const Type,
    code: Plain,
) -> *mut Reference {
    let callback =
        Callback { code: Code::Plain(code), environment: std::ptr::null_mut(), finalizer: None };
    // SAFETY: see the crate's documentation.
    unsafe { new_func(&*store, &*ty, callback) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn wasm_func_new_with_env(
    store: *mut Handle,
    ty: *const Type,
    code: WithEnvironment,
    environment: *mut c_void,
    finalizer: Option<extern "C" fn(*mut c_void)>,
) -> *mut Reference {
    let callback = Callback { code: Code::WithEnvironment(code), environment, finalizer };
    // SAFETY: see the crate's documentation.
    unsafe { new_func(&*store, &*ty, callback) }
}

fn func(reference: &Reference) -> Option<(Func, FuncType)> {
    let Some(Extern::Func(func)) = reference.item() else { return None };
    Some((*func, reference.store.with(|context| func.ty(&context))))
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn wasm_func_param_arity(reference: *const Reference) -> usize {
    // SAFETY: see the crate's documentation.
    func(unsafe { &*reference }).map_or(0, |(_, ty)| ty.params().len())
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn wasm_func_result_arity(reference: *const Reference) -> usize {
    // SAFETY: see the crate's documentation.
    func(unsafe { &*reference }).map_or(0, |(_, ty)| ty.results().len())
}

/// The results are written to the vector, which has as many elements as there are results; what was in them is not
/// deleted. A null vector stands for an empty one.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wasm_func_call(
    reference: *const Reference,
    arguments: *const Vector<Value>,
    results: *mut Vector<Value>,
) -> *mut Reference {
    // SAFETY: see the crate's documentation.
    let (reference, arguments, results) = unsafe {
        let arguments = arguments.as_ref().map(Vector::as_slice).unwrap_or_default();
        let results = results.as_mut().map(Vector::as_mut_slice).unwrap_or_default();
        (&*reference, arguments, results)
    };
    // A callback may delete the reference.
    let store = reference.store.clone();
    let Some((func, ty)) = func(reference) else {
        return trap::message(&store, "what was called is no function".into());
    };
    let (wanted, given) = (ty.params().len(), arguments.len());
    if wanted != given || ty.results().len() != results.len() {
        let results = (ty.results().len(), results.len());
        return trap::message(
            &store,
            format!(
                "the function takes {wanted} arguments and gives {} results; it was called with {given} and room for {}",
                results.0, results.1
            ),
        );
    }
    let values = arguments.iter().zip(ty.params()).map(|(value, ty)| value.read(*ty));
    let values = match values.collect::<Result<Vec<_>, _>>() {
        Ok(values) => values,
        Err(why) => return trap::message(&store, why),
    };
    let mut out: Vec<Val> = ty.results().iter().map(|ty| Val::zero(*ty)).collect();
    match store.with(|context| func.call(context, &values, &mut out)) {
        Ok(()) => {
            for (result, value) in results.iter_mut().zip(&out) {
                // What was there is not deleted: values are bits to Rust.
                *result = Value::new(&store, value);
            }
            std::ptr::null_mut()
        }
        Err(error) => trap::trap(&store, error),
    }
}

/// Null if the value does not fit the type.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wasm_global_new(
    store: *mut Handle,
    ty: *const Type,
    value: *const Value,
) -> *mut Reference {
    // SAFETY: see the crate's documentation.
    let (store, ty, value) = unsafe { (&*store, &(*ty).ty, &*value) };
    let ExternType::Global(ty) = ty else { return std::ptr::null_mut() };
    let made = value.read(ty.content).map_err(misuse);
    let made = made.and_then(|value| store.with(|context| Global::new(context, *ty, value)));
    made.map_or(std::ptr::null_mut(), |global| store.item(Extern::Global(global)))
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn wasm_global_get(reference: *const Reference, out: *mut Value) {
    // SAFETY: see the crate's documentation.
    unsafe {
        let reference = &*reference;
        let value = match reference.item() {
            Some(Extern::Global(global)) => {
                Value::new(&reference.store, &reference.store.with(|context| global.get(&context)))
            }
            _ => Value::empty(),
        };
        out.write(value);
    }
}

/// Nothing happens if the global cannot be changed, or the value does not fit.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wasm_global_set(reference: *mut Reference, value: *const Value) {
    // SAFETY: see the crate's documentation.
    let (reference, value) = unsafe { (&*reference, &*value) };
    if let Some(Extern::Global(global)) = reference.item()
        && let Ok(value) = value.read(global.ty().content)
    {
        let _ = reference.store.with(|context| global.set(context, value));
    }
}

/// Null if the element does not fit the type.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wasm_table_new(
    store: *mut Handle,
    ty: *const Type,
    element: *mut Reference,
) -> *mut Reference {
    // SAFETY: see the crate's documentation.
    let (store, ty, element) = unsafe { (&*store, &(*ty).ty, element.as_ref()) };
    let ExternType::Table(ty) = ty else { return std::ptr::null_mut() };
    let element = read_reference(ValType::Ref(ty.element), element);
    let made =
        element.and_then(|element| store.with(|context| Table::new(context, *ty, element)).ok());
    made.map_or(std::ptr::null_mut(), |table| store.item(Extern::Table(table)))
}

/// Null of a null element, and outside of the table.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wasm_table_get(reference: *const Reference, index: u32) -> *mut Reference {
    // SAFETY: see the crate's documentation.
    let reference = unsafe { &*reference };
    let Some(Extern::Table(table)) = reference.item() else { return std::ptr::null_mut() };
    let store = &reference.store;
    match store.with(|context| table.get(&context, u64::from(index))) {
        Some(Val::FuncRef(Some(func))) => store.item(Extern::Func(func)),
        Some(Val::ExternRef(Some(value))) => crate::give(Reference::of_externref(store, &value)),
        None
        | Some(Val::FuncRef(None) | Val::ExternRef(None) | Val::AnyRef(None) | Val::ExnRef(None)) => {
            std::ptr::null_mut()
        }
        Some(value) => crate::give(Reference::new(store, What::Value(value))),
    }
}

/// A table with a value for its elements; none if the reference is no such value.
fn table_and_element(reference: &Reference, element: Option<&Reference>) -> Option<(Table, Val)> {
    let Some(Extern::Table(table)) = reference.item() else { return None };
    let ty = reference.store.with(|context| table.ty(&context));
    Some((*table, read_reference(ValType::Ref(ty.element), element)?))
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn wasm_table_set(
    reference: *mut Reference,
    index: u32,
    element: *mut Reference,
) -> bool {
    // SAFETY: see the crate's documentation.
    let (reference, element) = unsafe { (&*reference, element.as_ref()) };
    table_and_element(reference, element).is_some_and(|(table, element)| {
        reference.store.with(|context| table.set(context, u64::from(index), element)).is_ok()
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn wasm_table_size(reference: *const Reference) -> u32 {
    // SAFETY: see the crate's documentation.
    let reference = unsafe { &*reference };
    let Some(Extern::Table(table)) = reference.item() else { return 0 };
    u32::try_from(reference.store.with(|context| table.size(&context))).unwrap_or(u32::MAX)
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn wasm_table_grow(
    reference: *mut Reference,
    delta: u32,
    element: *mut Reference,
) -> bool {
    // SAFETY: see the crate's documentation.
    let (reference, element) = unsafe { (&*reference, element.as_ref()) };
    table_and_element(reference, element).is_some_and(|(table, element)| {
        reference.store.with(|context| table.grow(context, u64::from(delta), element)).is_ok()
    })
}

/// Null if there is no memory for it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wasm_memory_new(store: *mut Handle, ty: *const Type) -> *mut Reference {
    // SAFETY: see the crate's documentation.
    let (store, ty) = unsafe { (&*store, &(*ty).ty) };
    let ExternType::Memory(ty) = ty else { return std::ptr::null_mut() };
    let made = store.with(|context| Memory::new(context, *ty));
    made.map_or(std::ptr::null_mut(), |memory| store.item(Extern::Memory(memory)))
}

/// Valid until the memory grows. Null of a memory that threads share, which `wardian.h` reads and writes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wasm_memory_data(reference: *mut Reference) -> *mut u8 {
    // SAFETY: see the crate's documentation.
    let reference = unsafe { &*reference };
    let Some(Extern::Memory(memory)) = reference.item() else { return std::ptr::null_mut() };
    reference.store.with(|context| memory.data_mut(context).as_mut_ptr())
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn wasm_memory_data_size(reference: *const Reference) -> usize {
    // SAFETY: see the crate's documentation.
    let reference = unsafe { &*reference };
    match reference.item() {
        Some(Extern::Memory(memory)) => {
            reference.store.with(|context| memory.data_mut(context).len())
        }
        Some(Extern::SharedMemory(memory)) => memory.len(),
        _ => 0,
    }
}

/// In pages, of the size that its type has.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wasm_memory_size(reference: *const Reference) -> u32 {
    // SAFETY: see the crate's documentation.
    let reference = unsafe { &*reference };
    let pages = match reference.item() {
        Some(Extern::Memory(memory)) => reference.store.with(|context| memory.size(&context)),
        Some(Extern::SharedMemory(memory)) => memory.size(),
        _ => 0,
    };
    u32::try_from(pages).unwrap_or(u32::MAX)
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn wasm_memory_grow(reference: *mut Reference, delta: u32) -> bool {
    // SAFETY: see the crate's documentation.
    let reference = unsafe { &*reference };
    match reference.item() {
        Some(Extern::Memory(memory)) => {
            reference.store.with(|context| memory.grow(context, u64::from(delta))).is_ok()
        }
        Some(Extern::SharedMemory(memory)) => memory.grow(u64::from(delta)).is_ok(),
        _ => false,
    }
}

fn type_of(reference: &Reference) -> *mut Type {
    let ty = reference.item().map(|item| reference.store.with(|context| item.ty(&context)));
    ty.map_or(std::ptr::null_mut(), |ty| crate::give(Type::new(ty)))
}

/// The types of things, with their present size as minimum.
macro_rules! types {
    ($($name:ident)*) => {$(
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $name(reference: *const Reference) -> *mut Type {
            // SAFETY: see the crate's documentation.
            type_of(unsafe { &*reference })
        }
    )*};
}

types! { wasm_func_type wasm_global_type wasm_table_type wasm_memory_type wasm_extern_type }

#[unsafe(no_mangle)]
pub unsafe extern "C" fn wasm_extern_kind(reference: *const Reference) -> u8 {
    // SAFETY: see the crate's documentation.
    match unsafe { (*reference).item() } {
        Some(Extern::Func(_)) => FUNC,
        Some(Extern::Global(_)) => GLOBAL,
        Some(Extern::Table(_)) => TABLE,
        Some(Extern::Memory(_) | Extern::SharedMemory(_)) => MEMORY,
        _ => TAG,
    }
}
