//! Making frames of those in a checkpoint.
//!
//! ```text
//!   frame in the checkpoint        image                        placed
//!   function, operator      ──>    words: parameters, header,   addresses: of the caller, of the
//!   locals, operands               locals, operands             instruction, of function and instance
//! ```
//!
//! Images are made, and checked, when the checkpoint is restored; they are placed when the guest is to run, since
//! another guest may have used the stack until then.

use super::unusable;
use super::values::ValueReader;
use crate::Result;
use crate::checkpoint::state::{At, CallState, FrameState, WaitState};
use crate::ids::InstanceId;
use crate::listen::ResumedCall;
use crate::module::ModuleInner;
use crate::store::inner::StoreInner;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use wardian_interp::{CodeUnit, FrameMap, Place, Point, Wanted};
use wardian_module::{Called, Operands, OperatorTypes, engine_type};
use wardian_types::{
    CodeOffset, DefinedFuncIndex, FuncIndex, FuncType, LocalIndex, RefType, TrapCode, ValType,
};
use wardian_vm::activation::Suspended;
use wardian_vm::addr::{StackAddr, VmCtxPtr};
use wardian_vm::interpreted::{Boundary, CallerLink, FrameSlot, Function, header};

/// The frames of a guest, ready to be placed.
pub(super) struct Images {
    /// The outermost first.
    frames: Vec<Image>,
    /// Slots of the results of the outermost.
    result_slots: usize,
    /// What the operator of the innermost waits for.
    called: Option<Called>,
    /// Slots of the arguments and results of the host function that waits to be called again. Where that was the
    /// callee's tail call, they may be more than the operator has room for.
    pending_slots: usize,
}

impl Images {
    /// Bytes that the atomic wait compares in which the innermost frame is.
    pub(super) fn wait_size(&self) -> u64 {
        if matches!(self.called, Some(Called::Wait { wide: true, .. })) { 8 } else { 4 }
    }

    /// The instances that have frames.
    pub(super) fn instances(&self) -> impl Iterator<Item = InstanceId> {
        self.frames.iter().map(|image| image.instance)
    }
}

/// A frame as words.
struct Image {
    /// Its module, which keeps the function's code.
    module: Arc<ModuleInner>,
    instance: InstanceId,
    defined: DefinedFuncIndex,
    /// Its position in the code.
    unit: CodeUnit,
    /// From its first parameter on. The header is zero. Of a frame that waits only what its callee's frame does not
    /// lie on.
    words: Vec<u64>,
    /// The slots that it needs when it runs again.
    slots: usize,
    /// Where the parameters of the frame that it calls begin, and its results go.
    callee: FrameSlot,
}

/// The words of an image while it is made.
struct Words {
    words: Vec<u64>,
    /// Slots before fp.
    params: i32,
}

impl Words {
    fn at(&mut self, slot: FrameSlot, ty: ValType) -> &mut [u64] {
        let at = (slot.as_i32() + self.params) as usize;
        &mut self.words[at..at + ty.slots()]
    }

    fn put(&mut self, slot: FrameSlot, ty: ValType, value: [u64; 2]) {
        self.at(slot, ty).copy_from_slice(&value[..ty.slots()]);
    }
}

/// A guest that was placed.
pub(super) struct Placed {
    pub(super) guest: Suspended,
    /// Where the results of the host function go that it called.
    pub(super) results: *mut u64,
    /// The frames of functions that are listened to, the outermost first. They say so: see [`flag::LISTENED`].
    pub(super) listened: Vec<ResumedCall>,
}

/// What is known of a function at the points where frames are.
struct Known {
    maps: HashMap<Point, FrameMap>,
    types: HashMap<CodeOffset, OperatorTypes>,
    locals: Vec<ValType>,
}

/// The types of the results of a call, by the engine's numbers.
type Results = Vec<ValType>;

