//! Writing the frames of a guest down.
//!
//! ```text
//!   slots                                                    interp_sp
//!   ┌──────────┬───────────┬────────┬───────────┬────────┬─────────────┐
//!   │ Boundary │ arguments │ frame  │ arguments │ frame  │ arguments   │
//!   └──────────┴───────────┴────────┴───────────┴────────┴─────────────┘
//!        ^───────previous──┘    ^──────previous─┘ fp         of the host function that is called
//! ```
//!
//! Compiled code that can be captured stores its values in cells of its frame: see `wardian_vm::compiled::FrameTable`.
//!
//! Only the frames of one entry can be captured: between two entries there are frames of the host on the embedder's stack.

use super::values::ValueWriter;
use super::{Standing, refused};
use crate::Result;
use crate::checkpoint::state::{At, CallState, FrameState, Item, PendingState, Value, WaitState};
use crate::code::registry::Located;
use crate::ids::InstanceId;
use crate::settings::Checkpoints;
use crate::store::host::HostCall;
use crate::store::inner::StoreInner;
use crate::store::waiting::Waiting;
use std::collections::{BTreeMap, HashMap};
use wardian_interp::{CodeUnit, FrameMap, Place, Wanted};
use wardian_module::{Operands, OperatorTypes, engine_type};
use wardian_types::{CodeOffset, DefinedFuncIndex, OperandIndex, ValType};
use wardian_vm::activation;
use wardian_vm::addr::{CodeAddr, FpOffset, OwnerPtr, StackAddr, VmCtxPtr};
use wardian_vm::compiled::CapturedFrame;
use wardian_vm::frames::{Frames, Step};
use wardian_vm::interpreted::{FrameSlot, Function, frame};

/// A frame where it lies.
#[derive(Clone)]
struct Found {
    instance: InstanceId,
    defined: DefinedFuncIndex,
    kind: Kind,
}

#[derive(Clone)]
enum Kind {
    Interpreted {
        fp: *const u64,
        /// Its position in the code of the function.
        unit: CodeUnit,
        /// Whether it waits in a call.
        waits: bool,
    },
    Compiled {
        /// Its frame pointer.
        fp: StackAddr,
        /// Where its call returns to.
        pc: CodeAddr,
        /// Whether it stands before an operator, rather than in a call.
        before: bool,
        code: Located,
    },
}

/// What is known of the functions of one instance's module at the positions where frames are.
#[derive(Default)]
struct Known {
    maps: HashMap<(DefinedFuncIndex, CodeUnit, bool), FrameMap>,
    types: HashMap<(DefinedFuncIndex, CodeOffset), OperatorTypes>,
    locals: HashMap<DefinedFuncIndex, Vec<ValType>>,
}

impl StoreInner {
    /// Writes down the guest's frames.
    pub(super) fn capture_call(
        &mut self,
        standing: Standing,
        writer: &mut ValueWriter<'_>,
    ) -> Result<Option<CallState>> {
        let (guest, call) = match standing {
            Standing::Idle => return Ok(None),
            Standing::Compiled => return Err(self.compiled_frame(None)),
            Standing::Left(guest) | Standing::Polled(guest) => (Some(guest), None),
            Standing::Wait => (None, None),
            Standing::HostCall(call) => {
                if !self.is_innermost(call.serial()) {
                    return Err(refused(
                        "the guest that called the host function is not the innermost any more",
                    ));
                }
                (None, Some(call))
            }
        };
        // SAFETY: the context is valid, and the guest waits.
        if unsafe { activation::depth(self.ctx()) } > u64::from(guest.is_none()) {
            return Err(refused(
                "the guest was called by a host function that another guest called: what the host does in between \
                 is on its own stack",
            ));
        }
        let found = match guest {
            None => self.find_frames(At::InCall)?,
            Some(guest) => {
                let at = match standing {
                    Standing::Polled(_) => At::Before,
                    _ => At::After,
                };
                // SAFETY: the guest was left in this store, and has not been resumed.
                unsafe { guest.as_host(self.ctx(), || self.find_frames(at))? }
            }
        };
        let known = self.look_up_frames(&found)?;
        let mut frames = Vec::with_capacity(found.len());
        for at in &found {
            frames.push(self.capture_frame(at, &known[&at.instance], writer)?);
        }
        let pending = call.map(|call| self.capture_pending(call, writer)).transpose()?;
        let wait = matches!(standing, Standing::Wait).then(|| self.capture_wait()).flatten();
        Ok(Some(CallState { frames, pending, wait }))
    }

