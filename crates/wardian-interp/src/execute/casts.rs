//! Tests of references. What is rare, functions and deep types, is left to the runtime.

use super::builtins::Fn2;
use super::fetch::Fetch;
use super::memory::kept;
use super::state::{State, handlers};
use crate::cast;
use crate::op;
use crate::operand::{Far, S, U16, U32};
use wardian_types::{TrapCode, TypeNumber};
use wardian_vm::addr::{CtxOffset, StackAddr, VmCtxPtr};
use wardian_vm::heap::{Displays, HeapRef, shape};
use wardian_vm::interpreted::header;
use wardian_vm::layout::{Builtin, StoreCtx, VmFunc, instance};

impl State {
    /// Whether a reference is of a kind: see [`cast`].
    #[inline(always)]
    unsafe fn is_of_kind(&self, word: u64, U16(what): U16) -> bool {
        if word == 0 {
            return what & cast::NULLABLE != 0;
        }
        if what >> 1 == cast::ALL {
            return true;
        }
        if word & 1 != 0 {
            return matches!(what >> 1, cast::I31 | cast::EQ);
        }
        if !matches!(what >> 1, cast::EQ | cast::STRUCT | cast::ARRAY) {
            return false;
        }
        // SAFETY: what these tests are given is an object, if it is neither null nor an integer.
        let kind = unsafe { *self.any_object(HeapRef::in_low_half(word)).cast::<u32>().add(1) };
        match what >> 1 {
            cast::EQ => kind != shape::EXTERN_BOX,
            cast::STRUCT => kind == shape::STRUCT,
            _ => kind < shape::FIRST_KIND,
        }
    }

    /// Whether a reference is of a type without subtypes.
    #[inline(always)]
    unsafe fn is_of_final(&self, word: HeapRef, ty: U32, U16(what): U16) -> bool {
        if word.is_null() {
            return what & cast::NULLABLE != 0;
        }
        // SAFETY: an object, if it is neither null nor an integer.
        unsafe {
            !word.is_integer() && *self.object(word).cast::<TypeNumber>() == self.type_number(ty)
        }
    }

    /// Whether a reference is of a type or a subtype. The type is one of those that rows of the table have.
    #[inline(always)]
    unsafe fn is_of_open(&self, word: HeapRef, ty: U32, depth: U16, U16(what): U16) -> bool {
        if word.is_null() {
            return what & cast::NULLABLE != 0;
        }
        if word.is_integer() {
            return false;
        }
        // SAFETY: an object; the table has a row for each number below the bound.
        unsafe {
            let (found, wanted) = (*self.object(word).cast::<TypeNumber>(), self.type_number(ty));
            if found == wanted {
                return true;
            }
            // No object has another number. This keeps a heap that is corrupt from being read elsewhere.
            if found.as_u32() >= Displays::TYPES {
                return false;
            }
            let row = (*self.store()).displays.add(found.index() << Displays::ROW_LOG2);
            *row.as_ptr::<u32>().add(usize::from(depth.0) % Displays::DEPTH)
                == wanted.as_u32().wrapping_add(1)
        }
    }

    /// Whether a reference is of a type that the runtime is asked about.
    #[inline(always)]
    unsafe fn is_asked(&self, word: u64, top: Far, ty: U32, U16(what): U16) -> bool {
        if word == 0 {
            return what & cast::NULLABLE != 0;
        }
        let is_func = what >> 1 == cast::FUNC;
        // SAFETY: a reference to a function, where the type is one of functions.
        unsafe {
            if is_func && (*(word as *const VmFunc)).sig == self.type_number(ty) {
                return true;
            }
            // An integer is of no such type.
            (is_func || word & 1 == 0) && self.ask_whether(word, top, ty)
        }
    }

    /// Whether a reference that is not null is to something of a type, as the runtime says.
    #[inline(always)]
    pub(super) unsafe fn ask_whether(&self, word: u64, top: Far, ty: U32) -> bool {
        // SAFETY: the state of a frame.
        unsafe { whether(self.vmctx, self.fp, self.ip, self.far(top), word, ty.0) }
    }

    /// The instruction once more: operands that are needed at its end only take up no registers until then.
    #[inline(always)]
    unsafe fn again<I: Fetch>(&self) -> I {
        // SAFETY: the instruction of the frame, which begins there.
        unsafe { I::fetch(kept(self.at as u64) as *const u16) }
    }

