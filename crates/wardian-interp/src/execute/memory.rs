//! Accesses to linear memory.
//!
//! Other threads may access the same bytes. Each handler does one access, of which the compiler can
//! make nothing but one instruction of the machine, and then leaves; so what another thread does
//! meanwhile can change the value, but nothing else. None is aligned.

use super::state::{State, Target, handlers};
use crate::op;
use crate::operand::{S, U16, U32};
use std::sync::atomic::Ordering;
use wardian_types::{GuestAddr, TrapCode};
use wardian_vm::addr::{CtxOffset, VmCtxPtr};
use wardian_vm::interpreted::{Function, header};
use wardian_vm::layout::{RefusedIn, StoreCtx, VmMemory, instance, refused};

/// The address so far behind a number. It wraps only if a slot holds what no translation puts there.
#[inline(always)]
fn offset_by(index: u64, offset: U32) -> GuestAddr {
    GuestAddr::from_u64(index.wrapping_add(u64::from(offset.0)))
}

/// The address so far behind a number of 32 bits.
#[inline(always)]
pub(super) fn narrow(index: u32, offset: U32) -> GuestAddr {
    GuestAddr::from_u64(u64::from(index) + u64::from(offset.0))
}

impl State {
    /// The address that an instruction gives as a slot and an offset.
    #[inline(always)]
    pub(super) unsafe fn address(&self, a: S, offset: U32) -> GuestAddr {
        // SAFETY: an operand of the instruction.
        offset_by(unsafe { self.get(a) }, offset)
    }

    /// Where `size` bytes at this address lie; the address again if they are not all in the memory, found
    /// out from their end, so that the compiler arranges nothing for the sake of that case.
    #[inline(always)]
    pub(super) unsafe fn bytes(
        &self,
        address: GuestAddr,
        size: usize,
    ) -> Result<*mut u8, GuestAddr> {
        let address = kept(address.as_u64());
        // Whatever stands in a slot: where a sum of 32-bit addresses is too large for them, a translation or
        // a host function is at fault, but the guest must stay in its memory all the same.
        let (end, overflow) = address.overflowing_add(size as u64);
        if overflow || end > self.len as u64 {
            return Err(GuestAddr::from_u64(kept(end).wrapping_sub(size as u64)));
        }
        // SAFETY: inside the memory.
        Ok(unsafe { self.base.add(address as usize) })
    }

    #[inline(always)]
    pub(super) unsafe fn load<T: Copy>(&self, address: GuestAddr) -> Result<T, GuestAddr> {
        // SAFETY: the bytes are in the memory.
        unsafe {
            let at = self.bytes(address, size_of::<T>())?;
            Ok(at.cast::<T>().read_unaligned())
        }
    }

    #[inline(always)]
    pub(super) unsafe fn save<T: Copy>(self, address: GuestAddr, value: T) -> u64 {
        // SAFETY: the bytes are in the memory.
        unsafe {
            let at = match self.bytes(address, size_of::<T>()) {
                Ok(at) => at,
                Err(address) => return self.beyond(address),
            };
            at.cast::<T>().write_unaligned(value);
            self.go()
        }
    }

    /// Notes the address of an access beyond the length at hand, and sees whether it is beyond the
    /// memory's. The note is for who tells of the trap; it costs nothing but where there may be one.
    #[inline(always)]
    pub(super) unsafe fn beyond(self, address: GuestAddr) -> u64 {
        // SAFETY: the store of the instance, and the same state.
        unsafe {
            (*self.store()).refused.start = address;
            self.instead(beyond)
        }
    }

    /// Traps because of an access at this address.
    #[inline(always)]
    pub(super) unsafe fn refuse_access(self, address: GuestAddr, code: TrapCode) -> u64 {
        // SAFETY: the store of the instance, and the same state.
        unsafe {
            let refused = &mut (*self.store()).refused;
            refused.start = address;
            refused.ctx = RefusedIn::new(self.vmctx, refused::ADDRESS);
            self.trap(code)
        }
    }

    /// Ends an instruction that loads a scalar.
    #[inline(always)]
    pub(super) unsafe fn loaded<F: Copy, T>(
        mut self,
        address: GuestAddr,
        d: impl Target<T>,
        extend: impl FnOnce(F) -> T,
    ) -> u64 {
        // SAFETY: the operands of the instruction.
        unsafe {
            let value = match self.load::<F>(address) {
                Ok(at) => at,
                Err(address) => return self.beyond(address),
            };
            self.set(d, extend(value));
            self.go()
        }
    }
}

/// An access beyond the length at hand. A shared memory may have grown since: then the instruction is
/// done again.
///
/// Bounds of another memory than 0 were taken just before. They are distinguished from those of memory 0 by
/// their base: memories have no byte in common, nor do they begin at the same place.
#[cold]
#[inline(never)]
unsafe extern "C" fn beyond(
    at: *const u16,
    fp: *mut u64,
    base: *mut u8,
    len: usize,
    vmctx: VmCtxPtr,
    acc: u64,
    double: f64,
    single: f32,
    #[cfg(not(all(tail_dispatch, not(debug_assertions))))] place: *mut State,
) -> u64 {
    // SAFETY: the state of a frame, see `Handler`; in a window, only the store knows the frame.
    unsafe {
        let s = State {
            at,
            ip: at,
            fp,
            base,
            len,
            vmctx,
            acc,
            double,
            single,
            #[cfg(not(all(tail_dispatch, not(debug_assertions))))]
            place,
        };
        let store = *vmctx.word::<*mut StoreCtx>(CtxOffset::of(instance::STORE));
        let frame = (*store).interp_fp.as_ptr::<u64>();
        let function = *frame.offset(header::FUNCTION) as *const Function;
        let memory0 = (*function).memory0;
        (*store).refused.ctx = RefusedIn::new(vmctx, refused::ADDRESS);
        if memory0.is_none() {
            return s.trap(TrapCode::MemoryOutOfBounds);
        }
        let memory: *const VmMemory = *s.instance(memory0);
        let now = (*memory).len.load(Ordering::SeqCst);
        if (*memory).base == base && now > len {
            return State { len: now, ..s }.go();
        }
        s.trap(TrapCode::MemoryOutOfBounds)
    }
}