/// What a frame waits for.
enum Callee<'a> {
    /// The frame that it has called, whose function has these results.
    Frame(Results),
    Host(&'a FuncType),
    Wait(&'a WaitState),
}

impl StoreInner {
    /// Makes images of frames. `pending` is the type of the host function that the innermost has called.
    ///
    /// # Errors
    ///
    /// A frame cannot be: see [`super`].
    pub(super) fn images(
        &mut self,
        call: &CallState,
        pending: Option<&FuncType>,
        values: &ValueReader,
    ) -> Result<Images> {
        let known = self.look_up_points(&call.frames)?;
        let mut callee = match (pending, &call.wait) {
            (Some(_), Some(_)) => return Err(unusable("its guest waits for two things at once")),
            (Some(ty), None) => Some(Callee::Host(ty)),
            (None, wait) => wait.as_ref().map(Callee::Wait),
        };
        let mut frames = Vec::with_capacity(call.frames.len());
        for state in &call.frames {
            let known = &known[&(state.func.instance(), state.func.index())];
            if (state.at == At::InCall) != callee.is_some() {
                return Err(unusable("a frame does not fit the one that it calls"));
            }
            let (image, results) = self.image(state, known, callee.as_ref(), values)?;
            frames.push(image);
            callee = Some(Callee::Frame(results));
        }
        frames.reverse();
        let results = match callee {
            Some(Callee::Frame(results)) if !frames.is_empty() => results,
            _ => return Err(unusable("its call has no frames")),
        };
        let result_slots = results.iter().map(|ty| ty.slots()).sum();
        let innermost = call.frames.first();
        let types = innermost.and_then(|state| {
            known[&(state.func.instance(), state.func.index())].types.get(&state.offset)
        });
        let called = types.and_then(|types| types.called);
        let pending_slots = pending.map_or(0, FuncType::buffer_slots);
        Ok(Images { frames, result_slots, called, pending_slots })
    }

    /// Finds what is known of the functions at their frames' points; each function once.
    fn look_up_points(
        &self,
        frames: &[FrameState],
    ) -> Result<HashMap<(InstanceId, FuncIndex), Known>> {
        // With how many operands the frames there have: what is known of a point is no larger than that.
        let mut points: BTreeMap<(InstanceId, FuncIndex), BTreeMap<Point, usize>> = BTreeMap::new();
        for state in frames {
            let point = Point { offset: state.offset, after: state.at != At::Before };
            let known = points.entry((state.func.instance(), state.func.index())).or_default();
            let most = known.entry(point).or_default();
            *most = state.operands.len().max(*most);
        }
        let mut all = HashMap::new();
        // Its making takes as long as the module is large: it is made once for each instance.
        let mut last: Option<(InstanceId, Operands<'_>)> = None;
        for ((instance, func), points) in points {
            let data = self.entities.instances().get(instance);
            let data = data.ok_or_else(|| unusable(format!("there is no instance {instance}")))?;
            let info = data.module().decoded.info();
            let defined = info
                .defined_function(func)
                .filter(|defined| defined.index() < info.bodies.len())
                .ok_or_else(|| unusable(format!("function {func} has no body")))?;
            // Nobody has called it here: see `Config::lazy_validation`.
            data.module().decoded.ensure_valid(defined)?;
            let mut offsets: BTreeMap<CodeOffset, usize> = BTreeMap::new();
            for (point, operands) in &points {
                let most = offsets.entry(point.offset).or_default();
                *most = (*operands).max(*most);
            }
            let offsets: Vec<(CodeOffset, usize)> = offsets.into_iter().collect();
            let operands = match last.take() {
                Some((of, operands)) if of == instance => operands,
                _ => Operands::new(&data.module().decoded, self.engine().settings().features)?,
            };
            let types = operands.at(defined, &offsets)?;
            let types: HashMap<CodeOffset, OperatorTypes> =
                types.into_iter().map(|t| (t.offset, t)).collect();
            let points: Vec<Point> =
                points.into_keys().filter(|point| types.contains_key(&point.offset)).collect();
            let maps = data.module().frame_maps(defined, Wanted::Points(&points))?;
            let known = Known {
                maps: maps.into_iter().map(|map| (map.point, map)).collect(),
                types,
                locals: data.module().all_local_types(defined),
            };
            all.insert((instance, func), known);
            last = Some((instance, operands));
        }
        Ok(all)
    }

    /// An image of a frame, and the types of its function's results. `callee` is what it waits for.
    fn image(
        &mut self,
        state: &FrameState,
        known: &Known,
        callee: Option<&Callee<'_>>,
        values: &ValueReader,
    ) -> Result<(Image, Results)> {
        let module = self.entities[state.func.instance()].module().clone();
        let info = module.decoded.info();
        let point = Point { offset: state.offset, after: state.at != At::Before };
        let no_point = || {
            let (func, offset) = (state.func.index::<FuncIndex>(), state.offset.as_u32());
            unusable(format!("function {func} cannot be resumed at offset {offset:#x}"))
        };
        let map = known.maps.get(&point).ok_or_else(no_point)?;
        let types = known.types.get(&state.offset).ok_or_else(no_point)?;
        let stack = if point.after { &types.after } else { &types.before };
        if point.after && types.called.is_none() || map.operands.len() != stack.len() {
            return Err(no_point());
        }
        let mut height = map.height;
        let mut count = stack.len();
        if let Some(callee) = callee {
            let called = types.called.ok_or_else(no_point)?;
            let results = called.results(info).ok_or_else(no_point)?;
            self.check_callee(&module, called, results, callee)?;
            height = height.add(-results.iter().map(|ty| ty.slots() as i32).sum::<i32>());
            count -= results.len();
        }
        if state.locals.len() != known.locals.len() || state.operands.len() != count {
            return Err(unusable("a frame has another number of values than its function"));
        }
        let defined = info.defined_function(state.func.index()).ok_or_else(no_point)?;
        let function = module.interpreted(defined)?.function();
        let params = function.param_slots as i32;
        let slots = function.param_slots as usize + function.frame_slots as usize;
        // A few bytes of a checkpoint stand for a frame: it gets no more than what it has values for.
        let used = if callee.is_some() { (height.as_i32() + params) as usize } else { slots };
        let mut words = Words { words: vec![0; used], params };
        let layout = module.frame_layout(defined, &known.locals);
        for (i, ((ty, slot), value)) in
            known.locals.iter().zip(&layout.locals).zip(&state.locals).enumerate()
        {
            let unset = types.unset.binary_search(&LocalIndex::from_usize(i)).is_ok();
            words.put(*slot, *ty, values.slots(self, *ty, *value, unset)?);
        }
        for ((ty, operand), value) in stack.iter().zip(&map.operands).zip(&state.operands) {
            let Place::Slot(slot) = operand.place else { continue };
            // An operand may be what a local is. The local's type can be a narrower one, and counts.
            let local = Some(slot).filter(|slot| *slot < layout.stack);
            let local = local.and_then(|slot| layout.locals.as_slice().binary_search(&slot).ok());
            let ty = match local {
                Some(local) => known.locals[local],
                None => engine_type(*ty, &module.signatures),
            };
            words.put(slot, ty, values.slots(self, ty, *value, false)?);
        }
        self.put_caught(state, map, values, &mut words)?;
        let results = info.defined_type(defined).results().iter();
        let results = results.map(|ty| engine_type(*ty, &module.signatures)).collect();
        let (instance, unit) = (state.func.instance(), map.unit);
        let words = words.words;
        Ok((Image { module, instance, defined, unit, words, slots, callee: height }, results))
    }

    /// Puts the exceptions in place that the frame's `catch` blocks have caught.
    fn put_caught(
        &mut self,
        state: &FrameState,
        map: &FrameMap,
        values: &ValueReader,
        words: &mut Words,
    ) -> Result<()> {
        if state.caught.len() != map.caught.len() {
            return Err(unusable("a frame has caught another number of exceptions"));
        }
        let ty = ValType::Ref(RefType { nullable: false, ..RefType::EXN });
        for (operand, value) in map.caught.iter().zip(&state.caught) {
            let value = values.slots(self, ty, *value, false)?;
            if let Place::Slot(slot) = operand.place {
                words.put(slot, ty, value);
            }
        }
        Ok(())
    }

    /// Checks that what a frame waits for is what its operator says, and gives what that expects.
    fn check_callee(
        &self,
        module: &ModuleInner,
        called: Called,
        results: &[ValType],
        callee: &Callee<'_>,
    ) -> Result<()> {
        let given = match (called, callee) {
            (Called::Function(_), Callee::Frame(results)) => results,
            // Which function it is cannot be known: the callee may have ended with a tail call.
            (Called::Function(_), Callee::Host(host)) => host.results(),
            (Called::Wait { memory, .. }, Callee::Wait(wait)) if memory == wait.memory => {
                return Ok(());
            }
            _ => return Err(unusable("a frame waits for something else than it is at")),
        };
        let wanted: Results =
            results.iter().map(|ty| engine_type(*ty, &module.signatures)).collect();
        self.check_results(&wanted, given)
    }

    /// Checks that what a call gives is what the caller expects.
    fn check_results(&self, wanted: &[ValType], given: &[ValType]) -> Result<()> {
        let relation = self.engine().signatures().relation();
        let fit = wanted.len() == given.len()
            && wanted.iter().zip(given).all(|(wanted, given)| given.matches(*wanted, &relation));
        if fit { Ok(()) } else { Err(unusable("a frame calls a function of another type")) }
    }

    /// Puts the frames on the store's stack, on which no guest stands.
    ///
    /// # Errors
    ///
    /// They do not fit.
    ///
    /// # Safety
    ///
    /// The images were made for this store.
    pub(super) unsafe fn place(&mut self, images: &Images) -> Result<Placed> {
        self.ensure_slots()?;
        let ctx = self.ctx();
        // SAFETY: the store is idle and has a stack, so the slots from `interp_sp` to the limit are free. Each
        // frame is written only where there is room.
        unsafe {
            let (base, limit) = ((*ctx).interp_sp, (*ctx).interp_limit);
            let boundary = base.as_ptr::<Boundary>();
            let mut slots = boundary.add(1).cast::<u64>();
            let mut previous = CallerLink::boundary(boundary);
            let mut innermost = (StackAddr::NULL, StackAddr::NULL);
            let (mut listened, mut caller) = (Vec::new(), VmCtxPtr::NULL);
            for image in &images.frames {
                let function: *const Function = image.module.interpreted(image.defined)?.function();
                let end = StackAddr::of(slots).above(8 * image.slots);
                if end > limit {
                    return Err(TrapCode::StackOverflow.into());
                }
                let fp = slots.add((*function).param_slots as usize);
                std::ptr::copy_nonoverlapping(image.words.as_ptr(), slots, image.words.len());
                let vmctx = self.entities[image.instance].vm().address();
                if let Some(hook) = self.active_hook(image.instance, image.defined) {
                    listened.push(ResumedCall { hook, caller, frame: StackAddr::of(fp) });
                    previous = previous.listened();
                }
                *fp.offset(header::PREVIOUS) = previous.as_word() as u64;
                *fp.offset(header::IP) = (*function).entry.add(image.unit.index()) as u64;
                *fp.offset(header::FUNCTION) = function as u64;
                *fp.offset(header::VMCTX) = vmctx.as_usize() as u64;
                innermost = (StackAddr::of(fp), end);
                caller = vmctx;
                previous = CallerLink::other_instance(fp);
                slots = fp.offset(image.callee.as_isize());
            }
            boundary.write(Boundary::of_embedder(images.result_slots));
            let root = &images.frames[0];
            let root = self.entities[root.instance].vm().address();
            let (fp, end) = innermost;
            let end = end.max(StackAddr::of(slots).above(8 * images.pending_slots));
            if end > limit {
                return Err(TrapCode::StackOverflow.into());
            }
            let guest = Suspended::placed(ctx, root, fp, base..end);
            Ok(Placed { guest, results: slots, listened })
        }
    }
}
