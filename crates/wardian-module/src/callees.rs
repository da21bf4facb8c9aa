//! Which functions a body calls, and how.

use crate::ModuleInfo;
use wardian_types::{DefinedFuncIndex, FuncIndex};
use wasmparser::{BinaryReader, FunctionBody, Operator};

/// The functions of the module that a function calls by their index, without imported ones, each once and in order.
pub fn direct_callees(
    info: &ModuleInfo,
    bytes: &[u8],
    defined: DefinedFuncIndex,
) -> Vec<DefinedFuncIndex> {
    let range = info.bodies.get(defined).cloned();
    let Some(body) = range.and_then(|range| bytes.get(range)) else { return Vec::new() };
    let mut callees = Vec::new();
    // The body is valid, so that reading it does not fail.
    if let Ok(operators) = FunctionBody::new(BinaryReader::new(body, 0)).get_operators_reader() {
        for operator in operators.into_iter().map_while(Result::ok) {
            if let Operator::Call { function_index: callee }
            | Operator::ReturnCall { function_index: callee } = operator
            {
                callees.extend(info.defined_function(FuncIndex::from_u32(callee)));
            }
        }
    }
    callees.sort_unstable();
    callees.dedup();
    callees
}

/// Whether a function makes tail calls.
pub fn makes_tail_calls(info: &ModuleInfo, bytes: &[u8], defined: DefinedFuncIndex) -> bool {
    let range = info.bodies.get(defined).cloned();
    let Some(body) = range.and_then(|range| bytes.get(range)) else { return false };
    let Ok(reader) = FunctionBody::new(BinaryReader::new(body, 0)).get_operators_reader() else {
        return false;
    };
    reader.into_iter().any(|operator| {
        matches!(
            operator,
            Ok(Operator::ReturnCall { .. }
                | Operator::ReturnCallIndirect { .. }
                | Operator::ReturnCallRef { .. })
        )
    })
}
