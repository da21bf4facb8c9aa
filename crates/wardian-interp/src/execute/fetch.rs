//! Reading the operands of the instruction that is executed.

use crate::op;
use crate::operand::{Branch, D, D32, D64, DW, Far, I32, Operand, S, SW, U16, U32, U64, V128, W};
use crate::table::instructions;

/// An instruction, or operand, that can be read from code.
pub(super) trait Fetch: Sized {
    /// # Safety
    ///
    /// It begins at `at`.
    unsafe fn fetch(at: *const u16) -> Self;
}

macro_rules! operands {
    ($($kind:ident: $ty:ty;)*) => { $(
        impl Fetch for $kind {
            #[inline(always)]
            unsafe fn fetch(at: *const u16) -> Self {
                // SAFETY: the caller's promise. Code is a sequence of units, so nothing else is aligned.
                $kind(unsafe { at.cast::<$ty>().read_unaligned() }.into())
            }
        }
    )* };
}

operands! {
    S: i16;
    D: i16;
    D32: i16;
    D64: i16;
    W: i16;
    SW: i16;
    DW: i16;
    Far: i32;
    U16: u16;
    U32: u32;
    I32: i32;
    U64: u64;
    V128: u128;
    Branch: i32;
}

macro_rules! fetch {
    ($($shape:tt => $($name:ident)+;)*) => { $($(fetch_one! { $name $shape })+)* };
}

macro_rules! fetch_one {
    ($name:ident { $($field:ident: $kind:ident),* }) => {
        impl Fetch for op::$name {
            #[inline(always)]
            #[allow(unused, reason = "some have no operands")]
            unsafe fn fetch(at: *const u16) -> Self {
                // SAFETY: the caller's promise; operands follow the head in this order.
                unsafe {
                    let mut at = at.add(op::HEAD);
                    $(
                        let $field = <$kind as Fetch>::fetch(at);
                        at = at.add(<$kind as Operand>::UNITS);
                    )*
                    Self { $($field,)* }
                }
            }
        }
    };
}

instructions!(fetch);
