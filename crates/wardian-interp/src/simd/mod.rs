//! The operators of vectors, as functions of 128-bit numbers.
//!
//! They bear the names of the operators. Lanes are numbered from the least significant bits. A scalar
//! that is taken or given is the value of a slot: 32-bit integers zero-extended, floats as their bits.
//! Whatever only moves a float moves bits, so no NaN is changed by it.
//!
//! The optimiser makes vector instructions of what is done to lanes of 32 and 64 bits. It does not for
//! narrower ones: they are packed into words of 64 bits, and computed with all at once where that
//! is possible ([`packed`]). Callers help it by composing a vector of two 64-bit loads. On x86-64 the
//! executor does most of this by other means, but what is here says what it has to give.

mod access;
mod bits;
mod compare;
mod convert;
mod float;
mod integer;
mod lanes;
mod packed;
mod relaxed;
#[cfg(test)]
mod tests;
mod widen;

pub(crate) use access::*;
pub(crate) use bits::*;
pub(crate) use compare::*;
pub(crate) use convert::*;
pub(crate) use float::*;
pub(crate) use integer::*;
pub(crate) use relaxed::*;
pub(crate) use widen::*;
