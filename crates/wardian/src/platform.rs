//! What the system lets Wardian do here.

pub use wardian_vm::probe::{Ability, abilities};
