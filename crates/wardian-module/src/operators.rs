//! The operators of WebAssembly in groups, each an enum of its own.
//!
//! A translator matches on a group without a wildcard, so an operator that it does not handle is an error of the
//! compiler. So is an operator that a new version of wasmparser adds, as long as it is in no group here.

use wardian_types::{
    DataIndex, ElemIndex, FieldIndex, FuncIndex, GlobalIndex, LabelIndex, LocalIndex, MemoryIndex,
    TableIndex, TagIndex, TypeIndex,
};
use wasmparser::{
    BlockType, BrTable, HeapType, Ieee32, Ieee64, MemArg, Operator, Ordering, RefType, TryTable,
    V128, ValType,
};

/// An immediate argument as the groups have it: indices have types there.
trait Typed<T> {
    fn typed(immediate: T) -> Self;
}

impl<T> Typed<T> for T {
    #[inline]
    fn typed(immediate: T) -> T {
        immediate
    }
}

macro_rules! indices {
    ($($index:ident),*) => {$(
        impl Typed<u32> for $index {
            #[inline]
            fn typed(immediate: u32) -> $index {
                $index::from_u32(immediate)
            }
        }
    )*};
}

indices!(
    DataIndex,
    ElemIndex,
    FieldIndex,
    FuncIndex,
    GlobalIndex,
    LabelIndex,
    LocalIndex,
    MemoryIndex,
    TableIndex,
    TagIndex,
    TypeIndex
);

