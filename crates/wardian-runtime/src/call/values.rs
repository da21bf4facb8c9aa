//! Values of the embedder's as guests hold them, and back.

use crate::error::UsageKind;
use crate::ids::FuncId;
use crate::store::inner::StoreInner;
use crate::value::{ExternRef, Func, Val};
use crate::{Error, Result};
use wardian_types::{DeclaredType, FuncType, HeapType, RefType, ValType};

impl StoreInner {
    /// Checks that a value is one of a type.
    ///
    /// # Errors
    ///
    /// It is not; the error says what it is.
    pub fn check_value(&self, value: &Val, ty: ValType) -> Result<(), String> {
        let fits = match (value, ty) {
            (Val::FuncRef(None), ValType::Ref(r)) => r.nullable && r.is_func(),
            (Val::ExternRef(None), ValType::Ref(r)) => r.nullable && r.is_extern(),
            (Val::AnyRef(None), ValType::Ref(r)) => r.nullable && r.is_any(),
            (Val::ExnRef(None), ValType::Ref(r)) => r.nullable && r.is_exn(),
            (
                Val::FuncRef(Some(func)),
                ValType::Ref(RefType { heap: HeapType::Concrete(of), .. }),
            ) => {
                // Of a function of another store the caller says so.
                func.store != self.id() || self.is_of_type(func.index, of)
            }
            (Val::AnyRef(Some(any)), ValType::Ref(r)) => {
                // As above.
                r.is_any() && (any.store != self.id() || self.is_any_of(any, r.heap))
            }
            (value, ty) => match (value.ty(), ty) {
                (ValType::Ref(found), ValType::Ref(wanted)) => found.heap == wanted.heap,
                (found, wanted) => found == wanted,
            },
        };
        if fits {
            return Ok(());
        }
        Err(match value {
            Val::FuncRef(None) | Val::ExternRef(None) | Val::AnyRef(None) | Val::ExnRef(None)
                if ty.is_ref() =>
            {
                "null".into()
            }
            Val::FuncRef(Some(func)) if func.store == self.id() && ty.is_func_ref() => {
                format!("function {}", self.func_type(func.index))
            }
            other => other.ty().to_string(),
        })
    }

    /// Whether a function of the store is of a declared type.
    pub(crate) fn is_of_type(&self, func: FuncId, of: DeclaredType) -> bool {
        let DeclaredType::Engine(of) = of else { return false };
        self.engine().signatures().is_subtype(self.vm_func(func).sig, of)
    }

    /// Writes a value as guests hold it.
    pub fn write_value(&mut self, value: &Val, slots: &mut [u64]) -> Result<()> {
        slots[0] = match value {
            Val::I32(v) => u64::from(*v as u32),
            Val::I64(v) => *v as u64,
            Val::F32(bits) => u64::from(*bits),
            Val::F64(bits) => *bits,
            Val::V128(v) => {
                slots[1] = (v >> 64) as u64;
                *v as u64
            }
            Val::FuncRef(func) => self.func_to_reference(func.as_ref())?,
            Val::ExternRef(value) => self.extern_to_handle(value.as_ref())?,
            Val::AnyRef(None) | Val::ExnRef(None) => 0,
            Val::AnyRef(Some(value)) => self.reference_of(value)?.as_word(),
            Val::ExnRef(Some(exception)) => self.exception_to_handle(exception)?,
        };
        Ok(())
    }

    /// Writes values one after the other.
    pub fn write_values(
        &mut self,
        values: impl IntoIterator<Item = Val>,
        slots: &mut [u64],
    ) -> Result<()> {
        let mut at = 0;
        for value in values {
            self.write_value(&value, &mut slots[at..])?;
            at += value.ty().slots();
        }
        Ok(())
    }

    /// Reads values that lie one after the other.
    ///
    /// # Safety
    ///
    /// As for [`StoreInner::read_value`], for each.
    pub unsafe fn read_values(
        &self,
        types: &[ValType],
        slots: &[u64],
        mut each: impl FnMut(usize, Val),
    ) {
        let mut at = 0;
        for (index, ty) in types.iter().enumerate() {
            // SAFETY: the caller's promise.
            each(index, unsafe { self.read_value(*ty, &slots[at..]) });
            at += ty.slots();
        }
    }

