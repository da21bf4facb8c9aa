//! x
pub(crate) fn run(_: &[u8]) {} pub(crate) fn seeds() -> Vec<Vec<u8>> { crate::seeds::few() }
