//! Which functions a body calls.

use crate::ModuleInfo;
use wasmparser::{BinaryReader, FunctionBody, Operator};

/// The functions that a function calls by their index and that the module defines, each once and in
/// order; the function and they by their positions among those that the module defines.
pub fn direct_callees(info: &ModuleInfo, bytes: &[u8], defined: u32) -> Vec<u32> {
    let range = info.bodies.get(defined as usize).cloned();
    let Some(body) = range.and_then(|range| bytes.get(range)) else { return Vec::new() };
    let mut callees = Vec::new();
    // The body is valid, so that reading it does not fail.
    if let Ok(operators) = FunctionBody::new(BinaryReader::new(body, 0)).get_operators_reader() {
        for operator in operators.into_iter().map_while(Result::ok) {
            if let Operator::Call { function_index: callee }
            | Operator::ReturnCall { function_index: callee } = operator
            {
                callees.extend(info.defined_function(callee));
            }
        }
    }
    callees.sort_unstable();
    callees.dedup();
    callees
}
