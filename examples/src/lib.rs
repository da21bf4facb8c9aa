//! This package only holds examples: see the files beside `Cargo.toml`.
