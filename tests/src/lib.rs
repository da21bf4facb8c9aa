//! This package only holds tests: see `spec` and `behaviour`.
