//! Modules with recursive groups of function types, or with constant expressions that read globals of the
//! module itself, where garbage collection is off. The specification added both with garbage collection, but
//! neither needs a heap, so that [`CoreFeatures::FUNCTION_REFERENCES`] includes them.
//!
//! The parser has one feature flag for all of garbage collection. A module that is invalid without the flag is
//! validated again with it; then everything that needs a heap is refused.

use super::{DecodeError, ModuleInfo, features, read_and_validate};
use crate::{ConstExpr, ConstOp, ElementItems, SegmentMode};
use wardian_types::{CoreFeatures, ModuleOffset, RefType, SubType, ValType};
use wasmparser::{BinaryReader, BlockType, FunctionBody, Operator, WasmFeatures};

/// Whether a module that is invalid under these features may be valid all the same.
pub(super) fn applies(features: CoreFeatures) -> bool {
    features.contains(CoreFeatures::FUNCTION_REFERENCES) && !features.contains(CoreFeatures::GC)
}

/// Decodes a module that has groups of types, or constants that read its own globals. What needs a heap is
/// an error that names [`CoreFeatures::GC`].
pub(super) fn decode(
    bytes: &[u8],
    features: CoreFeatures,
    threads: usize,
) -> Result<ModuleInfo, DecodeError> {
    let features = features::to_parser(features) | WasmFeatures::GC;
    let info = read_and_validate(bytes, features, threads)?;
    check_declarations(&info)?;
    for body in &info.bodies {
        let reader = BinaryReader::new(&bytes[body.clone()], body.start as u64);
        check_body(&info, &FunctionBody::new(reader))?;
    }
    Ok(info)
}

fn refuse(what: impl std::fmt::Display, offset: Option<ModuleOffset>) -> DecodeError {
    let message = format!("{what}: this needs garbage collection");
    DecodeError::new(message, offset).with_feature(Some(CoreFeatures::GC))
}

fn check_declarations(info: &ModuleInfo) -> Result<(), DecodeError> {
    info.types.iter().try_for_each(check_type)?;
    info.tables.iter().try_for_each(|table| check_ref(table.element))?;
    info.globals.iter().try_for_each(|global| check_value(global.content))?;
    for segment in &info.elements {
        check_ref(segment.element)?;
        if let SegmentMode::Active { offset, .. } = &segment.mode {
            check_constant(offset)?;
        }
        if let ElementItems::Expressions(expressions) = &segment.items {
            expressions.iter().try_for_each(check_constant)?;
        }
    }
    info.table_inits.iter().flatten().chain(&info.global_inits).try_for_each(check_constant)
}

fn check_type(ty: &SubType) -> Result<(), DecodeError> {
    if !ty.is_final || ty.supertype.is_some() {
        return Err(refuse(format_args!("{ty} has subtypes or a supertype"), None));
    }
    match ty.func() {
        Some(ty) => ty.params().iter().chain(ty.results()).copied().try_for_each(check_value),
        None => Err(refuse(ty, None)),
    }
}

fn check_value(ty: ValType) -> Result<(), DecodeError> {
    if let ValType::Ref(r) = ty { check_ref(r) } else { Ok(()) }
}

fn check_ref(ty: RefType) -> Result<(), DecodeError> {
    if ty.is_any() { Err(refuse(format_args!("type {ty}"), None)) } else { Ok(()) }
}

fn check_constant(expr: &ConstExpr) -> Result<(), DecodeError> {
    let of_heap = |op: &&ConstOp| {
        matches!(
            op,
            ConstOp::StructNew(_)
                | ConstOp::StructNewDefault(_)
                | ConstOp::ArrayNew(_)
                | ConstOp::ArrayNewDefault(_)
                | ConstOp::ArrayNewFixed { .. }
                | ConstOp::RefI31
                | ConstOp::AnyConvertExtern
                | ConstOp::ExternConvertAny
        )
    };
    match expr.ops.iter().find(of_heap) {
        Some(op) => Err(refuse(format_args!("{op:?}"), None)),
        None => Ok(()),
    }
}

