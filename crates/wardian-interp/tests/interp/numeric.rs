//! Arithmetic at its edges.
