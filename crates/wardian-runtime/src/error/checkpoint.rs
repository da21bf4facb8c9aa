//! Checkpoints and forks that could not be.

use std::fmt;

/// A checkpoint could not be taken, read or resumed, or a store not be forked: [`CheckpointError::kind`] says which, the
/// text says why.
#[derive(Clone, Debug)]
pub struct CheckpointError {
    kind: CheckpointErrorKind,
    why: String,
}

/// What about a checkpoint could not be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CheckpointErrorKind {
    /// The store has something that a checkpoint cannot have, or its guest is where none can be taken.
    NotTaken,
    /// The same of a fork: see `Store::fork`.
    NotForked,
    /// The bytes are no checkpoint, or not what was written.
    Damaged,
    /// The bytes are in a version of the format that this version of Wardian does not read.
    Version,
    /// The checkpoint was made with a key and none was given, or the reverse.
    Key,
    /// A parent or a module that it refers to was not given, or another one was.
    Missing,
    /// It does not fit what it is to be resumed with: the modules, the store, or itself.
    NotResumed,
}

impl CheckpointError {
    /// That it could not be, with why.
    #[doc(hidden)]
    pub fn new(kind: CheckpointErrorKind, why: String) -> CheckpointError {
        CheckpointError { kind, why }
    }

    /// What could not be.
    pub fn kind(&self) -> CheckpointErrorKind {
        self.kind
    }

    #[doc(hidden)]
    /// The same reason for a fork, if it is one why no checkpoint can be taken.
    pub(crate) fn as_fork(&self) -> CheckpointError {
        let kind = match self.kind {
            CheckpointErrorKind::NotTaken => CheckpointErrorKind::NotForked,
            other => other,
        };
        CheckpointError { kind, why: self.why.clone() }
    }
}

impl fmt::Display for CheckpointError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.kind {
            CheckpointErrorKind::NotTaken => "a checkpoint cannot be taken: ",
            CheckpointErrorKind::NotForked => "the store cannot be forked: ",
            CheckpointErrorKind::Damaged => "the checkpoint is damaged: ",
            CheckpointErrorKind::NotResumed => "the checkpoint cannot be resumed: ",
            _ => "",
        })?;
        f.write_str(&self.why)
    }
}

impl std::error::Error for CheckpointError {}
