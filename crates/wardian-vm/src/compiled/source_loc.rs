//! Which operator code was made from.

use wardian_types::CodeOffset;

wardian_types::index_types! {
    /// The operator that code was made from: its offset in the code section. From [`SourceLoc::INLINED`] on it is one of
    /// the body of another function: see [`super::Inlined`].
    pub struct SourceLoc;
}

impl SourceLoc {
    /// No operator.
    pub const NONE: SourceLoc = SourceLoc(u32::MAX);
    /// The first that is in the body of another function. No code section is that long of a module that has any such.
    pub const INLINED: SourceLoc = SourceLoc(1 << 31);

    /// The operator at this offset, of the function itself.
    pub const fn of(offset: CodeOffset) -> SourceLoc {
        SourceLoc(offset.as_u32())
    }

    /// The offset of an operator of the function itself; none if there is no operator.
    pub(super) fn own_offset(self) -> Option<CodeOffset> {
        (self != SourceLoc::NONE).then_some(CodeOffset::from_u32(self.0))
    }
}