    /// Writes down what the guest waits for.
    fn capture_wait(&self) -> Option<WaitState> {
        let Waiting { memory, address, queued } = self.suspension.current_wait()?;
        let left = queued.time_left().map(|left| left.as_nanos().try_into().unwrap_or(u64::MAX));
        let place = queued.place().map(|place| place.try_into().unwrap_or(u32::MAX));
        Some(WaitState { memory: *memory, address: *address, left, place })
    }

    /// Whether a checkpoint can be tried of a guest where it stands. It cannot where the guest was left in the middle
    /// of an operator, or behind one that is no call: there it has to continue to its next safepoint.
    pub fn stands_at_point(&self, standing: Standing) -> bool {
        let Standing::Left(guest) = standing else { return true };
        let Some(fp) = guest.innermost() else {
            // Compiled code that can be captured requests it at its own points; other compiled code is refused.
            return !self.captures_compiled();
        };
        // SAFETY: the guest waits, and the frame is as `wardian_vm::interpreted` describes.
        let (ip, function, vmctx) = unsafe {
            let word = |at: isize| *fp.as_ptr::<usize>().offset(at);
            (
                CodeAddr::from_usize(word(frame::IP)),
                word(frame::FUNCTION),
                VmCtxPtr::from_usize(word(frame::VMCTX)),
            )
        };
        if ip.is_null() {
            return false;
        }
        let Some(instance) = self.instance_at(vmctx) else { return false };
        let module = self.entities[instance].module();
        // SAFETY: a frame with an ip has the record of its function.
        let defined = unsafe { (*(function as *const Function)).defined };
        let Ok(code) = module.interpreted(defined) else { return true };
        let unit = code.unit_at(ip);
        module.frame_maps(defined, Wanted::Units(&[unit])).is_ok_and(|maps| !maps.is_empty())
    }

    /// Whether compiled code can be captured.
    pub(crate) fn captures_compiled(&self) -> bool {
        self.engine().settings().checkpoints != Checkpoints::Off
    }

    /// The frames of the innermost entry, the innermost first. `innermost` says how that stands: in the call of the
    /// host, behind an operator, or, if it is compiled, before one.
    fn find_frames(&self, innermost: At) -> Result<Vec<Found>> {
        // SAFETY: the guest waits in a call of the host, and nothing runs on its stack while this borrows the store.
        let mut frames = unsafe { Frames::at_host_call(&*self.ctx()) };
        let mut found: Vec<Found> = Vec::new();
        let mut code: Option<Located> = None;
        while let Some(step) = frames.next() {
            let Step::Frame(pc) = step else { break };
            if !code.as_ref().is_some_and(|code| code.contains(pc)) {
                code = self.engine().code().locate(pc);
            }
            // Others are trampolines, and wrappers for listeners.
            let Some(defined) = code.as_ref().and_then(|code| code.code.function_at(pc)) else {
                continue;
            };
            let code = code.clone().expect("a function is in it");
            let at = if found.is_empty() { innermost } else { At::InCall };
            found.push(match frames.interpreted_frame() {
                Some(fp) => self.found_interpreted(fp, at)?,
                None => self.found_compiled(&frames, pc, code, defined, at)?,
            });
        }
        if found.is_empty() {
            return Err(refused(
                "the host function was called by no guest, or its caller has ended with the call",
            ));
        }
        Ok(found)
    }

    fn found_interpreted(&self, fp: StackAddr, at: At) -> Result<Found> {
        // SAFETY: the guest waits, and its interpreted frames are as `wardian_vm::interpreted` describes: one with an
        // ip has the record of its function.
        let (ip, vmctx, defined) = unsafe {
            let words = fp.as_ptr::<usize>();
            let function = *words.offset(frame::FUNCTION) as *const Function;
            (
                CodeAddr::from_usize(*words.offset(frame::IP)),
                VmCtxPtr::from_usize(*words.offset(frame::VMCTX)),
                (*function).defined,
            )
        };
        let instance = self.instance_at(vmctx).expect("a frame has an instance");
        let unit = self.entities[instance].module().interpreted(defined)?.unit_at(ip);
        let kind = Kind::Interpreted { fp: fp.as_ptr(), unit, waits: at == At::InCall };
        Ok(Found { instance, defined, kind })
    }

