//! Modules with what WebAssembly has together with garbage collection, but which needs no heap: groups of
//! types that name each other, and constants that read globals of the module itself.
//!
//! The parser has one switch for all of it. So such a module, which few are, is validated with that switch
//! on, and what has to do with the heap is refused afterwards.

use super::{DecodeError, ModuleInfo, features, read_and_validate, val_type};
use wardian_types::CoreFeatures;
use wasmparser::{BinaryReader, BlockType, FunctionBody, Operator, WasmFeatures};

pub(super) fn decode(
    bytes: &[u8],
    features: CoreFeatures,
    threads: usize,
) -> Result<ModuleInfo, DecodeError> {
    let features = features::to_parser(features) | WasmFeatures::GC;
    let info = read_and_validate(bytes, features, threads)?;
    for body in &info.bodies {
        let reader = BinaryReader::new(&bytes[body.clone()], body.start as u64);
        check_body(&FunctionBody::new(reader))?;
    }
    Ok(info)
}

/// Refuses operators and types of values that live on the heap.
fn check_body(body: &FunctionBody<'_>) -> Result<(), DecodeError> {
    for local in body.get_locals_reader().map_err(DecodeError::parser)? {
        val_type(local.map_err(DecodeError::parser)?.1)?;
    }
    let operators = body.get_operators_reader().map_err(DecodeError::parser)?;
    for operator in operators.into_iter_with_offsets() {
        let (operator, offset) = operator.map_err(DecodeError::parser)?;
        match operator {
            Operator::Block { blockty: BlockType::Type(ty) }
            | Operator::Loop { blockty: BlockType::Type(ty) }
            | Operator::If { blockty: BlockType::Type(ty) }
            | Operator::TypedSelect { ty } => val_type(ty).map(drop)?,
            ref other if is_of_heap(other) => {
                let message = format!("garbage collection is not supported yet: {other:?}");
                return Err(DecodeError::unsupported(message, Some(offset)));
            }
            _ => {}
        }
    }
    Ok(())
}

macro_rules! define_is_of_heap {
    ($(@$proposal:ident $op:ident $({ $($field:ident: $ty:ty),* })? => $visit:ident ($($arity:tt)*))*) => {
        /// Whether an operator belongs to the proposal on garbage collection.
        fn is_of_heap(operator: &Operator<'_>) -> bool {
            match operator {
                $(Operator::$op { .. } => stringify!($proposal) == "gc",)*
                _ => false,
            }
        }
    };
}

wasmparser::for_each_operator!(define_is_of_heap);
