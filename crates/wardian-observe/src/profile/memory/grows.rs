//! Functions that can make a memory grow: those whose code has `memory.grow`.

use wardian::inspect::{FuncIndex, FunctionDefinition};
use wasmparser::{BinaryReader, FunctionBody, Operator};

/// Whether the function's own code can make a memory grow.
pub(super) fn can_grow(definition: &FunctionDefinition<'_>) -> bool {
    let (Some(module), Some(func)) = (definition.module(), definition.index()) else {
        return false;
    };
    let info = module.info();
    let defined = info.defined_function(FuncIndex::from_u32(func));
    let Some(range) = defined.and_then(|at| info.bodies.get(at)) else { return false };
    // Most functions do not even have the byte.
    let body = &module.bytes()[range.clone()];
    body.contains(&0x40) && has_grow(body)
}

fn has_grow(body: &[u8]) -> bool {
    let body = FunctionBody::new(BinaryReader::new(body, 0));
    let Ok(operators) = body.get_operators_reader() else { return false };
    operators.into_iter().map_while(Result::ok).any(|op| matches!(op, Operator::MemoryGrow { .. }))
}
