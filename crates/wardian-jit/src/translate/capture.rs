//! Functions whose frames can be captured: values are stored in the frame where a checkpoint may be taken.
//!
//! ```text
//!   local.get 0 … call $f        cells of the locals that are read later, and of the operands below the
//!                                arguments: stored before the call, unless they have these values already
//!   loop                         poll: is a checkpoint wanted? ── rarely ──> cells are stored, the runtime called
//! ```
//!
//! A local has one cell in the frame, an operand one for its height. Which cells have the present values is known
//! where a block begins as far as all paths to it agree, so that calls behind each other store what has changed.
//! See [`wardian_vm::compiled`] for the tables.

use super::control::{Frame, FrameIndex, Kind};
use super::objects::is_object_ref;
use super::state::{Outcome, Region, Translator};
use cranelift_codegen::MachBufferFrameLayout;
use cranelift_codegen::ir::{
    AbiParam, Endianness, Inst, InstBuilder, MemFlagsData, Signature, StackSlot, StackSlotData,
    StackSlotKind, UserStackMapEntry, Value, types,
};
use cranelift_codegen::isa::CallConv;
use cranelift_frontend::FunctionBuilder;
use std::collections::HashMap;
use wardian_module::{Liveness, ReadIndex};
use wardian_types::{IndexVec, LocalIndex, OperandIndex};
use wardian_vm::addr::FpOffset;
use wardian_vm::compiled::{Capture, CellIndex, CellOffset, FramePoint, FrameTable};
use wardian_vm::layout::{Builtin, CAPTURE_WORDS, store_ctx};
use wasmparser::{FunctionBody, Operator};

/// Locals, by their positions among those that are read, of which it is known whether their cells are up to date.
const TRACKED: usize = 256;
/// Slots of operands of which that is known.
const TRACKED_SLOTS: usize = 16;
/// A function that would store more, or have a larger table, is compiled as one that cannot be captured: the work for
/// some would grow with calls times locals.
const MOST_STORES: usize = 300_000;
const MOST_TABLE_WORDS: usize = 1 << 20;

wardian_types::index_types! {
    /// A slot of the operands that are stored: each operand takes one, a vector two.
    struct OperandSlot;
}

impl OperandSlot {
    fn offset(self) -> CellOffset {
        CellOffset::from_u32(8 * self.as_u32())
    }
}

/// What the translation of a function that can be captured knows.
pub(super) struct Captured {
    live: Liveness,
    /// Locals that have no default value: a frame is made again with them, whether they are read later or not.
    undefaultable: Vec<LocalIndex>,
    /// The cell of the instance, then those of locals.
    locals: StackSlot,
    operands: StackSlot,
    /// The cell of each local.
    numbers: HashMap<LocalIndex, CellIndex>,
    cells: IndexVec<CellIndex, (LocalIndex, CellOffset)>,
    locals_size: u32,
    operands_size: u32,
    homes: Homes,
    points: Vec<FramePoint>,
    loops: bool,
    /// How many polls there are so far, stores, and words of the table.
    polls: u32,
    stores: usize,
    words: usize,
}

/// The cells that have the present values.
#[derive(Clone, Copy, Default)]
pub(super) struct Homes {
    instance: bool,
    locals: [u64; TRACKED / 64],
    /// The values that begin in the slots of operands.
    operands: [Option<Value>; TRACKED_SLOTS],
}

impl Homes {
    fn has(&self, local: ReadIndex) -> bool {
        self.locals
            .get(local.index() / 64)
            .is_some_and(|word| word & 1 << (local.index() % 64) != 0)
    }

    fn set(&mut self, local: ReadIndex, on: bool) {
        if let Some(word) = self.locals.get_mut(local.index() / 64) {
            *word &= !(1 << (local.index() % 64));
            *word |= u64::from(on) << (local.index() % 64);
        }
    }

