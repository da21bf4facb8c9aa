//! Vectors of `wasm.h`: a size and a pointer, owned with their elements.

use crate::reference::Reference;
use crate::trap::Frame;
use crate::types::{Export, Import, Type, ValueType};
use crate::value::Value;
use crate::{give, take};

/// `wasm_*_vec_t`.
#[repr(C)]
pub struct Vector<E> {
    size: usize,
    data: *mut E,
}

/// An element of a vector.
pub(crate) trait Element: Sized {
    /// One that is not initialised, but harmless.
    fn empty() -> Self;
    /// Another one that is the same.
    fn copied(&self) -> Self;
    /// Ends the ownership of it.
    fn delete(self);
}

impl<E: Element> Vector<E> {
    pub(crate) fn new(elements: Vec<E>) -> Vector<E> {
        let elements = elements.into_boxed_slice();
        let size = elements.len();
        let data = if size == 0 { std::ptr::null_mut() } else { Box::into_raw(elements).cast() };
        Vector { size, data }
    }

    pub(crate) fn as_slice(&self) -> &[E] {
        match self.size {
            0 => &[],
            // SAFETY: as C has made it, or `new`.
            size => unsafe { std::slice::from_raw_parts(self.data, size) },
        }
    }

    pub(crate) fn as_mut_slice(&mut self) -> &mut [E] {
        match self.size {
            0 => &mut [],
            // SAFETY: as above, and the borrow is exclusive.
            size => unsafe { std::slice::from_raw_parts_mut(self.data, size) },
        }
    }

    /// The elements; the vector is empty afterwards.
    pub(crate) fn take(&mut self) -> Vec<E> {
        let (size, data) = (self.size, self.data);
        (self.size, self.data) = (0, std::ptr::null_mut());
        match size {
            0 => Vec::new(),
            // SAFETY: made by `new`, from a boxed slice of this length.
            size => unsafe {
                Box::from_raw(std::ptr::slice_from_raw_parts_mut(data, size)).into_vec()
            },
        }
    }

    pub(crate) fn copied(&self) -> Vector<E> {
        Vector::new(self.as_slice().iter().map(Element::copied).collect())
    }

    pub(crate) fn delete(&mut self) {
        self.take().into_iter().for_each(Element::delete);
    }
}

impl Element for u8 {
    fn empty() -> u8 {
        0
    }

    fn copied(&self) -> u8 {
        *self
    }

    fn delete(self) {}
}

/// Pointers to what C owns.
impl<T: Clone> Element for *mut T {
    fn empty() -> Self {
        std::ptr::null_mut()
    }

    fn copied(&self) -> Self {
        // SAFETY: elements are null or valid.
        unsafe { self.as_ref() }.map_or(std::ptr::null_mut(), |value| give(value.clone()))
    }

    fn delete(self) {
        // SAFETY: elements are owned.
        drop(unsafe { take(self) });
    }
}

macro_rules! vectors {
    ($($element:ty: $empty:ident $uninitialized:ident $new:ident $copy:ident $delete:ident)*) => {$(
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $empty(out: *mut Vector<$element>) {
            // SAFETY: see the crate's documentation.
            unsafe { out.write(Vector::new(Vec::new())) }
        }

        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $uninitialized(out: *mut Vector<$element>, size: usize) {
            let elements = (0..size).map(|_| <$element>::empty()).collect();
            // SAFETY: see the crate's documentation.
            unsafe { out.write(Vector::new(elements)) }
        }

        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $new(out: *mut Vector<$element>, size: usize, from: *const $element) {
            // SAFETY: see the crate's documentation. The elements are given away bit by bit.
            unsafe {
                let elements = (0..size).map(|at| from.add(at).read()).collect();
                out.write(Vector::new(elements));
            }
        }

        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $copy(out: *mut Vector<$element>, from: *const Vector<$element>) {
            // SAFETY: see the crate's documentation.
            unsafe { out.write((*from).copied()) }
        }

        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $delete(vector: *mut Vector<$element>) {
            // SAFETY: see the crate's documentation.
            unsafe { (*vector).delete() }
        }
    )*};
}

vectors! {
    u8: wasm_byte_vec_new_empty wasm_byte_vec_new_uninitialized wasm_byte_vec_new wasm_byte_vec_copy wasm_byte_vec_delete
    Value: wasm_val_vec_new_empty wasm_val_vec_new_uninitialized wasm_val_vec_new wasm_val_vec_copy wasm_val_vec_delete
    *mut ValueType: wasm_valtype_vec_new_empty wasm_valtype_vec_new_uninitialized wasm_valtype_vec_new
        wasm_valtype_vec_copy wasm_valtype_vec_delete
    *mut Import: wasm_importtype_vec_new_empty wasm_importtype_vec_new_uninitialized wasm_importtype_vec_new
        wasm_importtype_vec_copy wasm_importtype_vec_delete
    *mut Export: wasm_exporttype_vec_new_empty wasm_exporttype_vec_new_uninitialized wasm_exporttype_vec_new
        wasm_exporttype_vec_copy wasm_exporttype_vec_delete
    *mut Frame: wasm_frame_vec_new_empty wasm_frame_vec_new_uninitialized wasm_frame_vec_new
        wasm_frame_vec_copy wasm_frame_vec_delete
    *mut Reference: wasm_extern_vec_new_empty wasm_extern_vec_new_uninitialized wasm_extern_vec_new
        wasm_extern_vec_copy wasm_extern_vec_delete
    *mut Type: wasm_functype_vec_new_empty wasm_functype_vec_new_uninitialized wasm_functype_vec_new
        wasm_functype_vec_copy wasm_functype_vec_delete
}

/// The vectors of the other types are the same.
macro_rules! type_vectors {
    ($($empty:ident $uninitialized:ident $new:ident $copy:ident $delete:ident)*) => {$(
        vectors! { *mut Type: $empty $uninitialized $new $copy $delete }
    )*};
}

type_vectors! {
    wasm_globaltype_vec_new_empty wasm_globaltype_vec_new_uninitialized wasm_globaltype_vec_new
        wasm_globaltype_vec_copy wasm_globaltype_vec_delete
    wasm_tabletype_vec_new_empty wasm_tabletype_vec_new_uninitialized wasm_tabletype_vec_new
        wasm_tabletype_vec_copy wasm_tabletype_vec_delete
    wasm_memorytype_vec_new_empty wasm_memorytype_vec_new_uninitialized wasm_memorytype_vec_new
        wasm_memorytype_vec_copy wasm_memorytype_vec_delete
    wasm_tagtype_vec_new_empty wasm_tagtype_vec_new_uninitialized wasm_tagtype_vec_new
        wasm_tagtype_vec_copy wasm_tagtype_vec_delete
    wasm_externtype_vec_new_empty wasm_externtype_vec_new_uninitialized wasm_externtype_vec_new
        wasm_externtype_vec_copy wasm_externtype_vec_delete
}