    fn found_compiled(
        &self,
        frames: &Frames<'_>,
        pc: CodeAddr,
        code: Located,
        defined: DefinedFuncIndex,
        at: At,
    ) -> Result<Found> {
        let before = at == At::Before;
        // The walk gives an address inside of the call.
        let (pc, name) = (pc.after(), (pc, &code));
        let point = code.code.captured_at(pc, before).filter(|_| at != At::After);
        let at = point.and_then(|point| Some((frames.frame_pointer()?, point.instance())));
        let Some((fp, instance)) = at else { return Err(self.compiled_frame(Some(name))) };
        let vmctx = frames.word_at(fp.in_frame(instance)).unwrap_or_default();
        let instance = self
            .instance_at(VmCtxPtr::from_usize(vmctx as usize))
            .expect("a frame has an instance");
        Ok(Found { instance, defined, kind: Kind::Compiled { fp, pc, before, code } })
    }

    /// The error of a guest that has compiled frames; of the function at an address in code, or else the innermost.
    fn compiled_frame(&self, at: Option<(CodeAddr, &Located)>) -> crate::Error {
        let name = match at {
            Some((pc, code)) => function_name(pc, code),
            None => self.compiled_function(),
        };
        let name = name.unwrap_or_else(|| "a function".into());
        refused(format!(
            "{name} is being run by compiled code, which keeps nothing that could be written down: set \
             Config::checkpoints, or use EngineKind::Interpreted, for guests that are to be carried"
        ))
    }

    /// The name of the innermost function that is compiled.
    fn compiled_function(&self) -> Option<String> {
        // SAFETY: the context is valid, and its guest waits in a call of the host, or has just been left.
        let frames = unsafe {
            if self.is_idle() {
                Frames::at_end(&*self.ctx())
            } else {
                Frames::at_host_call(&*self.ctx())
            }
        };
        let mut frames = frames.filter_map(|step| match step {
            Step::Frame(pc) => Some((pc, self.engine().code().locate(pc)?)),
            Step::Host => None,
        });
        let (pc, found) = frames.find(|(_, found)| !found.code.is_interpreted())?;
        function_name(pc, &found)
    }

    /// Finds where the values of the frames are, and of what types they are; each function once.
    fn look_up_frames(&self, found: &[Found]) -> Result<HashMap<InstanceId, Known>> {
        let mut wanted: BTreeMap<(InstanceId, DefinedFuncIndex), (Vec<CodeUnit>, Vec<CodeOffset>)> =
            BTreeMap::new();
        for at in found {
            let (units, offsets) = wanted.entry((at.instance, at.defined)).or_default();
            match &at.kind {
                Kind::Interpreted { unit, .. } => units.push(*unit),
                Kind::Compiled { .. } => offsets.extend(at.point().map(|point| point.offset)),
            }
        }
        let mut known: HashMap<InstanceId, Known> = HashMap::new();
        for ((instance, defined), (mut units, mut offsets)) in wanted {
            units.sort_unstable();
            units.dedup();
            let module = self.entities[instance].module();
            let maps = match units.is_empty() {
                true => Vec::new(),
                false => module.frame_maps(defined, Wanted::Units(&units))?,
            };
            offsets.extend(maps.iter().map(|map| map.point.offset));
            offsets.sort_unstable();
            offsets.dedup();
            let offsets: Vec<(CodeOffset, usize)> =
                offsets.into_iter().map(|at| (at, usize::MAX)).collect();
            let operands = Operands::new(&module.decoded, self.engine().settings().features)?;
            let known = known.entry(instance).or_default();
            for types in operands.at(defined, &offsets)? {
                known.types.insert((defined, types.offset), types);
            }
            for map in maps {
                known.maps.insert((defined, map.unit, map.point.after), map);
            }
            known.locals.insert(defined, module.all_local_types(defined));
        }
        Ok(known)
    }

