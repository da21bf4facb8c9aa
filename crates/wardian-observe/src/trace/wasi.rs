//! Calls of WASI in words, as `wardian_types::wasi` describes its functions.

mod read;
#[cfg(test)]
mod tests;

pub(super) use read::Reader;

use wardian::{FuncType, ValType};
use wardian_types::wasi::names::ERRNO;
use wardian_types::wasi::{Function, ResultKind, Slot};

/// A function of WASI.
#[derive(Clone, Copy)]
pub(super) struct System {
    function: &'static Function,
    /// Whether it is that of `wasi_unstable`.
    unstable: bool,
}

/// The function of WASI that is imported by this name, if it has the type that it should have.
pub(super) fn find(module: &str, name: &str, ty: &FuncType) -> Option<System> {
    let function = Function::find(module, name)?;
    let of_slot = |slot: &Slot| match slot {
        Slot::I32 => ValType::I32,
        Slot::I64 => ValType::I64,
    };
    let params = function.param_slots().map(|slot| of_slot(&slot));
    let results = function.result_slots().iter().map(of_slot);
    let fits = ty.params().iter().copied().eq(params) && ty.results().iter().copied().eq(results);
    fits.then_some(System { function, unstable: module == "wasi_unstable" })
}

impl System {
    /// The name of the error with this number, or the number in hexadecimal if it has none.
    pub(super) fn error(self, results: &[u64]) -> Option<&'static str> {
        let result = results.first().map(|slot| *slot as u32)?;
        match self.function.result {
            ResultKind::Errno if result != 0 => {
                Some(ERRNO.get(result as usize).copied().unwrap_or("unknown errno"))
            }
            ResultKind::Thread if (result as i32) < 0 => Some("no thread"),
            _ => None,
        }
    }

    /// Whether its own result is more than success or failure.
    pub(super) fn has_value(self) -> bool {
        self.function.result != ResultKind::Errno
    }
}