macro_rules! groups {
    (
        unsupported { $($other:ident,)* }
        $(
            $(#[$doc:meta])*
            $group:ident $(<$life:lifetime>)? { $( $op:ident $({ $($field:ident: $ty:ty),* })?, )* }
        )*
    ) => {
        $(
            $(#[$doc])*
            #[derive(Debug)]
            #[allow(missing_docs, reason = "the names are those of wasmparser")]
            pub enum $group $(<$life>)? { $( $op $({ $($field: $ty),* })? ),* }
        )*

        /// An operator in its group.
        #[derive(Debug)]
        #[allow(missing_docs, reason = "each type says what it is")]
        pub enum Group<'a> {
            $( $group($group $(<$life>)?), )*
            /// Of a proposal that no engine has. Validation refuses them.
            Unsupported(Operator<'a>),
        }

        impl<'a> From<Operator<'a>> for Group<'a> {
            #[inline]
            fn from(operator: Operator<'a>) -> Group<'a> {
                match operator {
                    $( $(
                        Operator::$op $({ $($field),* })? => {
                            Group::$group($group::$op $({ $($field: Typed::typed($field)),* })?)
                        }
                    )* )*
                    other => Group::Unsupported(other),
                }
            }
        }

        // Each operator that wasmparser knows is in one group or unsupported, or this does not compile.
        const _: fn(Name) = |name| match name {
            $( $( Name::$op => {} )* )*
            $( Name::$other => {} )*
        };
    };
}

macro_rules! names {
    ($( @$proposal:ident $op:ident $({ $($field:ident: $ty:ty),* })? => $visit:ident ($($arity:tt)*) )*) => {
        #[allow(dead_code, reason = "it is there for the compiler's check of matches")]
        enum Name { $($op),* }
    };
}

wasmparser::for_each_operator!(names);

groups! {
    // Of proposals that no engine has.
    unsupported {
        StructNewDesc, StructNewDefaultDesc, RefGetDesc, RefCastDescEqNonNull,
        RefCastDescEqNullable, BrOnCastDescEq, BrOnCastDescEqFail, TypedSelectMulti, MemoryDiscard,
        GlobalAtomicGet, GlobalAtomicSet, GlobalAtomicRmwAdd, GlobalAtomicRmwSub,
        GlobalAtomicRmwAnd, GlobalAtomicRmwOr, GlobalAtomicRmwXor, GlobalAtomicRmwXchg,
        GlobalAtomicRmwCmpxchg, TableAtomicGet, TableAtomicSet, TableAtomicRmwXchg,
        TableAtomicRmwCmpxchg, StructAtomicGet, StructAtomicGetS, StructAtomicGetU, StructAtomicSet,
        StructAtomicRmwAdd, StructAtomicRmwSub, StructAtomicRmwAnd, StructAtomicRmwOr,
        StructAtomicRmwXor, StructAtomicRmwXchg, StructAtomicRmwCmpxchg, ArrayAtomicGet,
        ArrayAtomicGetS, ArrayAtomicGetU, ArrayAtomicSet, ArrayAtomicRmwAdd, ArrayAtomicRmwSub,
        ArrayAtomicRmwAnd, ArrayAtomicRmwOr, ArrayAtomicRmwXor, ArrayAtomicRmwXchg,
        ArrayAtomicRmwCmpxchg, RefI31Shared, ContNew, ContBind, Suspend, Resume, ResumeThrow,
        ResumeThrowRef, Switch, Pause,
    }

    /// Blocks, branches, and tests for null that branch or trap.
    Control<'a> {
        Unreachable, Block { blockty: BlockType }, Loop { blockty: BlockType },
        If { blockty: BlockType }, Else, End, Br { relative_depth: LabelIndex },
        BrIf { relative_depth: LabelIndex }, BrTable { targets: BrTable<'a> }, Return, RefAsNonNull,
        BrOnNull { relative_depth: LabelIndex }, BrOnNonNull { relative_depth: LabelIndex },
    }
    /// Calls of functions.
    Call {
        Call { function_index: FuncIndex }, CallIndirect { type_index: TypeIndex, table_index: TableIndex },
        ReturnCall { function_index: FuncIndex },
        ReturnCallIndirect { type_index: TypeIndex, table_index: TableIndex }, CallRef { type_index: TypeIndex },
        ReturnCallRef { type_index: TypeIndex },
    }
    /// Locals, constants, and what moves operands.
    Local {
        Nop, Drop, Select, LocalGet { local_index: LocalIndex }, LocalSet { local_index: LocalIndex },
        LocalTee { local_index: LocalIndex }, I32Const { value: i32 }, I64Const { value: i64 },
        F32Const { value: Ieee32 }, F64Const { value: Ieee64 }, TypedSelect { ty: ValType },
        V128Const { value: V128 },
    }
    /// Globals.
    Global {
        GlobalGet { global_index: GlobalIndex }, GlobalSet { global_index: GlobalIndex },
    }
    /// Elements and lengths of tables, and references that are no objects.
    Table {
        RefNull { hty: HeapType }, RefIsNull, RefFunc { function_index: FuncIndex },
        TableGet { table: TableIndex }, TableSet { table: TableIndex }, TableSize { table: TableIndex },
    }
    /// Loads and stores of scalars, and the length of a memory in pages.
    Memory {
        I32Load { memarg: MemArg }, I64Load { memarg: MemArg }, F32Load { memarg: MemArg },
        F64Load { memarg: MemArg }, I32Load8S { memarg: MemArg }, I32Load8U { memarg: MemArg },
        I32Load16S { memarg: MemArg }, I32Load16U { memarg: MemArg }, I64Load8S { memarg: MemArg },
        I64Load8U { memarg: MemArg }, I64Load16S { memarg: MemArg }, I64Load16U { memarg: MemArg },
        I64Load32S { memarg: MemArg }, I64Load32U { memarg: MemArg }, I32Store { memarg: MemArg },
        I64Store { memarg: MemArg }, F32Store { memarg: MemArg }, F64Store { memarg: MemArg },
        I32Store8 { memarg: MemArg }, I32Store16 { memarg: MemArg }, I64Store8 { memarg: MemArg },
        I64Store16 { memarg: MemArg }, I64Store32 { memarg: MemArg }, MemorySize { mem: MemoryIndex },
    }
    /// Operators on ranges of memories and tables, and growth.
    Bulk {
        MemoryGrow { mem: MemoryIndex }, MemoryInit { data_index: DataIndex, mem: MemoryIndex },
        DataDrop { data_index: DataIndex }, MemoryCopy { dst_mem: MemoryIndex, src_mem: MemoryIndex },
        MemoryFill { mem: MemoryIndex }, TableInit { elem_index: ElemIndex, table: TableIndex },
        ElemDrop { elem_index: ElemIndex }, TableCopy { dst_table: TableIndex, src_table: TableIndex },
        TableFill { table: TableIndex }, TableGrow { table: TableIndex },
    }
    /// Arithmetic on integers.
    Integer {
        I32Clz, I32Ctz, I32Popcnt, I32Add, I32Sub, I32Mul, I32DivS, I32DivU, I32RemS, I32RemU,
        I32And, I32Or, I32Xor, I32Shl, I32ShrS, I32ShrU, I32Rotl, I32Rotr, I64Clz, I64Ctz,
        I64Popcnt, I64Add, I64Sub, I64Mul, I64DivS, I64DivU, I64RemS, I64RemU, I64And, I64Or,
        I64Xor, I64Shl, I64ShrS, I64ShrU, I64Rotl, I64Rotr, I64Add128, I64Sub128, I64MulWideS,
        I64MulWideU,
    }
    /// Comparisons of scalars.
    Comparison {
        I32Eqz, I32Eq, I32Ne, I32LtS, I32LtU, I32GtS, I32GtU, I32LeS, I32LeU, I32GeS, I32GeU,
        I64Eqz, I64Eq, I64Ne, I64LtS, I64LtU, I64GtS, I64GtU, I64LeS, I64LeU, I64GeS, I64GeU, F32Eq,
        F32Ne, F32Lt, F32Gt, F32Le, F32Ge, F64Eq, F64Ne, F64Lt, F64Gt, F64Le, F64Ge,
    }
    /// Arithmetic on floats.
    Float {
        F32Abs, F32Neg, F32Ceil, F32Floor, F32Trunc, F32Nearest, F32Sqrt, F32Add, F32Sub, F32Mul,
        F32Div, F32Min, F32Max, F32Copysign, F64Abs, F64Neg, F64Ceil, F64Floor, F64Trunc,
        F64Nearest, F64Sqrt, F64Add, F64Sub, F64Mul, F64Div, F64Min, F64Max, F64Copysign,
    }
    /// Conversions between scalars.
    Conversion {
        I32WrapI64, I32TruncF32S, I32TruncF32U, I32TruncF64S, I32TruncF64U, I64ExtendI32S,
        I64ExtendI32U, I64TruncF32S, I64TruncF32U, I64TruncF64S, I64TruncF64U, F32ConvertI32S,
        F32ConvertI32U, F32ConvertI64S, F32ConvertI64U, F32DemoteF64, F64ConvertI32S,
        F64ConvertI32U, F64ConvertI64S, F64ConvertI64U, F64PromoteF32, I32ReinterpretF32,
        I64ReinterpretF64, F32ReinterpretI32, F64ReinterpretI64, I32Extend8S, I32Extend16S,
        I64Extend8S, I64Extend16S, I64Extend32S, I32TruncSatF32S, I32TruncSatF32U, I32TruncSatF64S,
        I32TruncSatF64U, I64TruncSatF32S, I64TruncSatF32U, I64TruncSatF64S, I64TruncSatF64U,
    }
    /// Exceptions.
    Exception {
        TryTable { try_table: TryTable }, Throw { tag_index: TagIndex }, ThrowRef,
        Try { blockty: BlockType }, Catch { tag_index: TagIndex }, Rethrow { relative_depth: LabelIndex },
        Delegate { relative_depth: LabelIndex }, CatchAll,
    }
    /// Structs, `i31`, and what all objects have.
    Object {
        RefEq, StructNew { struct_type_index: TypeIndex }, StructNewDefault { struct_type_index: TypeIndex },
        StructGet { struct_type_index: TypeIndex, field_index: FieldIndex },
        StructGetS { struct_type_index: TypeIndex, field_index: FieldIndex },
        StructGetU { struct_type_index: TypeIndex, field_index: FieldIndex },
        StructSet { struct_type_index: TypeIndex, field_index: FieldIndex }, AnyConvertExtern, ExternConvertAny,
        RefI31, I31GetS, I31GetU,
    }
    /// Arrays.
    Array {
        ArrayNew { array_type_index: TypeIndex }, ArrayNewDefault { array_type_index: TypeIndex },
        ArrayNewFixed { array_type_index: TypeIndex, array_size: u32 },
        ArrayNewData { array_type_index: TypeIndex, array_data_index: DataIndex },
        ArrayNewElem { array_type_index: TypeIndex, array_elem_index: ElemIndex },
        ArrayGet { array_type_index: TypeIndex }, ArrayGetS { array_type_index: TypeIndex },
        ArrayGetU { array_type_index: TypeIndex }, ArraySet { array_type_index: TypeIndex }, ArrayLen,
        ArrayFill { array_type_index: TypeIndex },
        ArrayCopy { array_type_index_dst: TypeIndex, array_type_index_src: TypeIndex },
        ArrayInitData { array_type_index: TypeIndex, array_data_index: DataIndex },
        ArrayInitElem { array_type_index: TypeIndex, array_elem_index: ElemIndex },
    }
    /// Tests of types at run time.
    Cast {
        RefTestNonNull { hty: HeapType }, RefTestNullable { hty: HeapType },
        RefCastNonNull { hty: HeapType }, RefCastNullable { hty: HeapType },
        BrOnCast { relative_depth: LabelIndex, from_ref_type: RefType, to_ref_type: RefType },
        BrOnCastFail { relative_depth: LabelIndex, from_ref_type: RefType, to_ref_type: RefType },
    }
    /// Atomic loads, stores and exchanges, waiting and notifying.
    Atomic {
        MemoryAtomicNotify { memarg: MemArg }, MemoryAtomicWait32 { memarg: MemArg },
        MemoryAtomicWait64 { memarg: MemArg }, AtomicFence { ordering: Ordering },
        I32AtomicLoad { memarg: MemArg }, I64AtomicLoad { memarg: MemArg },
        I32AtomicLoad8U { memarg: MemArg }, I32AtomicLoad16U { memarg: MemArg },
        I64AtomicLoad8U { memarg: MemArg }, I64AtomicLoad16U { memarg: MemArg },
        I64AtomicLoad32U { memarg: MemArg }, I32AtomicStore { memarg: MemArg },
        I64AtomicStore { memarg: MemArg }, I32AtomicStore8 { memarg: MemArg },
        I32AtomicStore16 { memarg: MemArg }, I64AtomicStore8 { memarg: MemArg },
        I64AtomicStore16 { memarg: MemArg }, I64AtomicStore32 { memarg: MemArg },
        I32AtomicRmwCmpxchg { memarg: MemArg }, I64AtomicRmwCmpxchg { memarg: MemArg },
        I32AtomicRmw8CmpxchgU { memarg: MemArg }, I32AtomicRmw16CmpxchgU { memarg: MemArg },
        I64AtomicRmw8CmpxchgU { memarg: MemArg }, I64AtomicRmw16CmpxchgU { memarg: MemArg },
        I64AtomicRmw32CmpxchgU { memarg: MemArg },
    }
    /// Atomic updates of one operand.
    AtomicUpdate {
        I32AtomicRmwAdd { memarg: MemArg }, I64AtomicRmwAdd { memarg: MemArg },
        I32AtomicRmw8AddU { memarg: MemArg }, I32AtomicRmw16AddU { memarg: MemArg },
        I64AtomicRmw8AddU { memarg: MemArg }, I64AtomicRmw16AddU { memarg: MemArg },
        I64AtomicRmw32AddU { memarg: MemArg }, I32AtomicRmwSub { memarg: MemArg },
        I64AtomicRmwSub { memarg: MemArg }, I32AtomicRmw8SubU { memarg: MemArg },
        I32AtomicRmw16SubU { memarg: MemArg }, I64AtomicRmw8SubU { memarg: MemArg },
        I64AtomicRmw16SubU { memarg: MemArg }, I64AtomicRmw32SubU { memarg: MemArg },
        I32AtomicRmwAnd { memarg: MemArg }, I64AtomicRmwAnd { memarg: MemArg },
        I32AtomicRmw8AndU { memarg: MemArg }, I32AtomicRmw16AndU { memarg: MemArg },
        I64AtomicRmw8AndU { memarg: MemArg }, I64AtomicRmw16AndU { memarg: MemArg },
        I64AtomicRmw32AndU { memarg: MemArg }, I32AtomicRmwOr { memarg: MemArg },
        I64AtomicRmwOr { memarg: MemArg }, I32AtomicRmw8OrU { memarg: MemArg },
        I32AtomicRmw16OrU { memarg: MemArg }, I64AtomicRmw8OrU { memarg: MemArg },
        I64AtomicRmw16OrU { memarg: MemArg }, I64AtomicRmw32OrU { memarg: MemArg },
        I32AtomicRmwXor { memarg: MemArg }, I64AtomicRmwXor { memarg: MemArg },
        I32AtomicRmw8XorU { memarg: MemArg }, I32AtomicRmw16XorU { memarg: MemArg },
        I64AtomicRmw8XorU { memarg: MemArg }, I64AtomicRmw16XorU { memarg: MemArg },
        I64AtomicRmw32XorU { memarg: MemArg }, I32AtomicRmwXchg { memarg: MemArg },
        I64AtomicRmwXchg { memarg: MemArg }, I32AtomicRmw8XchgU { memarg: MemArg },
        I32AtomicRmw16XchgU { memarg: MemArg }, I64AtomicRmw8XchgU { memarg: MemArg },
        I64AtomicRmw16XchgU { memarg: MemArg }, I64AtomicRmw32XchgU { memarg: MemArg },
    }
    /// Loads and stores of vectors.
    VectorMemory {
        V128Load { memarg: MemArg }, V128Load8x8S { memarg: MemArg },
        V128Load8x8U { memarg: MemArg }, V128Load16x4S { memarg: MemArg },
        V128Load16x4U { memarg: MemArg }, V128Load32x2S { memarg: MemArg },
        V128Load32x2U { memarg: MemArg }, V128Load8Splat { memarg: MemArg },
        V128Load16Splat { memarg: MemArg }, V128Load32Splat { memarg: MemArg },
        V128Load64Splat { memarg: MemArg }, V128Load32Zero { memarg: MemArg },
        V128Load64Zero { memarg: MemArg }, V128Store { memarg: MemArg },
        V128Load8Lane { memarg: MemArg, lane: u8 }, V128Load16Lane { memarg: MemArg, lane: u8 },
        V128Load32Lane { memarg: MemArg, lane: u8 }, V128Load64Lane { memarg: MemArg, lane: u8 },
        V128Store8Lane { memarg: MemArg, lane: u8 }, V128Store16Lane { memarg: MemArg, lane: u8 },
        V128Store32Lane { memarg: MemArg, lane: u8 }, V128Store64Lane { memarg: MemArg, lane: u8 },
    }
    /// Lanes of vectors: extracted, replaced, shuffled, spread.
    Lane {
        I8x16Shuffle { lanes: [u8; 16] }, I8x16ExtractLaneS { lane: u8 },
        I8x16ExtractLaneU { lane: u8 }, I8x16ReplaceLane { lane: u8 },
        I16x8ExtractLaneS { lane: u8 }, I16x8ExtractLaneU { lane: u8 },
        I16x8ReplaceLane { lane: u8 }, I32x4ExtractLane { lane: u8 }, I32x4ReplaceLane { lane: u8 },
        I64x2ExtractLane { lane: u8 }, I64x2ReplaceLane { lane: u8 }, F32x4ExtractLane { lane: u8 },
        F32x4ReplaceLane { lane: u8 }, F64x2ExtractLane { lane: u8 }, F64x2ReplaceLane { lane: u8 },
        I8x16Swizzle, I8x16Splat, I16x8Splat, I32x4Splat, I64x2Splat, F32x4Splat, F64x2Splat,
    }
    /// Vectors as bits: logic, tests, shifts.
    VectorBits {
        V128Not, V128And, V128AndNot, V128Or, V128Xor, V128Bitselect, V128AnyTrue, I8x16AllTrue,
        I8x16Bitmask, I8x16Shl, I8x16ShrS, I8x16ShrU, I16x8AllTrue, I16x8Bitmask, I16x8Shl,
        I16x8ShrS, I16x8ShrU, I32x4AllTrue, I32x4Bitmask, I32x4Shl, I32x4ShrS, I32x4ShrU,
        I64x2AllTrue, I64x2Bitmask, I64x2Shl, I64x2ShrS, I64x2ShrU,
    }
    /// Comparisons of vectors.
    VectorComparison {
        I8x16Eq, I8x16Ne, I8x16LtS, I8x16LtU, I8x16GtS, I8x16GtU, I8x16LeS, I8x16LeU, I8x16GeS,
        I8x16GeU, I16x8Eq, I16x8Ne, I16x8LtS, I16x8LtU, I16x8GtS, I16x8GtU, I16x8LeS, I16x8LeU,
        I16x8GeS, I16x8GeU, I32x4Eq, I32x4Ne, I32x4LtS, I32x4LtU, I32x4GtS, I32x4GtU, I32x4LeS,
        I32x4LeU, I32x4GeS, I32x4GeU, I64x2Eq, I64x2Ne, I64x2LtS, I64x2GtS, I64x2LeS, I64x2GeS,
        F32x4Eq, F32x4Ne, F32x4Lt, F32x4Gt, F32x4Le, F32x4Ge, F64x2Eq, F64x2Ne, F64x2Lt, F64x2Gt,
        F64x2Le, F64x2Ge,
    }
    /// Arithmetic on lanes of integers.
    VectorInteger {
        I8x16Abs, I8x16Neg, I8x16Popcnt, I8x16Add, I8x16AddSatS, I8x16AddSatU, I8x16Sub,
        I8x16SubSatS, I8x16SubSatU, I8x16MinS, I8x16MinU, I8x16MaxS, I8x16MaxU, I8x16AvgrU,
        I16x8Abs, I16x8Neg, I16x8Q15MulrSatS, I16x8Add, I16x8AddSatS, I16x8AddSatU, I16x8Sub,
        I16x8SubSatS, I16x8SubSatU, I16x8Mul, I16x8MinS, I16x8MinU, I16x8MaxS, I16x8MaxU,
        I16x8AvgrU, I32x4Abs, I32x4Neg, I32x4Add, I32x4Sub, I32x4Mul, I32x4MinS, I32x4MinU,
        I32x4MaxS, I32x4MaxU, I32x4DotI16x8S, I64x2Abs, I64x2Neg, I64x2Add, I64x2Sub, I64x2Mul,
    }
    /// Arithmetic on lanes of floats.
    VectorFloat {
        F32x4Ceil, F32x4Floor, F32x4Trunc, F32x4Nearest, F32x4Abs, F32x4Neg, F32x4Sqrt, F32x4Add,
        F32x4Sub, F32x4Mul, F32x4Div, F32x4Min, F32x4Max, F32x4PMin, F32x4PMax, F64x2Ceil,
        F64x2Floor, F64x2Trunc, F64x2Nearest, F64x2Abs, F64x2Neg, F64x2Sqrt, F64x2Add, F64x2Sub,
        F64x2Mul, F64x2Div, F64x2Min, F64x2Max, F64x2PMin, F64x2PMax,
    }
    /// Lanes that become wider or narrower.
    VectorWidening {
        I8x16NarrowI16x8S, I8x16NarrowI16x8U, I16x8ExtAddPairwiseI8x16S, I16x8ExtAddPairwiseI8x16U,
        I16x8NarrowI32x4S, I16x8NarrowI32x4U, I16x8ExtendLowI8x16S, I16x8ExtendHighI8x16S,
        I16x8ExtendLowI8x16U, I16x8ExtendHighI8x16U, I16x8ExtMulLowI8x16S, I16x8ExtMulHighI8x16S,
        I16x8ExtMulLowI8x16U, I16x8ExtMulHighI8x16U, I32x4ExtAddPairwiseI16x8S,
        I32x4ExtAddPairwiseI16x8U, I32x4ExtendLowI16x8S, I32x4ExtendHighI16x8S,
        I32x4ExtendLowI16x8U, I32x4ExtendHighI16x8U, I32x4ExtMulLowI16x8S, I32x4ExtMulHighI16x8S,
        I32x4ExtMulLowI16x8U, I32x4ExtMulHighI16x8U, I64x2ExtendLowI32x4S, I64x2ExtendHighI32x4S,
        I64x2ExtendLowI32x4U, I64x2ExtendHighI32x4U, I64x2ExtMulLowI32x4S, I64x2ExtMulHighI32x4S,
        I64x2ExtMulLowI32x4U, I64x2ExtMulHighI32x4U,
    }
    /// Conversions between lanes of integers and floats.
    VectorConversion {
        I32x4TruncSatF32x4S, I32x4TruncSatF32x4U, F32x4ConvertI32x4S, F32x4ConvertI32x4U,
        I32x4TruncSatF64x2SZero, I32x4TruncSatF64x2UZero, F64x2ConvertLowI32x4S,
        F64x2ConvertLowI32x4U, F32x4DemoteF64x2Zero, F64x2PromoteLowF32x4, I32x4RelaxedTruncF32x4S,
        I32x4RelaxedTruncF32x4U, I32x4RelaxedTruncF64x2SZero, I32x4RelaxedTruncF64x2UZero,
    }
    /// Operators whose result may depend on the processor: relaxed SIMD.
    VectorRelaxed {
        I8x16RelaxedSwizzle, F32x4RelaxedMadd, F32x4RelaxedNmadd, F64x2RelaxedMadd,
        F64x2RelaxedNmadd, I8x16RelaxedLaneselect, I16x8RelaxedLaneselect, I32x4RelaxedLaneselect,
        I64x2RelaxedLaneselect, F32x4RelaxedMin, F32x4RelaxedMax, F64x2RelaxedMin, F64x2RelaxedMax,
        I16x8RelaxedQ15mulrS, I16x8RelaxedDotI8x16I7x16S, I32x4RelaxedDotI8x16I7x16AddS,
    }
}