    /// The reference in a slot.
    #[inline(always)]
    unsafe fn word(&self, slot: S) -> HeapRef {
        // SAFETY: a slot of the frame.
        unsafe { self.get(slot) }
    }
}

/// See [`State::ask_whether`]. A function that is given parts of the state and no pointer to it, so that handlers
/// can still end with a jump.
///
/// # Safety
///
/// `fp` is the frame that the instance at `vmctx` is executing, it is resumed at `ip`, and from `top` on its slots
/// are free. The reference is not null, and is one that casts to the type may be given.
#[cold]
#[inline(never)]
unsafe fn whether(
    vmctx: VmCtxPtr,
    fp: *mut u64,
    ip: *const u16,
    top: *mut u64,
    word: u64,
    ty: u32,
) -> bool {
    // SAFETY: the caller's promise.
    unsafe {
        let store = *vmctx.word::<*mut StoreCtx>(CtxOffset::of(instance::STORE));
        *fp.offset(header::IP) = ip as u64;
        (*store).interp_sp = StackAddr::of(top);
        let address: *const () = *(*store).builtins.add(Builtin::RefTest as usize);
        let builtin: Fn2 = std::mem::transmute(address);
        let is = builtin(vmctx, word, ty.into());
        (*store).interp_sp = StackAddr::NULL;
        is != 0
    }
}

handlers! {
    fn ref_test_kind(s, i) {
        s.set(i.d, s.is_of_kind(s.get(i.a), i.what));
        s.go()
    }

    fn ref_cast_kind(s, i) {
        if !s.is_of_kind(s.get(i.a), i.what) {
            return s.trap(TrapCode::CastFailure);
        }
        s.go()
    }

    fn ref_test_asking(s, op::ref_test_asking { top, d, a, ty, what }) {
        let is = s.is_asked(*s.far(a), top, ty, what);
        *s.far(d) = u64::from(is);
        s.go()
    }

    fn ref_cast_asking(s, op::ref_cast_asking { top, a, ty, what }) {
        if !s.is_asked(*s.far(a), top, ty, what) {
            return s.trap(TrapCode::CastFailure);
        }
        s.go()
    }
}

/// `test cast, branches if it is and if it is not, the same with a copy: |state, instruction, reference| whether`.
macro_rules! tests {
    ($($test:ident $cast:ident $if:ident $unless:ident $on:ident $on_not:ident
        |$s:ident, $i:ident, $word:ident| $is:expr;)*) => { handlers! { $(
        fn $test($s, $i) {
            let $word = $s.word($i.a);
            $s.set($i.d, $is);
            $s.go()
        }

        fn $cast($s, $i) {
            let $word = $s.word($i.a);
            if !$is {
                return $s.trap(TrapCode::CastFailure);
            }
            $s.go()
        }

        fn $if($s, $i) {
            let $word = $s.word($i.a);
            if $is { $s.branch($s.again::<op::$if>().target) } else { $s.go() }
        }

        fn $unless($s, $i) {
            let $word = $s.word($i.a);
            if $is { $s.go() } else { $s.branch($s.again::<op::$unless>().target) }
        }

        fn $on($s, $i) {
            let $word = $s.word($i.a);
            $s.acc = $word.as_word();
            if $is {
                let again = $s.again::<op::$on>();
                $s.put(again.d, $s.acc);
                return $s.branch(again.target);
            }
            $s.put($s.again::<op::$on>().d, $s.acc);
            $s.go()
        }

        fn $on_not($s, $i) {
            let $word = $s.word($i.a);
            $s.acc = $word.as_word();
            if $is {
                $s.put($s.again::<op::$on_not>().d, $s.acc);
                return $s.go();
            }
            let again = $s.again::<op::$on_not>();
            $s.put(again.d, $s.acc);
            $s.branch(again.target)
        }
    )* } };
}

tests! {
    ref_test_final ref_cast_final br_if_final br_unless_final br_on_final br_on_not_final
        |s, i, word| s.is_of_final(word, i.ty, i.what);
    ref_test_open ref_cast_open br_if_open br_unless_open br_on_open br_on_not_open
        |s, i, word| s.is_of_open(word, i.ty, i.depth, i.what);
}
