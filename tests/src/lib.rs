//! This package only holds tests: see `spec`, `behaviour` and `differential`.
