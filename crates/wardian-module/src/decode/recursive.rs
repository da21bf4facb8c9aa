//! Modules with recursive groups of function types, or with constant expressions that read globals of the
//! module itself. The specification added both with garbage collection, but neither needs a heap.
//!
//! The parser has one feature flag for all of garbage collection. A module that is invalid without the flag is
//! validated again with it; then types and operators that need a heap are refused. Few modules take this
//! path, so others are not slowed down.

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
            | Operator::Try { blockty: BlockType::Type(ty) }
            | Operator::TypedSelect { ty } => val_type(ty).map(drop)?,
            Operator::TryTable { ref try_table } => {
                if let BlockType::Type(ty) = try_table.ty {
                    val_type(ty)?;
                }
            }
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

#[cfg(test)]
mod tests {
    use crate::Module;
    use wardian_types::CoreFeatures;

    fn decode(text: &str, features: CoreFeatures) -> Result<Module, String> {
        let bytes = crate::to_binary(text.as_bytes()).unwrap().into_owned();
        Module::decode(bytes, features, 1).map_err(|error| error.to_string())
    }

    #[test]
    fn groups_of_types_and_constants_need_function_references() {
        for text in [
            "(module (type $t (func (param (ref null $t)))))",
            "(module (rec (type $a (func (param (ref $b)))) (type $b (func (result (ref null $a))))))",
            "(module (rec) (type (func)))",
            "(module (global $a i32 (i32.const 1)) (global i32 (global.get $a)))",
            "(module (global $a i32 (i32.const 1)) (memory 1) (data (global.get $a) \"x\"))",
            "(module (func (param nullfuncref) (result funcref) (local.get 0)))",
        ] {
            let module = decode(text, CoreFeatures::all()).expect(text);
            let needed = module.features_needed();
            assert!(needed.contains(CoreFeatures::FUNCTION_REFERENCES), "{text}: {needed}");
            assert!(
                !needed.contains(CoreFeatures::SIMD | CoreFeatures::THREADS),
                "{text}: {needed}"
            );
            decode(text, needed).expect(text);
            let less = CoreFeatures::all() - CoreFeatures::FUNCTION_REFERENCES;
            let told = decode(text, less).expect_err(text);
            assert!(told.contains("`function-references`, which is off"), "{text}: {told}");
        }
    }

    #[test]
    fn what_needs_a_heap_is_refused_by_name() {
        for (text, why) in [
            ("(module (type (struct)))", "types of garbage collection"),
            ("(module (type (array i32)))", "types of garbage collection"),
            ("(module (type (sub (func))))", "types with subtypes"),
            ("(module (func (local anyref)))", "type anyref is not supported"),
            ("(module (func (param eqref)))", "type eqref is not supported"),
            ("(module (global i31ref (ref.null i31)))", "type i31ref is not supported"),
            ("(module (table 1 anyref))", "type anyref is not supported"),
            ("(module (func (drop (block (result anyref) unreachable))))", "type anyref"),
            ("(module (func (drop (ref.i31 (i32.const 1)))))", "RefI31"),
            (
                "(module (type $t (func)) (func (param funcref) (drop (ref.cast (ref $t) (local.get 0)))))",
                "RefCastNonNull",
            ),
        ] {
            let told = decode(text, CoreFeatures::all()).expect_err(text);
            assert!(told.contains(why) && told.contains("not supported"), "{text}: {told}");
        }
        // The error of an invalid module does not change.
        let told = decode("(module (func (result i32) (i64.const 1)))", CoreFeatures::all());
        assert!(told.unwrap_err().contains("type mismatch"));
    }
}
