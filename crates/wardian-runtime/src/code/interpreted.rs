//! The bytecode of a module's functions: translated when they are first called, kept as long as the
//! module.

use crate::code::registry::CodePiece;
use crate::module::ModuleInner;
use crate::settings::EngineKind;
use crate::{Error, Result};
use std::collections::HashMap;
use std::ops::Range;
use std::sync::atomic::{AtomicI32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use wardian_interp::{
    CallTargets, CodeUnit, Env, FrameMap, Handler, Options, Point, References, Translation,
    Translator, Wanted,
};
use wardian_types::{CodeOffset, DefinedFuncIndex, FuncIndex, TrapCode, ValType};
use wardian_vm::addr::{CodeAddr, CtxOffset};
use wardian_vm::interpreted::{FrameLayout, FrameSlot, Function};

/// Bytecode of one function.
pub struct InterpretedCode {
    translation: Translation,
    defined: DefinedFuncIndex,
    /// What the countdown was last set to, and what was counted until then.
    counts_from: AtomicI32,
    counted: AtomicU64,
    /// For each instruction its operator, once somebody asked.
    locations: OnceLock<Box<[(CodeUnit, CodeOffset)]>>,
    /// Where its frames have references, once a collection found one.
    references: OnceLock<References>,
}

/// The bytecode of a module.
#[derive(Default)]
pub struct Interpreted {
    functions: OnceLock<Box<[OnceLock<Arc<InterpretedCode>>]>>,
    translator: Mutex<Translator>,
    maps: Mutex<Maps>,
}

/// Where frames have their values, as it was asked for before: who forks a guest again and again asks for the same.
#[derive(Default)]
struct Maps {
    /// By function and position. There may be two at one, and none.
    units: HashMap<(DefinedFuncIndex, CodeUnit), Vec<FrameMap>>,
    points: HashMap<(DefinedFuncIndex, Point), FrameMap>,
}

/// Positions and points that are kept at most, and the operands of the largest of them.
const KEPT: usize = 1024;
const LARGEST: usize = 64;

impl ModuleInner {
    /// The bytecode of a function, by its position among those that the module defines.
    pub fn interpreted(self: &Arc<Self>, defined: DefinedFuncIndex) -> Result<&InterpretedCode> {
        let slot = &self.interpreted.slots(self)[defined.index()];
        if let Some(code) = slot.get() {
            return Ok(code);
        }
        self.decoded.ensure_valid(defined)?;
        let mut translator = self.interpreted.translator.lock().unwrap_or_else(|e| e.into_inner());
        let translation =
            translator.translate(&self.interpreter_env(), defined).map_err(|error| {
                let func = self.decoded.info().func_index(defined);
                Error::compile_part(format!("function {func}"), error)
            })?;
        drop(translator);
        let bytes = self.decoded.info().bodies[defined].len();
        let config = self.engine.settings();
        let threshold = match config.gc_stress_at_safepoints {
            true => 0,
            false => self.threshold(defined, bytes),
        };
        translation.function().countdown.store(threshold, Ordering::Relaxed);
        let code = InterpretedCode {
            translation,
            defined,
            counts_from: AtomicI32::new(threshold),
            counted: AtomicU64::new(0),
            locations: OnceLock::new(),
            references: OnceLock::new(),
        };
        self.engine.check_code(size_of_val(code.translation.code()))?;
        let code = Arc::new(code);
        // Another thread may have been faster.
        if slot.set(code.clone()).is_ok() {
            self.engine.code().insert(self, &code);
        }
        Ok(slot.get().expect("it was just set"))
    }

    /// The bytecode of a function, if it was called.
    pub(crate) fn interpreted_before(&self, defined: DefinedFuncIndex) -> Option<&InterpretedCode> {
        let slots = self.interpreted.functions.get()?;
        slots.get(defined.index())?.get().map(|code| &**code)
    }

    /// What a function called through tables and references while it was interpreted: the code offsets of the calls, in order.
    pub(crate) fn call_targets(
        &self,
        code: &InterpretedCode,
    ) -> impl Iterator<Item = (CodeOffset, CallTargets<FuncIndex>)> {
        let first = self.layout.entry(DefinedFuncIndex::FIRST);
        let info = self.decoded.info();
        let function = move |entry: CtxOffset| {
            let bytes = entry.as_u32().checked_sub(first.as_u32())?;
            let defined = DefinedFuncIndex::from_u32(bytes / 8);
            info.bodies.get(defined).map(|_| info.func_index(defined))
        };
        let targets = code.translation.call_targets();
        targets.map(move |(offset, targets)| (offset, targets.map(function)))
    }

    /// Where frames of a function have their values.
    pub(crate) fn frame_maps(
        &self,
        defined: DefinedFuncIndex,
        wanted: Wanted<'_>,
    ) -> Result<Vec<FrameMap>> {
        let kept = || self.interpreted.maps.lock().unwrap_or_else(|e| e.into_inner());
        if let Some(known) = kept().find(defined, wanted) {
            return Ok(known);
        }
        let maps = Translator::default().frame_maps(&self.interpreter_env(), defined, wanted);
        let maps = maps.map_err(Error::compile)?;
        kept().keep(defined, wanted, &maps);
        Ok(maps)
    }

    /// The types of all locals of a function, parameters first, by the numbers of the engine.
    pub(crate) fn all_local_types(&self, defined: DefinedFuncIndex) -> Vec<ValType> {
        let (info, bytes) = (self.decoded.info(), self.decoded.bytes());
        let types = wardian_module::local_types(info, bytes, defined, usize::MAX);
        types.into_iter().map(|ty| wardian_module::engine_type(ty, &self.signatures)).collect()
    }

    /// Where frames of a function have its locals, of these types.
    pub(crate) fn frame_layout(
        &self,
        defined: DefinedFuncIndex,
        locals: &[ValType],
    ) -> FrameLayout {
        let params = self.decoded.info().defined_type(defined).params().len();
        let (params, further) = locals.split_at(params.min(locals.len()));
        FrameLayout::new(params, further.iter().copied())
    }

    fn interpreter_env(&self) -> Env<'_> {
        let config = self.engine.settings();
        Env {
            info: self.decoded.info(),
            bytes: self.decoded.bytes(),
            layout: self.layout,
            options: Options {
                tiering: config.kind == EngineKind::Tiered || config.gc_stress_at_safepoints,
                fuel: config.fuel,
                canonical_nans: config.canonical_nans,
                deterministic_simd: config.deterministic_simd,
            },
        }
    }
}