    /// What two paths agree on.
    pub(super) fn and(mut self, other: &Homes) -> Homes {
        self.instance &= other.instance;
        self.locals.iter_mut().zip(other.locals).for_each(|(word, other)| *word &= other);
        for (operand, other) in self.operands.iter_mut().zip(other.operands) {
            *operand = operand.filter(|value| other == Some(*value));
        }
        self
    }

    /// Nothing is known of the slots from here on.
    fn truncate(&mut self, first: OperandSlot) {
        self.operands.iter_mut().skip(first.index()).for_each(|operand| *operand = None);
    }

    /// A value of so many slots gets its place. Returns whether it is there already.
    fn place(&mut self, slot: OperandSlot, slots: u32, value: Value) -> bool {
        let is_there =
            self.operands.get(slot.index()).is_some_and(|operand| *operand == Some(value));
        if !is_there {
            // One before it may reach into it.
            let before = slot.index().saturating_sub(1);
            let (len, after) = (self.operands.len(), slot.add(slots).index());
            self.operands[before.min(len)..after.min(len)].fill(None);
            if let Some(operand) = self.operands.get_mut(slot.index()) {
                *operand = Some(value);
            }
        }
        is_there
    }
}

/// What is stored for a point, and where references to objects are then.
pub(super) type Stored = Vec<UserStackMapEntry>;

impl Captured {
    fn new(b: &mut FunctionBuilder<'_>, live: Liveness, loops: bool) -> Captured {
        // Their sizes are known at the end.
        let mut slot =
            || b.create_sized_stack_slot(StackSlotData::new(StackSlotKind::ExplicitSlot, 8, 3));
        Captured {
            live,
            undefaultable: Vec::new(),
            locals: slot(),
            operands: slot(),
            numbers: HashMap::new(),
            cells: IndexVec::new(),
            locals_size: 8,
            operands_size: 8,
            homes: Homes::default(),
            points: Vec::new(),
            loops,
            polls: 0,
            stores: 0,
            words: 0,
        }
    }

    /// Whether it was too much.
    fn is_given_up(&self) -> bool {
        self.stores > MOST_STORES || self.words > MOST_TABLE_WORDS
    }

    /// The cell of a local, and where it lies.
    fn cell(&mut self, local: LocalIndex, size: u32) -> (CellIndex, CellOffset) {
        let next = self.cells.next_index();
        let cell = *self.numbers.entry(local).or_insert(next);
        if cell == next {
            self.cells.push((local, CellOffset::from_u32(self.locals_size)));
            self.locals_size += size;
        }
        (cell, self.cells[cell].1)
    }
}

impl Translator<'_, '_> {
    /// Prepares the function to be captured, if that is wanted.
    pub(super) fn begin_capture(&mut self, body: &FunctionBody<'_>) -> Outcome {
        let loops = match self.env.tunables.capture {
            Capture::Off => return Ok(()),
            Capture::Calls => false,
            Capture::CallsAndLoops => true,
        };
        let live = Liveness::of(body)?;
        let mut captured = Captured::new(&mut self.b, live, loops);
        let types = (0..).zip(self.locals.types());
        captured.undefaultable = types
            .filter(|(_, ty)| !ty.is_defaultable())
            .map(|(local, _)| LocalIndex::from_u32(local))
            .collect();
        self.captured = Some(captured);
        Ok(())
    }

    /// Asks whether a checkpoint is wanted, before the first operator. If loops ask, that is not necessary in functions
    /// that call none, and not where a loop begins at once, which would be the same point.
    pub(super) fn poll_at_start(&mut self, first: Option<&Operator<'_>>) -> Outcome {
        let captured = self.captured.as_ref().filter(|captured| !captured.is_given_up());
        let Some(captured) = captured else { return Ok(()) };
        let asks_soon = matches!(first, Some(Operator::Loop { .. }));
        if captured.loops && (asks_soon || !captured.live.makes_calls()) {
            return Ok(());
        }
        let params = self.ty.params().len();
        let read = captured.live.read();
        let mut live = captured.live.live_at_start();
        // Others have their default values.
        live.retain(|at| read[*at].index() < params);
        self.poll_for_checkpoint(live)
    }

