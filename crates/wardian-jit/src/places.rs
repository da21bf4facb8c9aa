//! What can trap in machine code, and which operator each instruction belongs to.
//!
//! The place of a trap is the operator that traps, whatever the optimiser did. Instructions that can
//! trap keep their order in Cranelift, and of two equal ones the first stays, so that most positions
//! are right by themselves. Three transformations lose a position:
//!
//! - A branch to a block that only traps becomes a conditional trap with the position of the branch.
//!   Such blocks begin with a sequence point, which prevents it (`Translator::trap`).
//! - A store that the next one overwrites is removed, and the trap is then that of the later one.
//!   Stores that follow each other have different codes ([`memory_code`]), which prevents it.
//! - A load becomes the memory operand of the instruction that uses it, and gets its position.
//!   That makes code faster, so it is found out afterwards here ([`sunk_loads`]).

use cranelift_codegen::ir::{self, Function, Inst, Value};
use cranelift_codegen::isa::unwind::UnwindInst;
use cranelift_codegen::{ExceptionContextLoc, FinalizedMachExceptionHandler, RegClass};
use wardian_types::TrapCode;
use wardian_vm::compiled::{
    Call, InstanceAt, Location, ScopeIndex, SourceLoc, SpOffset, TextOffset, Trap,
};
use wardian_vm::unwind::{CALLEE_SAVED, Saved, SavedIndex};

type Buffer = cranelift_codegen::MachBufferFinalized<cranelift_codegen::Final>;

/// The first of the codes that all mean an access out of bounds.
const MEMORY_CODES: u8 = 128;
/// How many of them there are.
const MEMORY_CODE_COUNT: u32 = 64;

/// The tables of compiled code: what can trap, and what comes from where. `func` is what was
/// compiled, after it was optimised.
pub(crate) fn tables(func: &Function, buffer: &Buffer) -> (Vec<Trap>, Vec<Location>) {
    let mut traps: Vec<Trap> = buffer
        .traps()
        .iter()
        .map(|t| Trap { offset: TextOffset::from_u32(t.offset), code: trap_number(t.code) })
        .collect();
    traps.sort_by_key(|t| t.offset);
    let locations = with_sunk_loads(&locations(buffer), &sunk_loads(func, buffer));
    (traps, locations)
}

/// The calls that have handlers of exceptions, in order.
///
/// # Errors
///
/// The compiler has put something where it cannot be found.
pub(crate) fn calls(buffer: &Buffer) -> Result<Vec<Call>, String> {
    let mut calls = Vec::new();
    for site in buffer.call_sites().filter(|site| !site.exception_handlers.is_empty()) {
        let frame_size = site.frame_offset.ok_or("a call with handlers has no frame")?;
        let offset = TextOffset::from_u32(site.ret_addr);
        let (instance, entry) = (InstanceAt::default(), TextOffset::FIRST);
        let mut call = Call { offset, frame_size, instance, scope: ScopeIndex::FIRST, entry };
        for handler in site.exception_handlers {
            match handler {
                FinalizedMachExceptionHandler::Tag(tag, offset) => {
                    (call.scope, call.entry) =
                        (ScopeIndex::from_u32(tag.as_u32()), TextOffset::from_u32(*offset));
                }
                FinalizedMachExceptionHandler::Context(ExceptionContextLoc::SPOffset(offset)) => {
                    call.instance = InstanceAt::Stack(SpOffset::from_u32(*offset));
                }
                FinalizedMachExceptionHandler::Context(ExceptionContextLoc::GPR(number))
                    if let Some(at) = CALLEE_SAVED.iter().position(|kept| kept == number) =>
                {
                    call.instance = InstanceAt::Register(SavedIndex::from_usize(at));
                }
                other => return Err(format!("a handler is not understood: {other:?}")),
            }
        }
        calls.push(call);
    }
    calls.sort_by_key(|call| call.offset);
    Ok(calls)
}

