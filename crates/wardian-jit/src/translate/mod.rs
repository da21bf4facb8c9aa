//! WebAssembly operators to Cranelift's intermediate representation.
//!
//! One pass over a body. The operand stack holds SSA values; locals are Cranelift variables,
//! declared when first touched, so that a function may have tens of thousands of them for free.
//! Vectors are `i8x16` on the operand stack and wherever they cross a block or a call.
//!
//! **Invariant:** bodies were validated; what a wrong body can still cause here is an error or a
//! panic that the driver catches, never wrong memory accesses of the compiler itself.

mod arrays;
mod atomic;
mod branch_table;
mod bulk;
mod call;
mod capture;
mod casts;
mod control;
mod convert;
mod env;
mod exceptions;
mod fuel;
mod inline;
mod inlined;
mod leaf;
mod loop_entry;
mod memory;
mod numeric;
mod objects;
mod refusal;
mod simd;
mod simd_arith;
mod simd_memory;
mod state;
mod table;
mod unroll;
mod variable;

pub(crate) use env::{Env, clif_type, guest_signature, loop_signature, stub_convention};
pub(crate) use state::{Fail, Translated, Translator};