    /// The same at the header of a loop.
    pub(super) fn poll_at_loop(&mut self) -> Outcome {
        let captured = self.captured.as_ref().filter(|captured| !captured.is_given_up());
        let Some(captured) = captured.filter(|captured| captured.loops) else { return Ok(()) };
        let live = captured.live.live_at(self.position);
        self.poll_for_checkpoint(live)
    }

    fn poll_for_checkpoint(&mut self, live: Vec<ReadIndex>) -> Outcome {
        let word = self.load_wanted();
        let (capture, next) = (self.cold_block(), self.b.create_block());
        self.b.ins().brif(word, capture, &[], next, &[]);
        self.enter(capture);
        // What is stored here is not stored on the other path.
        let homes = self.homes();
        let stored = self.store_point(live, true)?;
        // This one keeps all registers: what is in them need not be elsewhere because of a call that is rare.
        let code = self.builtin_code(Builtin::Checkpoint);
        let mut signature = Signature::new(CallConv::PreserveAll);
        signature.params.push(AbiParam::new(types::I64));
        let sig = self.b.import_signature(signature);
        let call = self.b.ins().call_indirect(sig, code, &[self.vmctx]);
        self.note_stored(call, stored);
        self.set_homes(homes);
        self.b.ins().jump(next, &[]);
        self.enter(next);
        Ok(())
    }

    /// Loads whether a checkpoint is wanted.
    ///
    /// Another thread writes it. The compiler would merge a plain load with an earlier one of the same place, and must
    /// not: so each poll of a function loads from other bytes, which say the same. An atomic load, which is never
    /// merged, keeps all others from being merged across it, and makes loops much slower; it is what polls do for which
    /// no bytes are left.
    pub(super) fn load_wanted(&mut self) -> Value {
        const BYTES: u32 = 8 * CAPTURE_WORDS as u32;
        let store = self.store_ctx();
        let number = self.captured.as_mut().map_or(0, |captured| {
            captured.polls += 1;
            captured.polls - 1
        });
        // Two bytes that begin at the last but one are the last two.
        let place = match number.checked_sub(BYTES) {
            None => Some((types::I8, number)),
            Some(offset) if offset + 1 < BYTES => Some((types::I16, offset)),
            Some(_) => None,
        };
        if let Some((ty, offset)) = place {
            let flags = MemFlagsData::new().with_notrap();
            return self.b.ins().load(ty, flags, store, store_ctx::CAPTURE + offset as i32);
        }
        let address = self.b.ins().iadd_imm_s(store, i64::from(store_ctx::CAPTURE));
        self.b.ins().atomic_load(types::I64, MemFlagsData::trusted(), address)
    }

    /// Stores what a frame needs that waits in the call whose arguments were just taken off the operand stack.
    pub(super) fn store_for_call(&mut self) -> Outcome<Stored> {
        let captured = self.captured.as_ref().filter(|captured| !captured.is_given_up());
        let Some(captured) = captured else { return Ok(Stored::new()) };
        let live = captured.live.live_at(self.position);
        self.store_point(live, false)
    }

    /// The references that were stored for a call are found by the collector.
    pub(super) fn note_stored(&mut self, call: Inst, stored: Stored) {
        for entry in stored {
            self.b.func.dfg.append_user_stack_map_entry(call, entry);
        }
    }

    /// Stores the instance, the operands, and the locals that are live.
    fn store_point(&mut self, live: Vec<ReadIndex>, before: bool) -> Outcome<Stored> {
        // Taken out, so that it can be changed while instructions are added.
        let Some(mut captured) = self.captured.take() else { return Ok(Stored::new()) };
        let mut stored = Stored::new();
        let done = self.store_locals(&mut captured, live, &mut stored).map(|mut live| {
            self.store_operands(&mut captured, &mut stored);
            live.sort_unstable();
            live.dedup();
            let catches = self.frames.iter().filter(|frame| matches!(frame.kind, Kind::Catch(_)));
            let caught = catches.map(|frame| frame.height).collect();
            captured.words += captured.cells.len().div_ceil(32) + self.stack.len().div_ceil(32);
            captured.points.push(FramePoint { offset: self.offset, before, live, caught });
        });
        self.captured = Some(captured);
        done.map(|()| stored)
    }