/// Refuses operators and types of values that live on the heap.
fn check_body(info: &ModuleInfo, body: &FunctionBody<'_>) -> Result<(), DecodeError> {
    for local in body.get_locals_reader().map_err(DecodeError::parser)? {
        check_value(info.val_type(local.map_err(DecodeError::parser)?.1)?)?;
    }
    let operators = body.get_operators_reader().map_err(DecodeError::parser)?;
    for operator in operators.into_iter_with_offsets() {
        let (operator, offset) = operator.map_err(DecodeError::parser)?;
        match operator {
            Operator::Block { blockty: BlockType::Type(ty) }
            | Operator::Loop { blockty: BlockType::Type(ty) }
            | Operator::If { blockty: BlockType::Type(ty) }
            | Operator::Try { blockty: BlockType::Type(ty) }
            | Operator::TypedSelect { ty } => check_value(info.val_type(ty)?)?,
            Operator::TryTable { ref try_table } => {
                if let BlockType::Type(ty) = try_table.ty {
                    check_value(info.val_type(ty)?)?;
                }
            }
            Operator::RefNull { hty } => {
                let heap = info.heap_type(hty)?;
                check_ref(RefType { nullable: true, heap })?;
            }
            ref other if is_of_heap(other) => {
                return Err(refuse(
                    format_args!("{other:?}"),
                    Some(ModuleOffset::from_u64(offset)),
                ));
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
            let reported = decode(text, less).expect_err(text);
            assert!(reported.contains("`function-references`, which is off"), "{text}: {reported}");
            assert!(!needed.contains(CoreFeatures::GC), "{text}: {needed}");
        }
    }

    #[test]
    fn what_needs_a_heap_needs_garbage_collection() {
        for (text, why) in [
            ("(module (type (struct)))", "struct ()"),
            ("(module (type (array i32)))", "array of i32"),
            ("(module (type (sub (func))))", "function () -> () has subtypes or a supertype"),
            ("(module (func (local anyref)))", "type anyref"),
            ("(module (func (param eqref)))", "type eqref"),
            ("(module (global i31ref (ref.null i31)))", "type i31ref"),
            ("(module (table 1 anyref))", "type anyref"),
            ("(module (elem structref))", "type structref"),
            ("(module (func (drop (block (result anyref) unreachable))))", "type anyref"),
            ("(module (func (drop (ref.null none))))", "type nullref"),
            ("(module (func (drop (ref.i31 (i32.const 1)))))", "RefI31"),
            ("(module (global externref (extern.convert_any (ref.i31 (i32.const 1)))))", "RefI31"),
            (
                "(module (type $t (func)) (func (param funcref) (drop (ref.cast (ref $t) (local.get 0)))))",
                "RefCastNonNull",
            ),
        ] {
            let gc = CoreFeatures::GC | CoreFeatures::FUNCTION_REFERENCES;
            let module = decode(text, CoreFeatures::all()).expect(text);
            let needed = module.features_needed();
            assert!(needed.contains(gc), "{text}: {needed}");
            decode(text, needed).expect(text);
            let reported = decode(text, CoreFeatures::all() - CoreFeatures::GC).expect_err(text);
            assert!(reported.contains(why), "{text}: {reported}");
            assert!(reported.contains("`gc`, which is off"), "{text}: {reported}");
            decode(text, CoreFeatures::all() - CoreFeatures::FUNCTION_REFERENCES).expect_err(text);
            let reported = decode(text, CoreFeatures::all() - gc).expect_err(text);
            assert!(
                reported.contains("`function-references, gc`, which is off"),
                "{text}: {reported}"
            );
        }
        // The error of an invalid module does not change.
        let reported = decode("(module (func (result i32) (i64.const 1)))", CoreFeatures::all());
        assert!(reported.unwrap_err().contains("type mismatch"));
    }
}
