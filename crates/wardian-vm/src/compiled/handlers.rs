//! Handlers of exceptions, as the tables beside the code have them.

use super::TextOffset;
use super::code::CompiledCode;
use super::maps::SpOffset;
use crate::callee_saved::SavedIndex;
use wardian_types::TagIndex;

wardian_types::index_types! {
    /// A block with handlers, by its position among those of a function or, in [`CompiledCode`], of all functions.
    pub struct ScopeIndex;

    /// A handler of exceptions, by its number in its function.
    pub struct HandlerNumber;
}

/// A call with handlers of exceptions around it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Call {
    /// Where it returns to.
    pub offset: TextOffset,
    /// How far the stack pointer is below the frame pointer at the call.
    pub frame_size: u32,
    /// Where the address of its instance is at the call.
    pub instance: InstanceAt,
    /// The block that it is in, one of the function's [`Scope`]s.
    pub scope: ScopeIndex,
    /// Where an exception enters.
    pub entry: TextOffset,
}

/// Where a function has the address of its instance at a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InstanceAt {
    /// In its frame, counted from the stack pointer.
    Stack(SpOffset),
    /// In a register.
    Register(SavedIndex),
}

impl InstanceAt {
    /// Marks a register; frames are smaller.
    const REGISTER: u32 = 1 << 31;

    pub(crate) fn to_word(self) -> u32 {
        match self {
            InstanceAt::Stack(offset) => offset.as_u32(),
            InstanceAt::Register(at) => at.as_u32() | InstanceAt::REGISTER,
        }
    }

    pub(crate) fn from_word(word: u32) -> InstanceAt {
        match word & InstanceAt::REGISTER {
            0 => InstanceAt::Stack(SpOffset::from_u32(word)),
            _ => InstanceAt::Register(SavedIndex::from_u32(word & !InstanceAt::REGISTER)),
        }
    }
}

impl Default for InstanceAt {
    fn default() -> Self {
        InstanceAt::Stack(SpOffset::FIRST)
    }
}

/// A block with handlers of exceptions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scope {
    /// The block around it that has handlers, if there is one.
    pub parent: Option<ScopeIndex>,
    /// The number of its first handler in the function; the others follow.
    pub first: HandlerNumber,
    /// What its handlers catch: twice the index of a tag, or of none for all tags, and one if by reference.
    pub handlers: Vec<u32>,
}

/// The index in the word of a handler that catches all tags.
const ANY_TAG: u32 = u32::MAX >> 1;

/// What a handler catches as a word: the tag, and whether it takes a reference to the exception.
pub fn handler_word(tag: Option<TagIndex>, by_reference: bool) -> u32 {
    tag.map_or(ANY_TAG, TagIndex::as_u32) << 1 | u32::from(by_reference)
}

/// A handler of exceptions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Handler {
    /// The tag that it catches; none for all tags.
    pub tag: Option<TagIndex>,
    /// Whether it takes a reference to the exception.
    pub by_reference: bool,
    /// Its number in the function.
    pub number: HandlerNumber,
}

/// The handlers around a call.
#[derive(Clone, Copy, Debug)]
pub struct CallHandlers<'a> {
    /// As [`Call::frame_size`].
    pub frame_size: u32,
    /// As [`Call::instance`].
    pub instance: InstanceAt,
    /// As [`Call::entry`], from the start of the text.
    pub entry: TextOffset,
    pub(crate) scope: ScopeIndex,
    pub(crate) code: &'a CompiledCode,
}

impl CallHandlers<'_> {
    /// The handlers, innermost first.
    pub fn handlers(&self) -> impl Iterator<Item = Handler> {
        let next = |scope: &ScopeIndex| self.code.parent(*scope);
        std::iter::successors(Some(self.scope), next).flat_map(|scope| {
            let (first, words) = self.code.scope(scope);
            (first.as_u32()..).zip(words).map(|(number, word)| Handler {
                tag: Some(word >> 1).filter(|tag| *tag != ANY_TAG).map(TagIndex::from_u32),
                by_reference: word & 1 != 0,
                number: HandlerNumber::from_u32(number),
            })
        })
    }
}
