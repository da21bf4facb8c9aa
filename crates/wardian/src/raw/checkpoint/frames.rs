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
//! Only frames of interpreted code can be written down, of one entry: what called the guest that called this guest is
//! on the embedder's stack.

use super::super::host::{HostCall, normalize};
use super::super::store::StoreInner;
use super::values::ValueWriter;
use super::{Standing, refused};
use crate::checkpoint::state::{At, CallState, FrameState, Item, PendingState, Value};
use crate::{Module, Result};
use std::collections::{BTreeMap, HashMap};
use wardian_interp::{FrameMap, Place, Wanted};
use wardian_module::{Operands, OperatorTypes, engine_type};
use wardian_types::ValType;
use wardian_vm::activation::{self, Suspended};
use wardian_vm::frames::{Frames, Step};
use wardian_vm::interpreted::{Boundary, Function, flag, frame};

/// An interpreted frame where it lies.
#[derive(Clone, Copy)]
struct Found {
    fp: *const u64,
    instance: u32,
    defined: u32,
    /// Its position in the code of the function.
    unit: u32,
    /// Whether it waits in a call.
    waits: bool,
}

/// What is known of the functions of one instance's module at the positions where frames are.
#[derive(Default)]
struct Known {
    maps: HashMap<(u32, u32, bool), FrameMap>,
    types: HashMap<(u32, u32), OperatorTypes>,
    locals: HashMap<u32, Vec<ValType>>,
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
            Standing::Compiled => return Err(self.compiled_frame()),
            Standing::Left(guest) => (guest, None),
            Standing::HostCall(call) => {
                if !self.is_innermost(call.serial()) {
                    return Err(refused(
                        "the guest that called the host function is not the innermost any more",
                    ));
                }
                // SAFETY: a guest is in the call: its `Caller` is borrowed.
                (unsafe { Suspended::new(self.ctx()) }, Some(call))
            }
        };
        // SAFETY: the context is valid, and the guest waits.
        if unsafe { activation::depth(self.ctx()) } > u64::from(call.is_some()) {
            return Err(refused(
                "the guest was called by a host function that another guest called: what the host does in between \
                 is on its own stack",
            ));
        }
        let found = self.find_frames(&guest, call.is_some())?;
        let known = self.look_up_frames(&found)?;
        let mut frames = Vec::with_capacity(found.len());
        for at in &found {
            frames.push(self.capture_frame(at, &known[&at.instance], writer)?);
        }
        let pending = call.map(|call| self.capture_pending(call, writer)).transpose()?;
        Ok(Some(CallState { frames, pending }))
    }

    /// Whether a checkpoint can be tried of a guest where it stands. It cannot where the guest was left in the middle
    /// of an operator, or behind one that is no call: there it has to continue to its next safepoint.
    pub(crate) fn stands_at_point(&self, standing: Standing) -> bool {
        let Standing::Left(guest) = standing else { return true };
        let fp = guest.innermost() as *const usize;
        if fp.is_null() || !guest.frames()[0].is_empty() {
            // It is compiled code, which is refused.
            return true;
        }
        // SAFETY: the guest waits, and the frame is as `wardian_vm::interpreted` describes.
        let (ip, function, vmctx) = unsafe {
            let word = |at: isize| *fp.offset(at);
            (word(frame::IP), word(frame::FUNCTION), word(frame::VMCTX))
        };
        if ip == 0 {
            return false;
        }
        let Some(instance) = self.instance_at(vmctx) else { return false };
        let module = &self.instances[instance as usize].module;
        // SAFETY: a frame with an ip has the record of its function.
        let defined = unsafe { (*(function as *const Function)).defined };
        let Ok(code) = module.interpreted(defined) else { return true };
        let unit = ((ip - code.start()) / size_of::<u16>()) as u32;
        module.frame_maps(defined, Wanted::Units(&[unit])).is_ok_and(|maps| !maps.is_empty())
    }

    /// The frames of an entry, the innermost first.
    fn find_frames(&self, guest: &Suspended, in_call: bool) -> Result<Vec<Found>> {
        let [compiled, _] = guest.frames();
        let mut fp = guest.innermost() as *const usize;
        if !compiled.is_empty() {
            return Err(self.compiled_frame());
        }
        if fp.is_null() {
            return Err(refused("the host function was called by no guest"));
        }
        let mut found = Vec::new();
        let mut waits = in_call;
        loop {
            // SAFETY: the guest waits, and its interpreted frames are as `wardian_vm::interpreted` describes.
            let (previous, ip, function, vmctx) = unsafe {
                (
                    *fp.offset(frame::PREVIOUS),
                    *fp.offset(frame::IP),
                    *fp.offset(frame::FUNCTION),
                    *fp.offset(frame::VMCTX),
                )
            };
            let stands_for_host = function & 1 != 0 && found.is_empty() && in_call;
            if ip == 0 && !stands_for_host {
                return Err(self.compiled_frame());
            }
            if ip != 0 {
                let instance = self.instance_at(vmctx).expect("a frame has an instance");
                // SAFETY: a frame with an ip has the record of its function.
                let defined = unsafe { (*(function as *const Function)).defined };
                let module = &self.instances[instance as usize].module;
                let start = module.interpreted(defined)?.start();
                let unit = ((ip - start) / size_of::<u16>()) as u32;
                found.push(Found { fp: fp.cast(), instance, defined, unit, waits });
            }
            waits = true;
            if previous & flag::BOUNDARY == 0 {
                fp = (previous & !flag::MASK) as *const usize;
                continue;
            }
            // SAFETY: as above.
            let boundary = unsafe { &*((previous & !flag::MASK) as *const Boundary) };
            return match boundary.wasm_sp {
                0 if found.is_empty() => Err(refused(
                    "the host function was called by no guest, or its caller has ended with the call",
                )),
                0 => Ok(found),
                _ => Err(self.compiled_frame()),
            };
        }
    }

    /// The error of a guest that has compiled frames.
    fn compiled_frame(&self) -> crate::Error {
        let name = self.compiled_function().unwrap_or_else(|| "a function".into());
        refused(format!(
            "{name} is being run by compiled code, of which no state can be written down: use \
             EngineKind::Interpreted for guests that are to be carried"
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
        let func = found.module.decoded.info().imported_functions + found.code.function_at(pc)?;
        Some(Module(found.module.clone()).frame(func, None).definition().debug_name())
    }

    /// Finds where the values of the frames are, and of what types they are; each function once.
    fn look_up_frames(&self, found: &[Found]) -> Result<HashMap<u32, Known>> {
        let mut units: BTreeMap<(u32, u32), Vec<u32>> = BTreeMap::new();
        for at in found {
            units.entry((at.instance, at.defined)).or_default().push(at.unit);
        }
        let mut known: HashMap<u32, Known> = HashMap::new();
        for ((instance, defined), mut units) in units {
            units.sort_unstable();
            units.dedup();
            let module = &self.instances[instance as usize].module;
            let maps = module.frame_maps(defined, Wanted::Units(&units))?;
            let at = |map: &FrameMap| (map.point.offset, usize::MAX);
            let mut offsets: Vec<(u32, usize)> = maps.iter().map(at).collect();
            offsets.sort_unstable();
            offsets.dedup();
            let operands = Operands::new(&module.decoded, self.engine().config().features)?;
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
        let module = &self.instances[at.instance as usize].module;
        let info = module.decoded.info();
        let unknown = || refused("a frame is at a position that has no description in the module");
        // Two points may be at one position: behind a call, and before the loop that follows.
        let map = |after| known.maps.get(&(at.defined, at.unit, after));
        let map = if at.waits { map(true) } else { map(false).or_else(|| map(true)) };
        let map = map.ok_or_else(unknown)?;
        let types = known.types.get(&(at.defined, map.point.offset)).ok_or_else(unknown)?;
        let (stack, kind, results) = match (map.point.after, at.waits) {
            (false, _) => (&types.before, At::Before, 0),
            (true, false) => (&types.after, At::After, 0),
            (true, true) => {
                let called = types.called.and_then(|ty| info.signature(ty)).ok_or_else(unknown)?;
                (&types.after, At::InCall, called.results().len())
            }
        };
        let locals = &known.locals[&at.defined];
        let layout = module.frame_layout(at.defined, locals);
        let mut values = Vec::with_capacity(locals.len());
        for (ty, slot) in locals.iter().zip(&layout.locals) {
            // SAFETY: a local of the frame, of this type.
            values.push(unsafe { self.value_at(at.fp, *slot, *ty, writer)? });
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
                Place::Slot(slot) => unsafe { self.value_at(at.fp, slot, ty, writer)? },
                // SAFETY: a constant is a number, or null.
                Place::Const(bits) => unsafe { writer.value(self, ty, &[bits, 0])? },
            });
        }
        let mut caught = Vec::with_capacity(map.caught.len());
        for operand in &map.caught {
            let Place::Slot(slot) = operand.place else { return Err(unknown()) };
            // SAFETY: as above; it is a reference to an exception.
            caught.push(unsafe { self.value_at(at.fp, slot, ValType::EXNREF, writer)? });
        }
        let func = Item { instance: at.instance, index: info.imported_functions + at.defined };
        let offset = map.point.offset;
        Ok(FrameState { func, offset, at: kind, locals: values, operands, caught })
    }

    /// # Safety
    ///
    /// The slot of the frame at `fp`, and the next one of a vector, hold a value of the type, or zero.
    unsafe fn value_at(
        &self,
        fp: *const u64,
        slot: i32,
        ty: ValType,
        writer: &mut ValueWriter<'_>,
    ) -> Result<Value> {
        // SAFETY: the caller's promise.
        unsafe {
            let low = *fp.offset(slot as isize);
            let high = if ty == ValType::V128 { *fp.offset(slot as isize + 1) } else { 0 };
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
        let func = writer.graph.host(std::ptr::from_ref(def) as usize)?;
        let count = def.ty.param_slots();
        // SAFETY: the slots have the arguments. Of a function over raw slots they are its own: what is there is
        // made such as guests hold it, or refused.
        let mut slots = unsafe { std::slice::from_raw_parts(slots, count) }.to_vec();
        if def.over_slots {
            normalize(self, def.ty.params(), &mut slots)?;
        }
        let (mut at, mut arguments) = (0, Vec::new());
        for ty in def.ty.params() {
            // SAFETY: as above; others than functions over raw slots have left the arguments as they were.
            arguments.push(unsafe { writer.value(self, *ty, &slots[at..])? });
            at += ty.slots();
        }
        Ok(PendingState { func, arguments })
    }
}
