//! In place of stores of objects, in a build without them: there are no objects, and each URL is an error.

use anyhow::{Result, bail};
use std::fmt;
use std::io::{Read, Write};

/// There is none. It is private, so that those who have an object need no case for there being none.
#[derive(Clone, Copy)]
enum Nothing {}

/// An object, of which there are none.
#[derive(Clone)]
pub(crate) struct Object(Nothing);

/// An object that is being written.
pub(crate) struct NewObject(Nothing);

impl Object {
    pub(super) fn at(url: &str) -> Result<Object> {
        let scheme = url.split("://").next().unwrap_or_default();
        bail!(
            "this command cannot use URLs ({scheme}://…): it was built without the feature `cloud` of wardian-cli \
             (`cargo install wardian-cli --features cloud`)"
        )
    }

    pub(super) fn reader(&self) -> Result<Box<dyn Read>> {
        match self.0 {}
    }

    pub(super) fn try_write(&self) -> Result<()> {
        match self.0 {}
    }

    pub(super) fn begin(&self) -> NewObject {
        match self.0 {}
    }

    pub(super) fn root(&self) -> Result<Option<[u8; 32]>> {
        match self.0 {}
    }

    pub(super) fn with_ending(&self, _: &str) -> Object {
        match self.0 {}
    }

    pub(super) fn without_ending(&self, _: impl Fn(&str) -> bool) -> Option<Object> {
        match self.0 {}
    }

    pub(super) fn names_below(&self) -> Result<Vec<String>> {
        match self.0 {}
    }

    pub(super) fn copy_to(&self, _: &Object) -> Result<()> {
        match self.0 {}
    }

    pub(super) fn remove(&self) -> Result<()> {
        match self.0 {}
    }
}

impl fmt::Display for Object {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {}
    }
}

impl NewObject {
    pub(super) fn writer(&self) -> Box<dyn Write + Send> {
        match self.0 {}
    }

    pub(super) fn len(&self) -> u64 {
        match self.0 {}
    }

    pub(super) fn finish(self) -> Result<()> {
        match self.0 {}
    }
}
