//! What handlers have in hand, and how they are written.

use crate::operand::{Branch, D, D32, D64, DW, Far, I32, S, SW, W};
use wardian_types::{ArrayElementIndex, TrapCode};
use wardian_vm::addr::{CtxOffset, StackAddr, VmCtxPtr};
use wardian_vm::heap::HeapRef;
use wardian_vm::interpreted::{Function, Service, exit, header};
use wardian_vm::layout::{Builtin, StoreCtx, VmMemory, instance};

/// The code of an instruction.
///
/// # Safety
///
/// What it is given is the state of a frame: `ip` is its instruction, in code that a translator made for
/// the frame's function; `base` and `len` are bounds, or old bounds, of a memory of that instance.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub(super) struct Handler(pub(super) Code);

pub(super) type Code = unsafe extern "C" fn(
    ip: *const u16,
    fp: *mut u64,
    base: *mut u8,
    len: usize,
    vmctx: VmCtxPtr,
    acc: u64,
    double: f64,
    single: f32,
    #[cfg(not(all(tail_dispatch, not(debug_assertions))))] place: *mut State,
) -> u64;

/// What a handler returns where a loop calls the next one.
#[cfg(not(all(tail_dispatch, not(debug_assertions))))]
pub(super) const CONTINUE: u64 = 0;

/// The registers of a handler.
#[derive(Clone, Copy)]
pub(super) struct State {
    /// The instruction.
    pub(super) at: *const u16,
    /// The one after it, or wherever control goes.
    pub(super) ip: *const u16,
    pub(super) fp: *mut u64,
    pub(super) base: *mut u8,
    pub(super) len: usize,
    pub(super) vmctx: VmCtxPtr,
    /// What the instruction before wrote to a slot, if that was no float.
    pub(super) acc: u64,
    /// If it was an `f64`.
    pub(super) double: f64,
    /// If it was an `f32`.
    pub(super) single: f32,
    /// Where the loop that calls handlers has the state.
    #[cfg(not(all(tail_dispatch, not(debug_assertions))))]
    pub(super) place: *mut State,
}

