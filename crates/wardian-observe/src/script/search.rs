//! What the readers of all interpreters have in common: how one is looked for in a memory, and how its links are followed.

use super::{Bytes, Link};

/// Bytes of the memory in which an interpreter is looked for: static data of a program, and its first objects.
const SEARCHED: usize = 64 << 20;
/// Places that look like it and are looked at closely.
pub(super) const CANDIDATES: usize = 256;
/// Links of a guest that stands.
const MAX_LINKS: usize = 64;

/// What looking for an interpreter came to.
#[derive(Debug)]
pub(crate) enum Search<T> {
    Found(T),
    /// It may not have started, or may be where its calls are being changed.
    NotYet,
    /// It is one that cannot be read, for this reason.
    Unknown(String),
}

impl<T> Search<T> {
    pub(super) fn map<U>(self, found: impl FnOnce(T) -> U) -> Search<U> {
        match self {
            Search::Found(interpreter) => Search::Found(found(interpreter)),
            Search::NotYet => Search::NotYet,
            Search::Unknown(why) => Search::Unknown(why),
        }
    }
}

/// Copies what is searched of a memory. False if it is not there.
pub(super) fn copy_start(memory: &dyn Bytes, copy: &mut Vec<u8>) -> bool {
    copy.resize(memory.len().min(SEARCHED), 0);
    memory.read(0, copy)
}

/// The first two numbers of a version at the start of a text, and what follows the version.
pub(super) fn version(text: &[u8]) -> Option<(String, &[u8])> {
    let end = text.iter().position(|byte| !byte.is_ascii_digit() && *byte != b'.')?;
    let (number, rest) = text.split_at(end);
    let mut parts = str::from_utf8(number).ok()?.split('.');
    Some((format!("{}.{}", parts.next()?, parts.next()?), rest))
}

/// The links from the one at an address on: `link` reads one, and gives the address of the next, or zero.
pub(super) fn links(first: Option<u32>, link: impl Fn(u32) -> Option<(Link, u32)>) -> Vec<Link> {
    let mut links = Vec::new();
    let mut at = first.unwrap_or(0);
    while at != 0
        && links.len() < MAX_LINKS
        && let Some((link, next)) = link(at)
    {
        links.push(link);
        at = next;
    }
    links
}

/// A byte at an offset from an address.
pub(super) fn byte(memory: &dyn Bytes, at: u32, offset: u32) -> Option<u8> {
    let mut byte = [0];
    memory.read(at as usize + offset as usize, &mut byte).then_some(byte[0])
}

/// The number at an offset from an address.
pub(super) fn field(memory: &dyn Bytes, at: u32, offset: u32) -> Option<u32> {
    memory.word(at.checked_add(offset)?)
}
