//! Why guests are to stop, as bits say it.

use crate::error::StopReason;
use wardian_vm::interrupt::reason;

/// The reason for which work is to stop; `cancelled` are the bits that mean it was cancelled.
pub fn stop_reason(reasons: u64, cancelled: u64) -> Option<StopReason> {
    if reasons & cancelled != 0 {
        Some(StopReason::Cancelled)
    } else if reasons & reason::DEADLINE != 0 {
        Some(StopReason::Deadline)
    } else {
        None
    }
}