    /// A loop is about to begin: stores what calls in it need that does not change there, once instead of in each round.
    pub(super) fn store_ahead_of_loop(&mut self) -> Outcome {
        // Where the code begins at a loop, nothing before it is executed.
        if self.encloses_loop_entry() || self.captured.as_ref().is_some_and(Captured::is_given_up) {
            return Ok(());
        }
        let Some(mut captured) = self.captured.take() else { return Ok(()) };
        let kept = captured.live.kept_for_calls(self.position);
        let stored = kept.map_or(Ok(Vec::new()), |kept| {
            self.store_locals(&mut captured, kept, &mut Stored::new())
        });
        self.captured = Some(captured);
        stored.map(drop)
    }

    fn store_locals(
        &mut self,
        captured: &mut Captured,
        live: Vec<ReadIndex>,
        stored: &mut Stored,
    ) -> Outcome<Vec<CellIndex>> {
        if !captured.homes.instance {
            self.store_in_frame(captured.locals, CellOffset::FIRST, self.vmctx);
            captured.homes.instance = true;
        }
        let mut numbers = Vec::with_capacity(live.len());
        let live = live.into_iter().map(|at| (captured.live.read()[at], Some(at)));
        let others =
            captured.undefaultable.iter().map(|local| (*local, captured.live.rank(*local)));
        for (local, at) in live.chain(others).collect::<Vec<_>>() {
            let ty = self.locals.ty(local);
            let (number, offset) = captured.cell(local, 8 * ty.slots() as u32);
            numbers.push(number);
            // The collector sees a reference in a cell during this call, but not before: it is stored each time, and
            // so the value, which the collector does see, is kept until then.
            let is_reference = is_object_ref(ty);
            if is_reference || !at.is_some_and(|at| captured.homes.has(at)) {
                let variable = self.local(local)?;
                let value = self.b.use_var(variable);
                self.store_in_frame(captured.locals, offset, value);
                captured.stores += 1;
                if let Some(at) = at {
                    captured.homes.set(at, !is_reference);
                }
            }
            if is_reference {
                stored.push(reference(captured.locals, offset));
            }
        }
        Ok(numbers)
    }

    fn store_operands(&mut self, captured: &mut Captured, stored: &mut Stored) {
        let mut slot = OperandSlot::FIRST;
        for operand in self.stack.indices() {
            let (value, offset) = (self.stack[operand], slot.offset());
            let slots = self.slots_of(value);
            let is_there = captured.homes.place(slot, slots, value);
            // As for locals.
            let is_reference = self.references.contains(&value);
            if is_reference || !is_there {
                self.store_in_frame(captured.operands, offset, value);
                captured.stores += 1;
            }
            if is_reference {
                stored.push(reference(captured.operands, offset));
            }
            slot = slot.add(slots);
        }
        captured.operands_size = captured.operands_size.max(slot.offset().as_u32());
    }

    fn slots_of(&self, value: Value) -> u32 {
        self.b.func.dfg.value_type(value).bytes().div_ceil(8)
    }

    fn store_in_frame(&mut self, slot: StackSlot, offset: CellOffset, value: Value) {
        let region = self.region(Region::Frame);
        // Vectors are aligned to eight bytes only.
        let flags = MemFlagsData::new().with_notrap().with_endianness(Endianness::Little);
        let flags = flags.with_alias_region(Some(region));
        let address = self.b.ins().stack_addr(types::I64, slot, 0);
        self.b.ins().store(flags, value, address, offset.as_u32() as i32);
    }

    // Which cells are up to date.

