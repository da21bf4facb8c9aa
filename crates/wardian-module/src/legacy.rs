//! What is known of `try` blocks before they are translated.
//!
//! The instructions that exceptions had before WebAssembly 3.0 name a block's handlers after its body. Who
//! translates in one pass needs them at its beginning.

use std::collections::HashMap;
use wardian_types::{LabelIndex, ModuleOffset, TagIndex};
use wasmparser::{FunctionBody, Operator};

/// A `try` block.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LegacyTry {
    /// Its `catch`es and its `catch_all`, in order.
    pub catches: Vec<LegacyCatch>,
    /// The relative depth that its `delegate` names, if it ends with one, counted from outside of the block.
    pub delegate: Option<LabelIndex>,
}

/// A `catch` or `catch_all` of a `try` block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LegacyCatch {
    /// The tag; none of a `catch_all`.
    pub tag: Option<TagIndex>,
    /// Whether a `rethrow` throws what it has caught.
    pub rethrown: bool,
}

/// The `try` blocks of a body, by the positions of their operators in the module's bytes.
///
/// # Errors
///
/// The body is malformed.
pub fn legacy_tries(
    body: &FunctionBody<'_>,
) -> Result<HashMap<ModuleOffset, LegacyTry>, wasmparser::BinaryReaderError> {
    let mut tries = HashMap::new();
    // The open blocks: of a `try` its position.
    let mut open: Vec<Option<(ModuleOffset, LegacyTry)>> = vec![None];
    let mut reader = body.get_operators_reader()?;
    while !reader.eof() {
        let position = ModuleOffset::from_u64(reader.original_position());
        match reader.read()? {
            Operator::Block { .. }
            | Operator::Loop { .. }
            | Operator::If { .. }
            | Operator::TryTable { .. } => open.push(None),
            Operator::Try { .. } => open.push(Some((position, LegacyTry::default()))),
            Operator::Catch { tag_index } => {
                if let Some(Some((_, block))) = open.last_mut() {
                    block.catches.push(LegacyCatch {
                        tag: Some(TagIndex::from_u32(tag_index)),
                        rethrown: false,
                    });
                }
            }
            Operator::CatchAll => {
                if let Some(Some((_, block))) = open.last_mut() {
                    block.catches.push(LegacyCatch { tag: None, rethrown: false });
                }
            }
            Operator::Rethrow { relative_depth } => {
                let at = open.len().checked_sub(1 + relative_depth as usize);
                if let Some(Some((_, block))) = at.and_then(|at| open.get_mut(at))
                    && let Some(catch) = block.catches.last_mut()
                {
                    catch.rethrown = true;
                }
            }
            Operator::Delegate { relative_depth } => {
                if let Some(Some((position, block))) = open.pop() {
                    let block =
                        LegacyTry { delegate: Some(LabelIndex::from_u32(relative_depth)), ..block };
                    tries.insert(position, block);
                }
            }
            Operator::End => {
                if let Some(Some((position, block))) = open.pop() {
                    tries.insert(position, block);
                }
            }
            _ => {}
        }
    }
    Ok(tries)
}
