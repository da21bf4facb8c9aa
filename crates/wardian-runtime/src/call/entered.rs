//! Which instances a store runs.

use wardian_vm::addr::VmCtxPtr;
use wardian_vm::interrupt::Interrupter;

/// Whether a call is running that was made through one of these contexts.
pub(crate) fn any_entered(interrupter: &Interrupter, contexts: &[VmCtxPtr]) -> bool {
    // SAFETY: the contexts come from `Shared::link`, which got them from the interrupter's store.
    unsafe { interrupter.any_entered(contexts) }
}
