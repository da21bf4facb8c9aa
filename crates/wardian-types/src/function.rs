//! Function signatures.

use crate::{DeclaredType, ValType};
use std::fmt;
use std::sync::Arc;

/// A function signature: parameter types to result types. Cheap to clone.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct FuncType {
    types: Arc<[ValType]>,
    params: u32,
}

impl FuncType {
    /// The signature with these parameters and results.
    pub fn new(
        params: impl IntoIterator<Item = ValType>,
        results: impl IntoIterator<Item = ValType>,
    ) -> FuncType {
        let mut types: Vec<ValType> = params.into_iter().collect();
        let params = u32::try_from(types.len()).expect("fewer than 2^32 parameters");
        types.extend(results);
        FuncType { types: types.into(), params }
    }

    /// The types that parameters and results name, as often as they do.
    pub fn named(&self) -> impl Iterator<Item = DeclaredType> + '_ {
        self.types.iter().filter_map(|ty| ty.named())
    }

    /// The same signature with other names for the types that it names.
    pub fn renamed(&self, mut rename: impl FnMut(DeclaredType) -> DeclaredType) -> FuncType {
        if self.named().next().is_none() {
            return self.clone();
        }
        let types = self.types.iter().map(|ty| ty.renamed(&mut rename)).collect();
        FuncType { types, params: self.params }
    }

    /// The parameter types, in order.
    pub fn params(&self) -> &[ValType] {
        &self.types[..self.params as usize]
    }

    /// The result types, in order.
    pub fn results(&self) -> &[ValType] {
        &self.types[self.params as usize..]
    }

    /// How many 64-bit slots the parameters take.
    pub fn param_slots(&self) -> usize {
        self.params().iter().map(|t| t.slots()).sum()
    }

    /// How many 64-bit slots the results take.
    pub fn result_slots(&self) -> usize {
        self.results().iter().map(|t| t.slots()).sum()
    }

    /// Length in slots of the buffer that carries arguments in and results out of a call.
    pub fn buffer_slots(&self) -> usize {
        self.param_slots().max(self.result_slots())
    }
}

impl fmt::Display for FuncType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |f: &mut fmt::Formatter<'_>, types: &[ValType]| {
            f.write_str("(")?;
            for (i, t) in types.iter().enumerate() {
                write!(f, "{}{t}", if i == 0 { "" } else { ", " })?;
            }
            f.write_str(")")
        };
        list(f, self.params())?;
        f.write_str(" -> ")?;
        list(f, self.results())
    }
}

impl fmt::Debug for FuncType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