/// Which callee-saved registers a function saves in its frame.
///
/// # Errors
///
/// The compiler saves them elsewhere than [`Saved::places`] says.
pub(crate) fn saved(buffer: &Buffer) -> Result<Saved, String> {
    let (mut area, mut found) = (0, Vec::new());
    for (_, inst) in &buffer.unwind_info {
        match inst {
            UnwindInst::DefineNewFrame { offset_downward_to_clobbers, .. } => {
                area = *offset_downward_to_clobbers;
            }
            UnwindInst::SaveReg { clobber_offset, reg } => found.push((*reg, *clobber_offset)),
            _ => {}
        }
    }
    let mut saved = Saved::default();
    let mut places = Vec::with_capacity(found.len());
    for (reg, offset) in found {
        let number = Some(reg.hw_enc()).filter(|_| reg.class() == RegClass::Int);
        let at = number.and_then(|number| CALLEE_SAVED.iter().position(|kept| *kept == number));
        let at =
            at.ok_or_else(|| format!("it saves a register that is not callee-saved: {reg:?}"))?;
        saved.0 |= 1 << at;
        places.push((SavedIndex::from_usize(at), area.wrapping_sub(offset) as usize));
    }
    places.sort_unstable();
    match saved.places().eq(places) {
        true => Ok(saved),
        false => Err("it saves registers where they are not looked for".into()),
    }
}

/// The code of accesses to guest memory after so many stores of the function.
///
/// A load and the store that follows it have the same one: else Cranelift could not make one
/// instruction of both.
pub(crate) fn memory_code(stores: u32) -> ir::TrapCode {
    ir::TrapCode::unwrap_user(MEMORY_CODES + (stores % MEMORY_CODE_COUNT) as u8)
}

/// Wardian's number for a trap of Cranelift's.
fn trap_number(code: ir::TrapCode) -> u8 {
    let code = match code {
        ir::TrapCode::STACK_OVERFLOW => TrapCode::StackOverflow,
        ir::TrapCode::INTEGER_OVERFLOW => TrapCode::IntegerOverflow,
        ir::TrapCode::HEAP_OUT_OF_BOUNDS => TrapCode::MemoryOutOfBounds,
        ir::TrapCode::INTEGER_DIVISION_BY_ZERO => TrapCode::IntegerDivisionByZero,
        ir::TrapCode::BAD_CONVERSION_TO_INTEGER => TrapCode::BadConversionToInteger,
        user if user.as_raw().get() >= MEMORY_CODES => TrapCode::MemoryOutOfBounds,
        user => return user.as_raw().get(),
    };
    code as u8
}

/// Where each operator's code begins. Code between operators (moves that the register allocator
/// added) counts to the one before.
fn locations(buffer: &Buffer) -> Vec<Location> {
    let mut locations: Vec<Location> = Vec::new();
    for range in buffer.get_srclocs_sorted() {
        let operator = SourceLoc::from_u32(range.loc.bits());
        let is_new = locations.last().is_none_or(|l| l.operator != operator);
        if range.start != range.end && is_new {
            locations.push(Location { offset: TextOffset::from_u32(range.start), operator });
        }
    }
    locations.shrink_to_fit();
    locations
}

/// An instruction that can trap.
struct Record {
    /// Operator and code.
    key: (SourceLoc, u8),
    offset: TextOffset,
    /// Whether it was found out which load it has.
    taken: bool,
}

/// All of them, by operator, code and offset.
fn records(buffer: &Buffer) -> Vec<Record> {
    let ranges = buffer.get_srclocs_sorted();
    let mut records = Vec::with_capacity(buffer.traps().len());
    for trap in buffer.traps() {
        let range = ranges.partition_point(|r| r.start <= trap.offset).checked_sub(1);
        if let Some(range) = range.map(|i| &ranges[i]).filter(|r| trap.offset < r.end) {
            let operator = SourceLoc::from_u32(range.loc.bits());
            let key = (operator, trap.code.as_raw().get());
            let offset = TextOffset::from_u32(trap.offset);
            records.push(Record { key, offset, taken: false });
        }
    }
    records.sort_unstable_by_key(|r| (r.key, r.offset));
    // An instruction may have more than one reason to trap, but an offset one place.
    records.dedup_by_key(|r| (r.key, r.offset));
    records
}

fn find(records: &mut [Record], operator: SourceLoc, code: ir::TrapCode) -> Option<&mut Record> {
    let key = (operator, code.as_raw().get());
    let at = records.partition_point(|r| r.key < key);
    records[at..].iter_mut().take_while(|r| r.key == key).find(|r| !r.taken)
}