    fn capture_frame(
        &self,
        at: &Found,
        known: &Known,
        writer: &mut ValueWriter<'_>,
    ) -> Result<FrameState> {
        match at.kind {
            Kind::Interpreted { fp, unit, waits } => {
                self.capture_interpreted(at, (fp, unit, waits), known, writer)
            }
            Kind::Compiled { fp, .. } => self.capture_compiled(at, fp, known, writer),
        }
    }

    fn capture_compiled(
        &self,
        at: &Found,
        fp: StackAddr,
        known: &Known,
        writer: &mut ValueWriter<'_>,
    ) -> Result<FrameState> {
        let module = self.entities[at.instance].module();
        let info = module.decoded.info();
        let point = at.point().ok_or_else(unknown)?;
        let offset = point.offset;
        let types = known.types.get(&(at.defined, offset)).ok_or_else(unknown)?;
        let (stack, kind) = match point.before {
            true => (&types.before[..], At::Before),
            false => {
                let results = types.called.and_then(|called| called.results(info));
                let count = types.after.len().checked_sub(results.ok_or_else(unknown)?.len());
                (&types.after[..count.ok_or_else(unknown)?], At::InCall)
            }
        };
        // A local that is not live is captured as zero.
        let mut places: Vec<Option<FpOffset>> = vec![None; known.locals[&at.defined].len()];
        for (local, place) in point.locals() {
            *places.get_mut(local.index()).ok_or_else(unknown)? = Some(place);
        }
        let mut locals = Vec::with_capacity(places.len());
        for (ty, place) in known.locals[&at.defined].iter().zip(places) {
            locals.push(match place {
                // SAFETY: the compiler stores a live local of this type there.
                Some(place) => unsafe { self.value_in_cell(fp, place, *ty, writer)? },
                // SAFETY: zero, or null.
                None => unsafe { writer.value(self, *ty, &[0, 0])? },
            });
        }
        let (mut operands, mut caught) = (Vec::with_capacity(stack.len()), Vec::new());
        let (mut place, mut types) = (point.operands(), stack.iter());
        for position in 0..stack.len() + point.caught().len() {
            let is_caught = point.is_caught(OperandIndex::from_usize(position));
            let ty = match is_caught {
                true => ValType::EXNREF,
                false => engine_type(*types.next().ok_or_else(unknown)?, &module.signatures),
            };
            // SAFETY: the compiler stores the operands there, in order.
            let value = unsafe { self.value_in_cell(fp, place, ty, writer)? };
            if is_caught {
                caught.push(value)
            } else {
                operands.push(value)
            }
            place = place.above(8 * ty.slots() as u32);
        }
        let func = Item::new(at.instance, info.func_index(at.defined));
        Ok(FrameState { func, offset, at: kind, locals, operands, caught })
    }

    fn capture_interpreted(
        &self,
        at: &Found,
        (fp, unit, waits): (*const u64, CodeUnit, bool),
        known: &Known,
        writer: &mut ValueWriter<'_>,
    ) -> Result<FrameState> {
        let module = self.entities[at.instance].module();
        let info = module.decoded.info();
        // Two points may be at one position: behind a call, and before the loop that follows.
        let map = |after| known.maps.get(&(at.defined, unit, after));
        let map = if waits { map(true) } else { map(false).or_else(|| map(true)) };
        let map = map.ok_or_else(unknown)?;
        let types = known.types.get(&(at.defined, map.point.offset)).ok_or_else(unknown)?;
        let (stack, kind, results) = match (map.point.after, waits) {
            (false, _) => (&types.before, At::Before, 0),
            (true, false) => (&types.after, At::After, 0),
            (true, true) => {
                let results = types.called.and_then(|called| called.results(info));
                (&types.after, At::InCall, results.ok_or_else(unknown)?.len())
            }
        };
        let locals = &known.locals[&at.defined];
        let layout = module.frame_layout(at.defined, locals);
        let mut values = Vec::with_capacity(locals.len());
        for (ty, slot) in locals.iter().zip(&layout.locals) {
            // SAFETY: a local of the frame, of this type.
            values.push(unsafe { self.value_at(fp, *slot, *ty, writer)? });
        }
        let count = stack.len().checked_sub(results).ok_or_else(unknown)?;
        if map.operands.len() != stack.len() {
            return Err(unknown());
        }
        let mut operands = Vec::with_capacity(count);
        for (ty, operand) in stack.iter().zip(&map.operands).take(count) {
            let ty = engine_type(*ty, &module.signatures);
            operands.push(match operand.place {
                // SAFETY: by the description of the frame at its position.
                Place::Slot(slot) => unsafe { self.value_at(fp, slot, ty, writer)? },
                // SAFETY: a constant is a number, or null.
                Place::Const(bits) => unsafe { writer.value(self, ty, &[bits, 0])? },
            });
        }
        let mut caught = Vec::with_capacity(map.caught.len());
        for operand in &map.caught {
            let Place::Slot(slot) = operand.place else { return Err(unknown()) };
            // SAFETY: as above; it is a reference to an exception.
            caught.push(unsafe { self.value_at(fp, slot, ValType::EXNREF, writer)? });
        }
        let func = Item::new(at.instance, info.func_index(at.defined));
        let offset = map.point.offset;
        Ok(FrameState { func, offset, at: kind, locals: values, operands, caught })
    }

