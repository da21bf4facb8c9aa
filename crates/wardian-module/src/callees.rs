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
    let callee = |operator| match operator {
        Operator::Call { function_index } | Operator::ReturnCall { function_index } => {
            info.defined_function(FuncIndex::from_u32(function_index))
        }
        _ => None,
    };
    let mut callees: Vec<_> = operators(info, bytes, defined).filter_map(callee).collect();
    callees.sort_unstable();
    callees.dedup();
    callees
}

/// Whether a function makes tail calls.
pub fn makes_tail_calls(info: &ModuleInfo, bytes: &[u8], defined: DefinedFuncIndex) -> bool {
    operators(info, bytes, defined).any(|operator| {
        matches!(
            operator,
            Operator::ReturnCall { .. }
                | Operator::ReturnCallIndirect { .. }
                | Operator::ReturnCallRef { .. }
        )
    })
}

/// The operators of a function, whose body is valid, so that reading it does not fail.
fn operators<'a>(
    info: &ModuleInfo,
    bytes: &'a [u8],
    defined: DefinedFuncIndex,
) -> impl Iterator<Item = Operator<'a>> {
    let body = info.bodies.get(defined).and_then(|range| bytes.get(range.clone()));
    let body = body.map(|body| FunctionBody::new(BinaryReader::new(body, 0)));
    let operators = body.and_then(|body| body.get_operators_reader().ok());
    operators.into_iter().flatten().map_while(Result::ok)
}