/// A value that a load without an instruction of its own gave, or that was computed from it.
struct Tracked {
    value: Value,
    code: ir::TrapCode,
    operator: SourceLoc,
}

/// The loads that are memory operands of other operators' instructions: where those are, and the
/// position of the load.
///
/// A load that can trap and has no instruction at its own position was merged into one of those that
/// use its value, which are in the same block.
fn sunk_loads(func: &Function, buffer: &Buffer) -> Vec<Location> {
    let mut records = records(buffer);
    let mut found = Vec::new();
    let mut tracked: Vec<Tracked> = Vec::new();
    for block in func.layout.blocks() {
        tracked.clear();
        for inst in func.layout.block_insts(block) {
            if !tracked.is_empty() {
                follow(func, inst, &mut records, &mut tracked, &mut found);
            }
            let Some(code) = load_code(func, inst) else { continue };
            let operator = operator_of(func, inst);
            if find(&mut records, operator, code).is_none() {
                tracked.push(Tracked { value: func.dfg.first_result(inst), code, operator });
            }
        }
    }
    found.sort_by_key(|l| l.offset);
    found.dedup_by_key(|l| l.offset);
    found
}

/// The operator that an instruction was made from.
fn operator_of(func: &Function, inst: Inst) -> SourceLoc {
    SourceLoc::from_u32(func.srcloc(inst).bits())
}

/// The code of a load that can trap and that Cranelift may move to where its value is used.
fn load_code(func: &Function, inst: Inst) -> Option<ir::TrapCode> {
    let data = &func.dfg.insts[inst];
    let opcode = data.opcode();
    if !opcode.can_load() || opcode.can_store() || func.dfg.inst_results(inst).len() != 1 {
        return None;
    }
    func.dfg.mem_flags[data.memflags()?].trap_code()
}

/// Looks whether an instruction uses a tracked value, and has the load in its machine code.
fn follow(
    func: &Function,
    inst: Inst,
    records: &mut [Record],
    tracked: &mut Vec<Tracked>,
    found: &mut Vec<Location>,
) {
    for arg in func.dfg.inst_args(inst) {
        let Some(at) = tracked.iter().position(|t| t.value == *arg) else { continue };
        let Tracked { code, operator, .. } = tracked.swap_remove(at);
        if let Some(record) = find(records, operator_of(func, inst), code) {
            record.taken = true;
            found.push(Location { offset: record.offset, operator });
        } else if let [value] = func.dfg.inst_results(inst) {
            tracked.push(Tracked { value: *value, code, operator });
        }
    }
}

/// Gives the instructions that begin at some offsets the positions that belong to them.
fn with_sunk_loads(locations: &[Location], sunk: &[Location]) -> Vec<Location> {
    let mut all = Vec::with_capacity(locations.len() + 2 * sunk.len());
    let mut rest = locations.iter().copied().peekable();
    let mut current = SourceLoc::NONE;
    for load in sunk {
        while let Some(next) = rest.next_if(|l| l.offset <= load.offset) {
            current = next.operator;
            all.push(next);
        }
        if all.last().is_some_and(|l: &Location| l.offset == load.offset) {
            all.pop();
        }
        all.push(*load);
        // No other instruction begins there.
        let after = TextOffset::from_u32(load.offset.as_u32() + 1);
        if rest.peek().is_none_or(|l| l.offset > after) {
            all.push(Location { offset: after, operator: current });
        }
    }
    all.extend(rest);
    debug_assert!(all.is_sorted_by(|a, b| a.offset < b.offset), "places are in order");
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sunk_loads_have_places_of_their_own() {
        let at = |offset, operator| Location {
            offset: TextOffset::from_u32(offset),
            operator: SourceLoc::from_u32(operator),
        };
        let all = [at(0, 1), at(8, 2), at(13, 3)];
        let sunk = [at(4, 10), at(8, 11), at(12, 12), at(20, 13)];
        let expected = [
            at(0, 1),
            at(4, 10),
            at(5, 1),
            at(8, 11),
            at(9, 2),
            at(12, 12),
            at(13, 3),
            at(20, 13),
            at(21, 3),
        ];
        assert_eq!(with_sunk_loads(&all, &sunk), expected);
        assert_eq!(with_sunk_loads(&all, &[]), all);
    }
}