    /// A value of a compiled frame.
    ///
    /// # Safety
    ///
    /// The guest waits, and the cell has a value of the type; of a value of four bytes the upper half is ignored.
    unsafe fn value_in_cell(
        &self,
        fp: StackAddr,
        place: FpOffset,
        ty: ValType,
        writer: &mut ValueWriter<'_>,
    ) -> Result<Value> {
        let cell = fp.in_frame(place).as_ptr::<u64>();
        // SAFETY: the caller's promise. Cells have eight bytes, those of vectors sixteen.
        unsafe {
            let low = match ty {
                ValType::I32 | ValType::F32 => u64::from(*cell.cast::<u32>()),
                ValType::Ref(ty) if ty.is_any() => u64::from(*cell.cast::<u32>()),
                _ => *cell,
            };
            let high = if ty == ValType::V128 { *cell.add(1) } else { 0 };
            writer.value(self, ty, &[low, high])
        }
    }

    /// # Safety
    ///
    /// The slot of the frame at `fp`, and the next one of a vector, hold a value of the type, or zero.
    unsafe fn value_at(
        &self,
        fp: *const u64,
        slot: FrameSlot,
        ty: ValType,
        writer: &mut ValueWriter<'_>,
    ) -> Result<Value> {
        // SAFETY: the caller's promise.
        unsafe {
            let low = *fp.offset(slot.as_isize());
            let high = if ty == ValType::V128 { *fp.offset(slot.as_isize() + 1) } else { 0 };
            writer.value(self, ty, &[low, high])
        }
    }

    /// Writes down the call of a host function.
    fn capture_pending(
        &mut self,
        call: HostCall,
        writer: &mut ValueWriter<'_>,
    ) -> Result<PendingState> {
        // SAFETY: the call is open: its `Caller` is borrowed.
        let (def, slots) = unsafe { call.parts() };
        let func = writer.graph.host(OwnerPtr::of(def))?;
        let count = def.ty.param_slots();
        // SAFETY: the slots have the arguments, which nobody changes until the function returns.
        let slots = unsafe { std::slice::from_raw_parts(slots, count) };
        let (mut at, mut arguments) = (0, Vec::new());
        for ty in def.ty.params() {
            // SAFETY: as above: values of these types, as guests hold them.
            arguments.push(unsafe { writer.value(self, *ty, &slots[at..])? });
            at += ty.slots();
        }
        Ok(PendingState { func, arguments })
    }
}

impl Found {
    /// Where it has its values, if it is compiled.
    fn point(&self) -> Option<CapturedFrame<'_>> {
        match &self.kind {
            Kind::Interpreted { .. } => None,
            Kind::Compiled { pc, before, code, .. } => code.code.captured_at(*pc, *before),
        }
    }
}

/// The name of the function at an address in code.
fn function_name(pc: CodeAddr, found: &Located) -> Option<String> {
    let func = found.module.decoded.info().func_index(found.code.function_at(pc)?);
    let module = found.module.decoded.name().unwrap_or_default();
    Some(format!("{module}.{}", found.module.decoded.display_name(func)))
}

fn unknown() -> crate::Error {
    refused("a frame is at a position that has no description in the module")
}
