//! What fuel operators burn: the same on every engine.

use wasmparser::Operator;

/// Adds up the fuel of operators as they are translated, in order, dead code left out.
///
/// Every operator costs one, but those that only give structure cost nothing. Engines subtract the result of
/// [`FuelMeter::step`] before they run the operator that it was computed for, and compare the fuel with zero
/// at the beginning of functions and at each beginning of a loop's body. So the count is the same on all
/// engines, also after a trap.
#[derive(Clone, Copy, Debug, Default)]
pub struct FuelMeter {
    pending: u32,
}

impl FuelMeter {
    /// Notes the next operator. If control may leave or enter the straight line here, this is the fuel
    /// to subtract before the operator runs; zero for none.
    pub fn step(&mut self, operator: &Operator<'_>) -> u32 {
        let (cost, flushes) = match operator {
            Operator::Nop
            | Operator::Drop
            | Operator::Block { .. }
            | Operator::TryTable { .. }
            | Operator::Try { .. } => (0, false),
            Operator::Loop { .. }
            | Operator::Else
            | Operator::End
            | Operator::Catch { .. }
            | Operator::CatchAll
            | Operator::Delegate { .. } => (0, true),
            Operator::If { .. }
            | Operator::Br { .. }
            | Operator::BrIf { .. }
            | Operator::BrTable { .. }
            | Operator::BrOnNull { .. }
            | Operator::BrOnNonNull { .. }
            | Operator::BrOnCast { .. }
            | Operator::BrOnCastFail { .. }
            | Operator::Return
            | Operator::Unreachable
            | Operator::Throw { .. }
            | Operator::ThrowRef
            | Operator::Rethrow { .. }
            | Operator::Call { .. }
            | Operator::CallIndirect { .. }
            | Operator::CallRef { .. }
            | Operator::ReturnCall { .. }
            | Operator::ReturnCallIndirect { .. }
            | Operator::ReturnCallRef { .. } => (1, true),
            _ => (1, false),
        };
        self.pending = self.pending.saturating_add(cost);
        if flushes { std::mem::take(&mut self.pending) } else { 0 }
    }
}
