//! Callee-saved registers, where a compiled function catches an exception.
//!
//! ```text
//!   frame of a compiled function             frame of a stub, by which the guest called the host
//!   ┌──────────────────────────┐             ┌──────────────────────────┐
//!   │ return address           │             │ return address           │
//!   │ caller's frame pointer   │ <- fp       │ caller's frame pointer   │
//!   │ padding, if odd          │             │ all callee-saved ones    │
//!   │ callee-saved ones that   │             │ slots                    │
//!   │ it uses, ascending       │             └──────────────────────────┘ <- wasm_sp
//!   │ its values               │
//!   └──────────────────────────┘
//! ```
//!
//! A call with handlers may leave values in these registers, as any call may, and its handler finds them there.
//! When the exception is thrown they hold something else: each function between has saved those that it uses in
//! its frame, and would have restored them at its return. So they are restored in that order, from the stub in
//! which the guest waits outwards: first all from the stub, which has saved all of them, then from each frame
//! that is left what its function has saved. What the guest had in interpreted frames further in is of no
//! concern: compiled code calls interpreted code by a stub, too.
//!
//! **Invariant.** Code with a frame record on the wasm stack is of a function, a trampoline or a wrapper, and
//! then the compiler says what it saves ([`Saved`]), or it is a stub of [`crate::arch`] that waits for another
//! stub: that changes none of these registers before.

use crate::addr::StackAddr;
use crate::arch;

/// The registers, by their numbers in the instructions of this processor, in the order in which functions save
/// them. Where there are none, calls with handlers preserve no registers.
pub const CALLEE_SAVED: &[u8] = &arch::CALLEE_SAVED;

/// Values of [`CALLEE_SAVED`].
pub(crate) type CalleeSaved = [usize; arch::CALLEE_SAVED.len()];

wardian_types::index_types! {
    /// A register, by its position in [`CALLEE_SAVED`].
    pub struct SavedIndex;
}

/// Which of [`CALLEE_SAVED`] a function saves in its frame, as bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Saved(pub u8);

impl Saved {
    /// The registers, and how far below the frame pointer each is saved.
    pub fn places(self) -> impl Iterator<Item = (SavedIndex, usize)> {
        const WORD: usize = size_of::<usize>();
        let is_saved = move |at: &usize| self.0 >> at & 1 != 0;
        let size = ((0..CALLEE_SAVED.len()).filter(is_saved).count() * WORD).next_multiple_of(16);
        (0..CALLEE_SAVED.len())
            .filter(is_saved)
            .enumerate()
            .map(move |(i, at)| (SavedIndex::from_usize(at), size - i * WORD))
    }

    /// Takes the values that a function has saved in its frame.
    ///
    /// # Safety
    ///
    /// `fp` is the frame pointer of a function of which this is said, and the frame is on a wasm stack.
    pub(crate) unsafe fn restore(self, kept: &mut CalleeSaved, fp: StackAddr) {
        for (at, below) in self.places() {
            // SAFETY: the caller's promise: the function has saved it there in its prologue.
            kept[at.index()] = unsafe { *fp.below(below).as_ptr() };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{CALLEE_SAVED, Saved};
    use crate::addr::StackAddr;

    #[test]
    fn registers_lie_below_the_frame_pointer() {
        let places = |saved| {
            Saved(saved).places().map(|(at, below)| (at.index(), below)).collect::<Vec<_>>()
        };
        assert_eq!(places(0), []);
        if CALLEE_SAVED.len() >= 5 {
            assert_eq!(places(0b1), [(0, 16)]);
            assert_eq!(places(0b10100), [(2, 16), (4, 8)]);
            assert_eq!(places(0b10101), [(0, 32), (2, 24), (4, 16)]);
        }
    }

    #[test]
    fn a_function_gives_back_what_it_has_saved() {
        if CALLEE_SAVED.len() < 5 {
            return;
        }
        // Padding is above the registers, right below the frame pointer.
        let frame: [usize; 5] = [30, 31, 32, 0, 99];
        let mut kept: super::CalleeSaved = std::array::from_fn(|i| i);
        let fp = StackAddr::of(&raw const frame[4]);
        // SAFETY: a frame as a function makes it that saves three registers.
        unsafe { Saved(0b01101).restore(&mut kept, fp) };
        assert_eq!(kept[..5], [30, 1, 31, 32, 4]);
    }
}