impl Maps {
    /// All that is wanted, if all was asked for before.
    fn find(&self, defined: DefinedFuncIndex, wanted: Wanted<'_>) -> Option<Vec<FrameMap>> {
        let mut found = Vec::new();
        match wanted {
            Wanted::Units(units) => {
                for unit in units {
                    found.extend_from_slice(self.units.get(&(defined, *unit))?);
                }
            }
            Wanted::Points(points) => {
                for point in points {
                    found.push(self.points.get(&(defined, *point))?.clone());
                }
            }
        }
        Some(found)
    }

    fn keep(&mut self, defined: DefinedFuncIndex, wanted: Wanted<'_>, maps: &[FrameMap]) {
        if maps.iter().any(|map| map.operands.len().max(map.caught.len()) > LARGEST) {
            return;
        }
        if self.units.len().max(self.points.len()) >= KEPT {
            *self = Maps::default();
        }
        match wanted {
            Wanted::Units(units) => {
                for unit in units {
                    let here = maps.iter().filter(|map| map.unit == *unit).cloned();
                    self.units.insert((defined, *unit), here.collect());
                }
            }
            Wanted::Points(_) => {
                self.points.extend(maps.iter().map(|map| ((defined, map.point), map.clone())));
            }
        }
    }
}

impl Interpreted {
    fn slots(&self, module: &ModuleInner) -> &[OnceLock<Arc<InterpretedCode>>] {
        let count = module.decoded.info().bodies.len();
        self.functions.get_or_init(|| (0..count).map(|_| OnceLock::new()).collect())
    }

