//! What the tests of this package have in common: see `spec`, `behaviour` and `differential`.

pub mod time_limit;
