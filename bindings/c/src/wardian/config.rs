//! Configurations.

use crate::store::Configuration;
use wardian::{EngineKind, checkpoint::Checkpoints};

#[unsafe(no_mangle)]
pub unsafe extern "C" fn wardian_config_engine(config: *mut Configuration, kind: u32) {
    let kind = match kind {
        1 => EngineKind::Compiled,
        2 => EngineKind::Interpreted,
        _ => EngineKind::Tiered,
    };
    // SAFETY: see the crate's documentation.
    unsafe { (*config).0.engine(kind) };
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn wardian_config_fuel(config: *mut Configuration, on: bool) {
    // SAFETY: see the crate's documentation.
    unsafe { (*config).0.fuel(on) };
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn wardian_config_stack_size(config: *mut Configuration, bytes: usize) {
    // SAFETY: see the crate's documentation.
    unsafe { (*config).0.stack_size(bytes) };
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn wardian_config_checkpoints(config: *mut Configuration, where_: u32) {
    let checkpoints = match where_ {
        1 => Checkpoints::Calls,
        2 => Checkpoints::CallsAndLoops,
        _ => Checkpoints::Off,
    };
    // SAFETY: see the crate's documentation.
    unsafe { (*config).0.checkpoints(checkpoints) };
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn wardian_config_forkable_memories(config: *mut Configuration, on: bool) {
    // SAFETY: see the crate's documentation.
    unsafe { (*config).0.forkable_memories(on) };
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn wardian_config_lazy_validation(config: *mut Configuration, on: bool) {
    // SAFETY: see the crate's documentation.
    unsafe { (*config).0.lazy_validation(on) };
}
