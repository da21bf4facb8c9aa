//! Atomic accesses. The address must be a multiple of the size: that is checked before the bounds.

use super::state::handlers;
use crate::op;
use crate::operand::U16;
use std::sync::atomic::{AtomicU8, AtomicU16, AtomicU32, AtomicU64, Ordering::SeqCst};
use wardian_types::TrapCode;

/// The atomic cell of an instruction; if there is none, the handler ends here.
macro_rules! cell {
    ($s:ident, $i:ident, $cell:ident, $ty:ty) => {{
        let address = $s.address($i.a, $i.offset);
        let size = size_of::<$ty>();
        if !address.is_aligned_to(size as u64) {
            return $s.refuse_access(address, TrapCode::UnalignedAtomic);
        }
        // Memories begin at pages, so the cell is aligned as the address is.
        match $s.bytes(address, size) {
            Ok(at) => $cell::from_ptr(at.cast()),
            Err(at) => return $s.beyond(at),
        }
    }};
}

macro_rules! widths {
    ($($cell:ident $ty:ident $load:ident $store:ident $cmpxchg:ident
        $($rmw:ident $method:ident)*;)*) => { handlers! { $(
        fn $load(s, i) {
            let value = cell!(s, i, $cell, $ty).load(SeqCst);
            s.set(i.d, u64::from(value));
            s.go()
        }

        fn $store(s, i) {
            cell!(s, i, $cell, $ty).store(s.get::<u64>(i.value) as $ty, SeqCst);
            s.go()
        }

        fn $cmpxchg(s, i) {
            let expected = s.get::<u64>(i.expected) as $ty;
            let value = s.get::<u64>(i.value) as $ty;
            let cell = cell!(s, i, $cell, $ty);
            let old = cell.compare_exchange(expected, value, SeqCst, SeqCst).unwrap_or_else(|old| old);
            s.set(i.d, u64::from(old));
            s.go()
        }

        $(fn $rmw(s, i) {
            let value = s.get::<u64>(i.value) as $ty;
            let old = cell!(s, i, $cell, $ty).$method(value, SeqCst);
            s.set(i.d, u64::from(old));
            s.go()
        })*
    )* } };
}

widths! {
    AtomicU8 u8 atomic_load8 atomic_store8 rmw8_cmpxchg
        rmw8_add fetch_add rmw8_sub fetch_sub rmw8_and fetch_and rmw8_or fetch_or
        rmw8_xor fetch_xor rmw8_xchg swap;
    AtomicU16 u16 atomic_load16 atomic_store16 rmw16_cmpxchg
        rmw16_add fetch_add rmw16_sub fetch_sub rmw16_and fetch_and rmw16_or fetch_or
        rmw16_xor fetch_xor rmw16_xchg swap;
    AtomicU32 u32 atomic_load32 atomic_store32 rmw32_cmpxchg
        rmw32_add fetch_add rmw32_sub fetch_sub rmw32_and fetch_and rmw32_or fetch_or
        rmw32_xor fetch_xor rmw32_xchg swap;
    AtomicU64 u64 atomic_load64 atomic_store64 rmw64_cmpxchg
        rmw64_add fetch_add rmw64_sub fetch_sub rmw64_and fetch_and rmw64_or fetch_or
        rmw64_xor fetch_xor rmw64_xchg swap;
}

handlers! {
    fn fence(s, _) {
        std::sync::atomic::fence(SeqCst);
        s.go()
    }

    fn atomic_address(s, op::atomic_address { d, a, offset, align: U16(align) }) {
        let address = s.address(a, offset);
        if !address.is_aligned_to(u64::from(align)) {
            return s.refuse_access(address, TrapCode::UnalignedAtomic);
        }
        if let Err(at) = s.bytes(address, usize::from(align)) {
            return s.beyond(at);
        }
        s.set(d, address.as_u64());
        s.go()
    }
}