    pub(crate) fn func_to_reference(&self, func: Option<&Func>) -> Result<u64> {
        let Some(func) = func else { return Ok(0) };
        if func.store != self.id() {
            return Err(Error::usage(UsageKind::OtherStore, "a function of another store"));
        }
        Ok(self.reference_to(func.index))
    }

    pub(crate) fn extern_to_handle(&mut self, value: Option<&ExternRef>) -> Result<u64> {
        value.map_or(Ok(0), |value| self.extern_to_word(value))
    }

    /// Reads a value as guests hold it.
    ///
    /// # Safety
    ///
    /// The slots hold a value of this type from a guest of this store, or from
    /// [`Self::write_value`].
    pub unsafe fn read_value(&self, ty: ValType, slots: &[u64]) -> Val {
        match ty {
            ValType::I32 => Val::I32(slots[0] as i32),
            ValType::I64 => Val::I64(slots[0] as i64),
            ValType::F32 => Val::F32(slots[0] as u32),
            ValType::F64 => Val::F64(slots[0]),
            ValType::V128 => Val::V128(u128::from(slots[1]) << 64 | u128::from(slots[0])),
            ValType::Ref(r) if r.is_func() => {
                // SAFETY: the caller's promise.
                Val::FuncRef(unsafe { self.func_from_reference(slots[0]) })
            }
            ValType::Ref(r) if r.is_any() => Val::AnyRef(self.hold(slots[0])),
            ValType::Ref(r) if r.is_exn() => Val::ExnRef(self.exception_of(slots[0])),
            ValType::Ref(_) => Val::ExternRef(self.extern_of_word(slots[0])),
        }
    }

    /// # Safety
    ///
    /// As for [`StoreInner::read_value`].
    pub(crate) unsafe fn func_from_reference(&self, reference: u64) -> Option<Func> {
        // SAFETY: the caller's promise.
        let index = unsafe { self.func_of_reference(reference)? };
        Some(Func { store: self.id(), index })
    }

    /// Frees the embedder's values that no guest holds any more, if there are many.
    ///
    /// Only to be called when every handle is in a table, in a global, or on the wasm stack.
    #[inline]
    pub(crate) fn collect_if_due(&mut self) {
        if self.externrefs.is_full() || self.exceptions.is_full() {
            self.collect_garbage(true);
        }
    }

    /// Slots for a call of a function of this type: its arguments, as guests hold them, and room for its results.
    ///
    /// # Errors
    ///
    /// The values are not of the types of its parameters.
    pub(crate) fn arguments(
        &mut self,
        ty: &FuncType,
        params: impl Iterator<Item = Val> + Clone,
    ) -> Result<Vec<u64>> {
        self.collect_if_due();
        let (mut slots, mut at) = (vec![0; ty.buffer_slots().max(1)], 0);
        let mut values = params.clone();
        for (index, wanted) in ty.params().iter().enumerate() {
            let Some(value) = values.next() else { return Err(wrong_arguments(ty, params, None)) };
            if let Err(found) = self.check_value(&value, *wanted) {
                let why = format!(": argument {index} is {found}, which is no {wanted}");
                return Err(wrong_arguments(ty, params, Some(why)));
            }
            self.write_value(&value, &mut slots[at..])?;
            at += wanted.slots();
        }
        match values.next() {
            Some(_) => Err(wrong_arguments(ty, params, None)),
            None => Ok(slots),
        }
    }
}

/// The error of a call with these arguments: their number is wrong or, if not, `why` says which of them is.
#[cold]
fn wrong_arguments(ty: &FuncType, given: impl Iterator<Item = Val>, why: Option<String>) -> Error {
    let given = FuncType::new(given.map(|value| value.ty()), []);
    let why = why.filter(|_| given.params().len() == ty.params().len()).unwrap_or_default();
    let message = format!("the function is {ty}, but was called with {given}{why}");
    Error::usage(UsageKind::Type, message)
}