    /// All that has been translated.
    pub fn all(&self) -> impl Iterator<Item = &Arc<InterpretedCode>> + Clone {
        self.functions.get().into_iter().flatten().filter_map(|slot| slot.get())
    }
}

impl InterpretedCode {
    /// The record by which the executor runs it.
    pub fn function(&self) -> &Function {
        self.translation.function()
    }

    /// Sets the countdown.
    pub(crate) fn count_down_from(&self, count: i32) {
        let left = self.translation.countdown().swap(count, Ordering::Relaxed);
        let from = self.counts_from.swap(count, Ordering::Relaxed);
        self.counted.fetch_add(difference(from, left), Ordering::Relaxed);
    }

    /// Calls and rounds of loops that were counted. Threads that run the function at once may lose some.
    pub(crate) fn counted(&self) -> u64 {
        let left = self.translation.countdown().load(Ordering::Relaxed);
        let since = difference(self.counts_from.load(Ordering::Relaxed), left);
        self.counted.load(Ordering::Relaxed).saturating_add(since)
    }

    /// Has the interpreter ask the runtime at the next call or round. Returns whether it would not have asked.
    pub(crate) fn ask_soon(&self) -> bool {
        let would_not = self.translation.countdown().load(Ordering::Relaxed) > 0;
        if would_not {
            self.count_down_from(0);
        }
        would_not
    }

    /// Which function it is.
    pub(crate) fn defined(&self) -> DefinedFuncIndex {
        self.defined
    }

    /// Address of the first instruction.
    pub fn start(&self) -> CodeAddr {
        CodeAddr::of(self.translation.code().as_ptr().cast())
    }

    /// The unit of code at an address in it.
    pub(crate) fn unit_at(&self, ip: CodeAddr) -> CodeUnit {
        CodeUnit::from_u32((ip.bytes_from(self.start()) / size_of::<u16>()) as u32)
    }

    /// The address of a unit of code.
    pub(crate) fn address_of(&self, unit: CodeUnit) -> CodeAddr {
        self.start().add(unit.index() * size_of::<u16>())
    }

    /// The handlers of exceptions around the instruction at an address, innermost first.
    pub(crate) fn handlers_at(&self, pc: CodeAddr) -> impl Iterator<Item = &Handler> {
        self.translation.handlers_at(self.unit_at(pc))
    }

    fn locations(&self, module: &ModuleInner) -> &[(CodeUnit, CodeOffset)] {
        self.locations.get_or_init(|| {
            let found = Translator::default().locations(&module.interpreter_env(), self.defined);
            found.unwrap_or_default().into()
        })
    }
}

/// What was counted between two values of a countdown.
fn difference(from: i32, left: i32) -> u64 {
    u64::try_from(i64::from(from) - i64::from(left)).unwrap_or(0)
}

impl CodePiece for InterpretedCode {
    fn range(&self) -> Range<CodeAddr> {
        let code = self.translation.code().as_ptr_range();
        CodeAddr::of(code.start.cast())..CodeAddr::of(code.end.cast())
    }

    fn function_at(&self, _: CodeAddr) -> Option<DefinedFuncIndex> {
        Some(self.defined)
    }

    fn location(&self, module: &ModuleInner, pc: CodeAddr) -> Option<CodeOffset> {
        let unit = self.unit_at(pc);
        let locations = self.locations(module);
        let i = locations.partition_point(|(at, _)| *at <= unit).checked_sub(1)?;
        Some(locations[i].1)
    }

    fn references_in_slots(&self, module: &ModuleInner, ip: CodeAddr) -> Option<Vec<FrameSlot>> {
        let references = self.references.get_or_init(|| {
            let found = Translator::default().references(&module.interpreter_env(), self.defined);
            found.unwrap_or_default()
        });
        references.at(self.unit_at(ip)).map(Iterator::collect)
    }

    fn is_interpreted(&self) -> bool {
        true
    }

    fn start_of(&self, _: CodeAddr) -> Option<CodeAddr> {
        Some(self.range().start)
    }

    fn trap_at(&self, _: CodeAddr) -> Option<TrapCode> {
        None
    }
}