/// Handlers: `fn name(state, operands) { … }` for the instruction of that name, or for another where
/// `name: instruction` says so.
macro_rules! handlers {
    ($($(#[$meta:meta])*
        fn $name:ident $(: $op:ident)? ($s:ident, $i:pat) $body:block)*) => { $(
        $(#[$meta])*
        pub(super) unsafe extern "C" fn $name(
            ip: *const u16,
            fp: *mut u64,
            base: *mut u8,
            len: usize,
            vmctx: wardian_vm::addr::VmCtxPtr,
            acc: u64,
            double: f64,
            single: f32,
            #[cfg(not(all(tail_dispatch, not(debug_assertions))))]
            place: *mut $crate::execute::state::State,
        ) -> u64 {
            use $crate::op::Instruction;
            type This = $crate::execute::state::handlers!(@op $name $($op)?);
            // SAFETY: the state is that of a frame, see `Handler`: slots that the instruction names are
            // in that frame, and offsets that it has are in the instance, which the translator saw to.
            unsafe {
                let $i = <This as $crate::execute::fetch::Fetch>::fetch(ip);
                #[allow(unused_mut, reason = "some do not change it")]
                let mut $s = $crate::execute::state::State {
                    at: ip, ip: ip.add(This::UNITS), fp, base, len, vmctx, acc, double, single,
                    #[cfg(not(all(tail_dispatch, not(debug_assertions))))]
                    place,
                };
                $body
            }
        }
    )* };
    (@op $name:ident) => { $crate::op::$name };
    (@op $name:ident $op:ident) => { $crate::op::$op };
}
pub(super) use handlers;

/// A value that a slot can hold.
pub(super) trait Word: Copy {
    fn from_word(word: u64) -> Self;
    fn to_word(self) -> u64;
}

macro_rules! words {
    ($($ty:ty: $word:ident => $from:expr, $value:ident => $to:expr;)*) => { $(
        impl Word for $ty {
            #[inline(always)]
            fn from_word($word: u64) -> Self {
                $from
            }

            #[inline(always)]
            fn to_word(self) -> u64 {
                let $value = self;
                $to
            }
        }
    )* };
}

words! {
    u64: w => w, v => v;
    i64: w => w as i64, v => v as u64;
    u32: w => w as u32, v => u64::from(v);
    i32: w => w as i32, v => u64::from(v as u32);
    f32: w => f32::from_bits(w as u32), v => u64::from(v.to_bits());
    f64: w => f64::from_bits(w), v => v.to_bits();
    HeapRef: w => HeapRef::in_low_half(w), v => v.as_word();
    ArrayElementIndex: w => ArrayElementIndex::from_u32(w as u32), v => u64::from(v.as_u32());
    bool: w => w as u32 != 0, v => u64::from(v);
}

/// Where an operand comes from: a slot, or the instruction itself.
pub(super) trait Source<T> {
    /// # Safety
    ///
    /// If it is a slot, it is one of the frame.
    unsafe fn read(self, state: &State) -> T;
}

impl<T: Word> Source<T> for S {
    #[inline(always)]
    unsafe fn read(self, state: &State) -> T {
        // SAFETY: the caller's promise.
        unsafe { state.get(self) }
    }
}

impl Source<u32> for I32 {
    #[inline(always)]
    unsafe fn read(self, _: &State) -> u32 {
        self.0 as u32
    }
}

impl Source<u64> for I32 {
    /// With its sign.
    #[inline(always)]
    unsafe fn read(self, _: &State) -> u64 {
        self.0 as u64
    }
}

/// A slot that a result is written to.
pub(super) trait Target<T> {
    /// # Safety
    ///
    /// It is a slot of the frame.
    unsafe fn write(self, state: &mut State, value: T);
}

impl<T: Word> Target<T> for D {
    #[inline(always)]
    unsafe fn write(self, state: &mut State, value: T) {
        state.acc = value.to_word();
        // SAFETY: the caller's promise.
        unsafe { *state.fp.offset(self.0.as_isize()) = state.acc };
    }
}

impl Target<f64> for D64 {
    #[inline(always)]
    unsafe fn write(self, state: &mut State, value: f64) {
        state.double = value;
        // SAFETY: the caller's promise.
        unsafe { *state.fp.offset(self.0.as_isize()) = value.to_bits() };
    }
}

impl Target<f32> for D32 {
    #[inline(always)]
    unsafe fn write(self, state: &mut State, value: f32) {
        state.single = value;
        // SAFETY: the caller's promise.
        unsafe { *state.fp.offset(self.0.as_isize()) = u64::from(value.to_bits()) };
    }
}

/// All of these are promised the state of a frame, and operands of its instruction.
impl State {
    /// Continues with the next instruction.
    #[cfg(all(tail_dispatch, not(debug_assertions)))]
    #[inline(always)]
    pub(super) unsafe fn go(self) -> u64 {
        // SAFETY: the next instruction is one of the frame's, and begins with its handler.
        unsafe {
            let address = self.ip.cast::<wardian_vm::addr::CodeAddr>().read_unaligned();
            let handler: Code = std::mem::transmute(address.to_function());
            let State { ip, fp, base, len, vmctx, acc, double, single, .. } = self;
            handler(ip, fp, base, len, vmctx, acc, double, single)
        }
    }

    /// Continues with the next instruction: the loop does it.
    #[cfg(not(all(tail_dispatch, not(debug_assertions))))]
    #[inline(always)]
    pub(super) unsafe fn go(self) -> u64 {
        // SAFETY: the loop gave the place of its state.
        unsafe { *self.place = self };
        CONTINUE
    }

    /// Lets another handler do this instruction.
    #[inline(always)]
    pub(super) unsafe fn instead(self, code: Code) -> u64 {
        // SAFETY: the same state.
        unsafe { self.jump(code, self.at, self.len) }
    }

    #[inline(always)]
    unsafe fn jump(self, code: Code, ip: *const u16, len: usize) -> u64 {
        let State { fp, base, vmctx, acc, double, single, .. } = self;
        // SAFETY: the caller's promise.
        unsafe {
            code(
                ip,
                fp,
                base,
                len,
                vmctx,
                acc,
                double,
                single,
                #[cfg(not(all(tail_dispatch, not(debug_assertions))))]
                self.place,
            )
        }
    }

    #[inline(always)]
    pub(super) unsafe fn trap(self, code: TrapCode) -> u64 {
        // SAFETY: the same state; the length is not needed, and its register carries the code.
        unsafe { self.jump(trap, self.at, code as usize) }
    }

    /// Ends here, and says that the guest was ended; the frame goes on at `ip`.
    #[inline(always)]
    pub(super) unsafe fn ended_at(self, ip: *const u16) -> u64 {
        // SAFETY: the same state.
        unsafe { self.jump(ended, ip, self.len) }
    }

    #[inline(always)]
    pub(super) unsafe fn get<T: Word>(&self, slot: S) -> T {
        // SAFETY: a slot of the frame.
        T::from_word(unsafe { *self.fp.offset(slot.0.as_isize()) })
    }

    /// An operand that is in a slot of the frame, or in the instruction.
    #[inline(always)]
    pub(super) unsafe fn operand<T>(&self, source: impl Source<T>) -> T {
        // SAFETY: a slot of the frame.
        unsafe { source.read(self) }
    }

    /// Writes a result to its slot, and leaves it in a register.
    #[inline(always)]
    pub(super) unsafe fn set<T>(&mut self, target: impl Target<T>, value: T) {
        // SAFETY: a slot of the frame.
        unsafe { target.write(self, value) }
    }

    /// Writes to a slot, and leaves the registers as they are.
    #[inline(always)]
    pub(super) unsafe fn put(&self, slot: W, word: u64) {
        // SAFETY: a slot of the frame.
        unsafe { *self.fp.offset(slot.0.as_isize()) = word };
    }

    #[inline(always)]
    pub(super) unsafe fn get_wide(&self, slot: SW) -> u128 {
        // SAFETY: two slots of the frame.
        unsafe {
            let at = self.fp.offset(slot.0.as_isize());
            u128::from(*at) | u128::from(*at.add(1)) << 64
        }
    }

    #[inline(always)]
    pub(super) unsafe fn set_wide(&self, slot: DW, value: u128) {
        // SAFETY: two slots of the frame.
        unsafe { self.fp.offset(slot.0.as_isize()).cast::<u128>().write_unaligned(value) }
    }

    /// A slot of the frame.
    #[inline(always)]
    pub(super) unsafe fn far(&self, slot: Far) -> *mut u64 {
        // SAFETY: a slot of the frame.
        unsafe { self.fp.offset(slot.0.as_isize()) }
    }

    #[inline(always)]
    pub(super) unsafe fn branch(mut self, target: Branch) -> u64 {
        // SAFETY: the target of a branch is an instruction of the function.
        unsafe {
            self.ip = self.ip.offset(target.0 as isize);
            self.go()
        }
    }

    #[inline(always)]
    pub(super) unsafe fn store(&self) -> *mut StoreCtx {
        // SAFETY: an instance begins with its store.
        unsafe { *self.vmctx.word::<*mut StoreCtx>(CtxOffset::of(instance::STORE)) }
    }

    /// A word of the instance.
    #[inline(always)]
    pub(super) unsafe fn instance<T: Copy>(&self, at: CtxOffset) -> *mut T {
        self.vmctx.word(at)
    }

    /// Goes on after the embedder's functions or the runtime's have run.
    #[inline(always)]
    pub(super) unsafe fn back_from_host(self) -> u64 {
        // SAFETY: the store of the instance.
        unsafe {
            (*self.store()).interp_sp = StackAddr::NULL;
            self.with_memory0().go()
        }
    }

    /// Takes the bounds of memory 0 of this frame's instance.
    #[inline(always)]
    pub(super) unsafe fn with_memory0(mut self) -> State {
        // SAFETY: the frame's function knows where its instance has the bounds.
        unsafe {
            let function = *self.fp.offset(header::FUNCTION) as *const Function;
            match (*function).memory0 {
                CtxOffset::NONE => {
                    self.base = std::ptr::dangling_mut();
                    self.len = 0;
                    self
                }
                memory => self.with_memory(memory),
            }
        }
    }

    /// Takes the bounds of the memory to which the instance points at this offset.
    #[inline(always)]
    pub(super) unsafe fn with_memory(mut self, at: CtxOffset) -> State {
        // SAFETY: the instance points to the bounds there.
        unsafe {
            let memory: *const VmMemory = *self.instance(at);
            self.base = (*memory).base;
            self.len = (*memory).len.load(std::sync::atomic::Ordering::Relaxed);
        }
        self
    }

    /// Whether somebody wants the guest to stop.
    #[inline(always)]
    pub(super) unsafe fn interrupted(&self) -> bool {
        // SAFETY: the store of the instance.
        unsafe { (*self.store()).interrupt.load(std::sync::atomic::Ordering::Relaxed) != 0 }
    }

    /// The address of a builtin.
    #[inline(always)]
    pub(super) unsafe fn builtin(&self, builtin: Builtin) -> *const () {
        // SAFETY: the store has as many, which are addresses of functions.
        unsafe { *(*self.store()).builtins.add(builtin as usize) }
    }

    /// The address of a service.
    #[inline(always)]
    pub(super) unsafe fn service(&self, service: Service) -> *const () {
        // SAFETY: the store has as many, which are addresses of functions.
        unsafe { *(*self.store()).builtins.add(service as usize) }
    }
}

/// Ends with the trap whose number is in `code`.
///
/// The frame is asked of the store: in a window, `fp` is no frame.
#[cold]
#[inline(never)]
unsafe extern "C" fn trap(
    at: *const u16,
    _fp: *mut u64,
    _base: *mut u8,
    code: usize,
    vmctx: VmCtxPtr,
    _acc: u64,
    _double: f64,
    _single: f32,
    #[cfg(not(all(tail_dispatch, not(debug_assertions))))] _place: *mut State,
) -> u64 {
    // SAFETY: the state of a frame, see `Handler`.
    unsafe {
        let store = *vmctx.word::<*mut StoreCtx>(CtxOffset::of(instance::STORE));
        let fp = (*store).interp_fp.as_ptr::<u64>();
        *fp.offset(header::IP) = at as u64;
        (*store).trap_code = code as u64;
    }
    exit::TRAP
}

#[cold]
#[inline(never)]
unsafe extern "C" fn ended(
    ip: *const u16,
    fp: *mut u64,
    _base: *mut u8,
    _len: usize,
    _vmctx: VmCtxPtr,
    _acc: u64,
    _double: f64,
    _single: f32,
    #[cfg(not(all(tail_dispatch, not(debug_assertions))))] _place: *mut State,
) -> u64 {
    // SAFETY: the state of a frame, see `Handler`.
    unsafe { *fp.offset(header::IP) = ip as u64 };
    exit::ENDED
}
