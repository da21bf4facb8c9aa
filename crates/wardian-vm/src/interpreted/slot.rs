//! Slots of interpreted frames.

/// A slot of an interpreted frame, counted from fp: those of the parameters are negative.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(transparent)]
pub struct FrameSlot(i32);

impl FrameSlot {
    /// The slot with this number.
    #[inline(always)]
    pub const fn from_i32(slot: i32) -> FrameSlot {
        FrameSlot(slot)
    }

    /// Its number.
    #[inline(always)]
    pub const fn as_i32(self) -> i32 {
        self.0
    }

    /// The same, for pointers to slots.
    #[inline(always)]
    pub const fn as_isize(self) -> isize {
        self.0 as isize
    }

    /// How many bytes it is behind fp, or before if they are negative.
    #[inline(always)]
    pub const fn bytes_from_fp(self) -> i32 {
        self.0 * 8
    }

    /// The slot so many further on.
    #[inline(always)]
    pub const fn add(self, slots: i32) -> FrameSlot {
        FrameSlot(self.0 + slots)
    }

    /// How many slots it is behind `start`.
    #[inline(always)]
    pub const fn slots_from(self, start: FrameSlot) -> i32 {
        self.0 - start.0
    }

    /// All slots from `start` up to `end`, without that one.
    pub fn range(range: std::ops::Range<FrameSlot>) -> impl Iterator<Item = FrameSlot> {
        (range.start.0..range.end.0).map(FrameSlot)
    }
}

/// As instructions within reach encode it.
impl From<i16> for FrameSlot {
    #[inline(always)]
    fn from(slot: i16) -> FrameSlot {
        FrameSlot(slot.into())
    }
}

/// As instructions with far slots encode it.
impl From<i32> for FrameSlot {
    #[inline(always)]
    fn from(slot: i32) -> FrameSlot {
        FrameSlot(slot)
    }
}

impl std::fmt::Debug for FrameSlot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Debug::fmt(&self.0, f)
    }
}

impl std::fmt::Display for FrameSlot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(&self.0, f)
    }
}
