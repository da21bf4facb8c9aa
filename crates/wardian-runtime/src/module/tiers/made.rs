//! What of a tiered module is kept in the engine's cache, as data.
//!
//! ```text
//!   code   of the module's functions, in order, empty where there is none │ of hot loops
//!   notes  number of those loops, 4 bytes │ function, 4, and header, 4, of each
//!          number of functions that were given up, 4 │ function, 4, of each │ profile
//! ```

use crate::profile::ModuleProfile;
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard};
use wardian_types::{CodeOffset, DefinedFuncIndex};
use wardian_vm::compiled::CompiledFunction;

/// A function, or code of it that begins at a loop.
pub(super) type Part = (DefinedFuncIndex, Option<CodeOffset>);

/// What is to be kept of one module.
#[derive(Default)]
pub(super) struct Made(Mutex<State>);

#[derive(Default)]
pub(super) struct State {
    /// What was compiled since the module was made.
    pub(super) parts: BTreeMap<Part, CompiledFunction>,
    /// Functions whose compilation was waited for in vain in this process.
    pub(super) given_up: Vec<DefinedFuncIndex>,
    /// Whether it is in the cache, with what is known now.
    pub(super) is_kept: bool,
}

impl Made {
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(|e| e.into_inner())
    }
}

/// What is kept beside the code.
pub struct Notes {
    /// The loops whose code lies behind that of functions.
    pub loops: Vec<KeptLoop>,
    pub(super) given_up: Vec<DefinedFuncIndex>,
    /// What the functions did.
    pub profile: ModuleProfile,
}

/// A loop, by its function and its header.
pub type KeptLoop = (DefinedFuncIndex, CodeOffset);

impl Notes {
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = (self.loops.len() as u32).to_le_bytes().to_vec();
        for (defined, header) in &self.loops {
            bytes.extend(defined.as_u32().to_le_bytes());
            bytes.extend(header.as_u32().to_le_bytes());
        }
        bytes.extend((self.given_up.len() as u32).to_le_bytes());
        self.given_up.iter().for_each(|defined| bytes.extend(defined.as_u32().to_le_bytes()));
        bytes.extend(self.profile.to_bytes());
        bytes
    }

    /// What was written beside the code of a tiered module. None if there is nothing of the kind.
    pub fn from_bytes(mut bytes: &[u8]) -> Option<Notes> {
        let mut next = || {
            let (number, rest) = bytes.split_first_chunk()?;
            bytes = rest;
            Some(u32::from_le_bytes(*number))
        };
        let (mut loops, mut given_up) = (Vec::new(), Vec::new());
        for _ in 0..next()? {
            let defined = DefinedFuncIndex::from_u32(next()?);
            loops.push((defined, CodeOffset::from_u32(next()?)));
        }
        for _ in 0..next()? {
            given_up.push(DefinedFuncIndex::from_u32(next()?));
        }
        Some(Notes { loops, given_up, profile: ModuleProfile::from_bytes(bytes).ok()? })
    }
}
