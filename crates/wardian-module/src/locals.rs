//! The locals of a function.

use crate::ModuleInfo;
use wardian_types::{DefinedFuncIndex, ValType};
use wasmparser::{BinaryReader, FunctionBody};

/// Types of a function's locals, parameters first, but of at most so many.
pub fn local_types(
    info: &ModuleInfo,
    bytes: &[u8],
    defined: DefinedFuncIndex,
    most: usize,
) -> Vec<ValType> {
    let range = info.bodies.get(defined).cloned();
    let Some(body) = range.and_then(|range| bytes.get(range)) else { return Vec::new() };
    let mut types: Vec<ValType> = info.defined_type(defined).params().to_vec();
    types.truncate(most);
    // The body is valid, so that reading it does not fail.
    if let Ok(groups) = FunctionBody::new(BinaryReader::new(body, 0)).get_locals_reader() {
        for (count, ty) in groups.into_iter().map_while(Result::ok) {
            let Ok(ty) = info.val_type(ty) else { break };
            let count = (count as usize).min(most - types.len());
            types.extend(std::iter::repeat_n(ty, count));
        }
    }
    types
}