    /// What is known here.
    pub(super) fn homes(&self) -> Homes {
        self.captured.as_ref().map_or_else(Homes::default, |captured| captured.homes)
    }

    pub(super) fn set_homes(&mut self, homes: Homes) {
        if let Some(captured) = &mut self.captured {
            captured.homes = homes;
        }
    }

    /// A branch leads from here to the end of an open block.
    pub(super) fn merge_homes(&mut self, frame: FrameIndex) {
        let Some(captured) = &self.captured else { return };
        let frame: &mut Frame = &mut self.frames[frame];
        let known = frame.homes_at_end.as_ref();
        frame.homes_at_end = Some(known.map_or(captured.homes, |known| captured.homes.and(known)));
    }

    /// Paths meet at the end of a block, of which this is known; the operands below it are on the stack.
    pub(super) fn join_homes(&mut self, homes: Option<Homes>, height: OperandIndex) {
        if self.captured.is_some() {
            let below = self.stack.iter().take(height.index());
            let slots = below.map(|value| self.slots_of(*value)).sum();
            let mut homes = homes.unwrap_or_default();
            homes.truncate(OperandSlot::from_u32(slots));
            self.set_homes(homes);
        }
    }

    /// A loop begins: later rounds come with other values of the locals that are written in it. Where the code
    /// begins at a loop, nothing was stored before.
    pub(super) fn begin_loop_homes(&mut self, height: OperandIndex, encloses_entry: bool) {
        if encloses_entry {
            return self.set_homes(Homes::default());
        }
        self.join_homes(Some(self.homes()), height);
        let position = self.position;
        let Some(captured) = &mut self.captured else { return };
        for local in captured.live.written_in(position) {
            captured.homes.set(local, false);
        }
    }

    /// A local gets a value.
    pub(super) fn local_written(&mut self, local: LocalIndex) {
        if let Some(captured) = &mut self.captured
            && let Some(at) = captured.live.rank(local)
        {
            captured.homes.set(at, false);
        }
    }

    /// Sets the sizes of the cells. Returns what the tables are made of.
    pub(super) fn end_capture(&mut self) -> Option<Points> {
        let captured = self.captured.take()?;
        let given_up = captured.is_given_up();
        let used = !captured.points.is_empty();
        for (slot, size) in
            [(captured.locals, captured.locals_size), (captured.operands, captured.operands_size)]
        {
            self.b.func.sized_stack_slots[slot].size = if used { size } else { 0 };
        }
        let Captured { locals, operands, cells, mut points, .. } = captured;
        if given_up {
            points.clear();
        }
        points.sort_unstable();
        debug_assert!(points.is_sorted_by(|a, b| (a.offset, a.before) < (b.offset, b.before)));
        Some(Points { locals, operands, cells, points })
    }
}

fn reference(slot: StackSlot, offset: CellOffset) -> UserStackMapEntry {
    UserStackMapEntry { ty: types::I32, slot, offset: offset.as_u32() }
}

/// The points of a function that was translated.
pub(crate) struct Points {
    locals: StackSlot,
    operands: StackSlot,
    cells: IndexVec<CellIndex, (LocalIndex, CellOffset)>,
    points: Vec<FramePoint>,
}

impl Points {
    /// The table, now that it is known where the cells are.
    ///
    /// # Errors
    ///
    /// A function has cells and no frame.
    pub(crate) fn table(
        self,
        layout: Option<&MachBufferFrameLayout>,
    ) -> Result<FrameTable, String> {
        if self.points.is_empty() {
            return Ok(FrameTable::default());
        }
        let layout = layout.ok_or("a function that can be captured has no frame")?;
        let place = |slot: StackSlot| {
            let bytes = layout.stackslots[slot].offset as i32 - layout.frame_to_fp_offset as i32;
            FpOffset::from_i32(bytes)
        };
        let Points { locals, operands, cells, points } = self;
        Ok(FrameTable { instance: place(locals), operands: place(operands), cells, points })
    }
}
