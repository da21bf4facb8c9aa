//! A WebAssembly runtime that its embedder can see into and control
