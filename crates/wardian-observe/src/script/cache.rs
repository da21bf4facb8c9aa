//! Functions that have been read, so that each is read once.

use super::{Bytes, Code, Interpreter};
use std::collections::HashMap;
use std::sync::Arc;

/// Functions that are kept; then all are read anew.
const MOST: usize = 1 << 16;

/// By the addresses of their records.
#[derive(Debug, Default)]
pub(crate) struct FunctionCache {
    known: HashMap<u32, Known>,
    /// Grows with each reading of samples.
    round: u64,
}

#[derive(Debug)]
struct Known {
    fingerprint: [u32; 6],
    code: Option<Arc<Code>>,
    /// When the record was last compared.
    round: u64,
}

impl FunctionCache {
    /// More samples are read: records may have been replaced since those before.
    pub(crate) fn begin(&mut self) {
        self.round += 1;
        if self.known.len() > MOST {
            self.known.clear();
        }
    }

    /// The function with this record, in which an instruction was seen. A record that is gone is taken for what it
    /// was, if the instruction is one of it.
    pub(crate) fn get(
        &mut self,
        interpreter: &dyn Interpreter,
        memory: &dyn Bytes,
        record: u32,
        instruction: u32,
    ) -> Option<Arc<Code>> {
        let round = self.round;
        let known = self.known.get_mut(&record);
        if known.as_ref().is_none_or(|known| known.round != round) {
            let fingerprint = interpreter.fingerprint(memory, record);
            match (known, fingerprint) {
                (Some(known), Some(fingerprint)) if known.fingerprint == fingerprint => {
                    known.round = round;
                }
                (_, Some(fingerprint)) => {
                    let code = interpreter.code(memory, record).map(Arc::new);
                    self.known.insert(record, Known { fingerprint, code, round });
                }
                (Some(known), None) => known.round = round,
                (None, None) => return None,
            }
        }
        let code = self.known.get(&record)?.code.clone()?;
        // One before the first instruction is a function that has just been called.
        let (start, end) = code.instructions;
        (start.saturating_sub(2)..end).contains(&instruction).then_some(code)
    }
}