/// Lets the compiler forget how a number was made, so that it does not make it, and what depends on it,
/// by a sum of its own each. Halves, since a register of some processors holds no more.
#[inline(always)]
pub(super) fn kept(number: u64) -> u64 {
    if usize::BITS < 64 {
        let (low, high) = (kept_word(number as usize), kept_word((number >> 32) as usize));
        return low as u64 | (high as u64) << 32;
    }
    kept_word(number as usize) as u64
}

// Miri has no assembly.
#[cfg(miri)]
fn kept_word(number: usize) -> usize {
    number
}

#[cfg(not(miri))]
#[inline(always)]
fn kept_word(mut number: usize) -> usize {
    // SAFETY: nothing is done.
    unsafe {
        std::arch::asm!("/* {0} */", inout(reg) number, options(pure, nomem, nostack, preserves_flags));
    }
    number
}

macro_rules! loads {
    ($($name:ident $acc:ident $sum:ident $from:ty => $to:ty;)*) => { handlers! { $(
        fn $name(s, i) {
            let address = s.address(i.a, i.offset);
            s.loaded(address, i.d, |value: $from| value as $to)
        }

        fn $acc(s, i) {
            s.loaded(offset_by(s.acc, i.offset), i.d, |value: $from| value as $to)
        }

        fn $sum(s, i) {
            let a = s.get::<u32>(i.a).wrapping_add(s.get::<u32>(i.b));
            let address = narrow(a, i.offset);
            s.loaded(address, i.d, |value: $from| value as $to)
        }
    )* } };
}

macro_rules! stores {
    ($($name:ident $imm:ident $sum:ident $acc:ident $ty:ty;)*) => { handlers! { $(
        fn $name(s, i) {
            let address = s.address(i.a, i.offset);
            s.save(address, s.get::<u64>(i.value) as $ty)
        }

        fn $acc(s, i) {
            let address = s.address(i.a, i.offset);
            s.save(address, s.acc as $ty)
        }

        fn $imm(s, i) {
            let address = s.address(i.a, i.offset);
            s.save(address, i.value.0 as $ty)
        }

        fn $sum(s, i) {
            let a = s.get::<u32>(i.a).wrapping_add(s.get::<u32>(i.b));
            let address = narrow(a, i.offset);
            s.save(address, s.get::<u64>(i.value) as $ty)
        }
    )* } };
}

loads! {
    load8_u load8_u_acc load8_u_sum u8 => u64;
    load16_u load16_u_acc load16_u_sum u16 => u64;
    load32 load32_acc load32_sum u32 => u64;
    load64 load64_acc load64_sum u64 => u64;
    load8_s32 load8_s32_acc load8_s32_sum i8 => i32;
    load16_s32 load16_s32_acc load16_s32_sum i16 => i32;
    load8_s64 load8_s64_acc load8_s64_sum i8 => i64;
    load16_s64 load16_s64_acc load16_s64_sum i16 => i64;
    load32_s64 load32_s64_acc load32_s64_sum i32 => i64;
    load_f32 load_f32_acc load_f32_sum f32 => f32;
    load_f64 load_f64_acc load_f64_sum f64 => f64;
}

stores! {
    store8 store8_imm store8_sum store8_acc u8;
    store16 store16_imm store16_sum store16_acc u16;
    store32 store32_imm store32_sum store32_acc u32;
    store64 store64_imm store64_sum store64_acc u64;
}

handlers! {
    fn store32_single(s, i) {
        let address = s.address(i.a, i.offset);
        s.save(address, s.single)
    }

    fn store64_double(s, i) {
        let address = s.address(i.a, i.offset);
        s.save(address, s.double)
    }

    fn memory_size(s, op::memory_size { d, memory, shift, narrow: U16(narrow) }) {
        let pages = s.pages(memory, shift);
        s.set(d, if narrow != 0 { u64::from(pages as u32) } else { pages });
        s.go()
    }

    fn select_memory(s, i) {
        s.with_memory(i.memory.in_instance()).go()
    }

    fn address64(s, i) {
        match s.get::<u64>(i.a).checked_add(i.offset.0) {
            // No memory is as long as the greatest that is kept, so the sums of those who access it do
            // not overflow. What is left out changes nothing: atomic accesses look at the low bits
            // before the bounds.
            Some(address) => {
                s.set(i.d, address.min(address & 63 | 1 << 63));
                s.go()
            }
            None => s.refuse_access(GuestAddr::from_u64(u64::MAX), TrapCode::MemoryOutOfBounds),
        }
    }
}
