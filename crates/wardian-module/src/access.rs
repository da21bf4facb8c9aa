//! Which memory an operator accesses, and how.

use crate::ModuleInfo;
use wardian_types::{CodeOffset, MemoryIndex};
use wasmparser::{BinaryReader, MemArgTarget, OperatorsReader};

/// What an operator says of its access to a memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryOperator {
    /// The memory.
    pub memory: MemoryIndex,
    /// What is added to the operand.
    pub offset: u64,
    /// How many bytes are accessed.
    pub size: u64,
    /// Whether it stores, at an address that need not be a multiple of the size.
    pub stores: bool,
}

impl MemoryOperator {
    /// The operator at this offset in the code section; none if it accesses no memory, or a range whose
    /// size is an operand.
    pub fn at(info: &ModuleInfo, bytes: &[u8], code_offset: CodeOffset) -> Option<MemoryOperator> {
        let at = info.code_section.checked_add(code_offset.index())?;
        let after = info.bodies.as_slice().partition_point(|body| body.end <= at);
        let body = info.bodies.as_slice().get(after).filter(|body| body.contains(&at))?;
        let code = bytes.get(at..body.end)?;
        let operator = OperatorsReader::new(BinaryReader::new(code, 0)).read().ok()?;
        let memarg = memarg(&operator)?;
        let MemArgTarget::Memory(memory) = memarg.target else { return None };
        // The natural alignment of an operator is the size of its access.
        let size = 1 << memarg.max_align;
        let memory = MemoryIndex::from_u32(memory);
        Some(MemoryOperator { memory, offset: memarg.offset, size, stores: stores(&operator) })
    }
}

/// Whether an operator stores, and is no atomic one.
pub fn stores(operator: &wasmparser::Operator<'_>) -> bool {
    use wasmparser::Operator as O;
    matches!(
        operator,
        O::I32Store { .. }
            | O::I64Store { .. }
            | O::F32Store { .. }
            | O::F64Store { .. }
            | O::I32Store8 { .. }
            | O::I32Store16 { .. }
            | O::I64Store8 { .. }
            | O::I64Store16 { .. }
            | O::I64Store32 { .. }
            | O::V128Store { .. }
            | O::V128Store8Lane { .. }
            | O::V128Store16Lane { .. }
            | O::V128Store32Lane { .. }
            | O::V128Store64Lane { .. }
    )
}

/// The immediate argument of operators that access memory.
fn memarg(operator: &wasmparser::Operator<'_>) -> Option<wasmparser::MemArg> {
    macro_rules! only {
        ([memarg $($rest:ident)*] $argument:ident $($more:ident)*) => {{
            $( let _ = $more; )*
            return Some(*$argument);
        }};
        ([$($other:ident)*] $($more:ident)*) => {{ $( let _ = $more; )* }};
    }
    macro_rules! find {
        ($( @$proposal:ident $op:ident $({ $($arg:ident: $ty:ty),* })? => $visit:ident ($($ann:tt)*))*) => {
            match operator {
                $( wasmparser::Operator::$op $({ $($arg),* })? => only!([$($($arg)*)?] $($($arg)*)?), )*
                _ => {}
            }
        };
    }
    wasmparser::for_each_operator!(find);
    None
}
