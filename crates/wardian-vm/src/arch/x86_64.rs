//! Switching stacks on x86-64 (System V).
//!
//! ```text
//!  embedder's stack                          wasm stack
//!  ┌──────────────────────────┐              ┌──────────────────────────┐ sp given to enter
//!  │ frame of Rust caller     │              │ store, padding           │
//!  │ return address           │              │ return into enter        │
//!  │ rbp rbx r12 r13 r14 r15  │  pushed by   │ frame of the trampoline  │
//!  │ previous host_sp         │  enter       │ frames of guest functions│
//!  ├──────────────────────────┤ <- host_sp   │ frame of host trampoline │
//!  │ frames of host function  │              │ return address           │
//!  │ or builtin (Rust)        │              │ rbp rbx r12 r13 r14 r15  │ pushed by a stub
//!  └──────────────────────────┘              └──────────────────────────┘ <- wasm_sp
//! ```
//!
//! Guest code keeps the registers that C keeps, so a stub, by which a guest calls the host, puts
//! them on the wasm stack: all of a guest's state at a call then lies in
//! `[wasm_sp, sp given to enter)`. On the way back they need not be read again, because Rust kept
//! them too, but for `rbx`, which the stub itself uses; only `resume` reads them all.
//!
//! Leaving (`exit`) needs only `rbx = store` and `rax = status`: it drops the wasm frames by taking
//! `host_sp` again. Signal handlers leave in the same way from any instruction of guest code.

use crate::layout::{Builtin, StoreCtx};
use std::arch::naked_asm;
use std::mem::offset_of;

/// Calls `trampoline(ctx, code, args)` on the wasm stack at `sp`; returns a status.
///
/// # Safety
///
/// `store` must be valid and its wasm stack have room below `sp`, which is a multiple of 16;
/// `trampoline`, `code`, `ctx` and `args` must fit each other as the layout says.
// Naked functions may be dropped by link-time optimisation when they are referred to from other
// crates (rust issue 148307); the wrapper keeps every reference in this module.
#[inline(never)]
pub(crate) unsafe fn enter(
    store: *mut StoreCtx,
    ctx: usize,
    code: usize,
    args: *mut u64,
    trampoline: usize,
    sp: usize,
) -> u64 {
    // SAFETY: the caller's promise is the same.
    unsafe { enter_naked(store, ctx, code, args, trampoline, sp) }
}

#[unsafe(naked)]
unsafe extern "C" fn enter_naked(
    _store: *mut StoreCtx,
    _ctx: usize,
    _code: usize,
    _args: *mut u64,
    _trampoline: usize,
    _sp: usize,
) -> u64 {
    naked_asm!(
        "push rbp",
        "push rbx",
        "push r12",
        "push r13",
        "push r14",
        "push r15",
        "push qword ptr [rdi]",
        "mov [rdi], rsp",
        "mov rsp, r9",
        "push rdi",
        "push rdi",
        "mov rdi, rsi",
        "mov rsi, rdx",
        "mov rdx, rcx",
        // A zero frame pointer ends the chain of this entry.
        "xor ebp, ebp",
        "call r8",
        "mov rbx, [rsp]",
        "xor eax, eax",
        "jmp {exit}",
        exit = sym exit,
    )
}

/// Continues a wasm stack at `wasm_sp`, left by a host function that asked to be suspended.
///
/// # Safety
///
/// The stack must have been left so, in this store, and not been resumed since.
#[inline(never)]
pub(crate) unsafe fn resume(store: *mut StoreCtx) -> u64 {
    // SAFETY: the caller's promise is the same.
    unsafe { resume_naked(store) }
}

#[unsafe(naked)]
unsafe extern "C" fn resume_naked(_store: *mut StoreCtx) -> u64 {
    naked_asm!(
        "push rbp",
        "push rbx",
        "push r12",
        "push r13",
        "push r14",
        "push r15",
        "push qword ptr [rdi]",
        "mov [rdi], rsp",
        "mov rsp, [rdi + {wasm_sp}]",
        "pop r15",
        "pop r14",
        "pop r13",
        "pop r12",
        "pop rbx",
        "pop rbp",
        "ret",
        wasm_sp = const offset_of!(StoreCtx, wasm_sp),
    )
}

/// In: `rbx` = store, `rax` = status. Drops the wasm frames and returns from `enter`.
#[unsafe(naked)]
unsafe extern "C" fn exit() {
    naked_asm!(
        "mov rsp, [rbx]",
        "pop qword ptr [rbx]",
        "pop r15",
        "pop r14",
        "pop r13",
        "pop r12",
        "pop rbx",
        "pop rbp",
        "ret",
    )
}

/// How far above `wasm_sp` the frame record of the caller lies: five registers.
pub(crate) const RECORD: usize = 40;

/// Guest calls host: `rdi` = [`crate::layout::HostFunc`], `rsi` = slots.
#[unsafe(naked)]
unsafe extern "C" fn host_stub_naked() {
    naked_asm!(
        "push rbp",
        "mov rbp, rsp",
        "push rbx",
        "push r12",
        "push r13",
        "push r14",
        "push r15",
        "mov rbx, [rdi]",
        "mov [rbx + {wasm_sp}], rsp",
        "mov rsp, [rbx]",
        "call [rdi + {dispatch}]",
        // A host function that succeeds still ends the guest if it is to be stopped.
        "or rax, [rbx + {interrupt}]",
        "jnz 2f",
        "mov rsp, [rbx + {wasm_sp}]",
        "mov rbx, [rsp + 32]",
        "add rsp, {record}",
        "pop rbp",
        "ret",
        "2:",
        "mov eax, 1",
        "jmp {exit}",
        wasm_sp = const offset_of!(StoreCtx, wasm_sp),
        interrupt = const offset_of!(StoreCtx, interrupt),
        dispatch = const offset_of!(crate::layout::HostFunc, dispatch),
        record = const RECORD,
        exit = sym exit,
    )
}

/// Guest calls builtin `N`: `rdi` = instance, arguments in the registers of the C convention.
#[unsafe(naked)]
unsafe extern "C" fn builtin_stub_naked<const N: usize>() {
    naked_asm!(
        "push rbp",
        "mov rbp, rsp",
        "push rbx",
        "push r12",
        "push r13",
        "push r14",
        "push r15",
        "mov rbx, [rdi]",
        "mov [rbx + {wasm_sp}], rsp",
        "mov rsp, [rbx]",
        "mov rax, [rbx + {builtins}]",
        "call [rax + 8 * {n}]",
        "mov rcx, [rbx + {end}]",
        "or rcx, [rbx + {interrupt}]",
        "jnz 2f",
        "mov rsp, [rbx + {wasm_sp}]",
        "mov rbx, [rsp + 32]",
        "add rsp, {record}",
        "pop rbp",
        "ret",
        "2:",
        "mov eax, 1",
        "jmp {exit}",
        n = const N,
        wasm_sp = const offset_of!(StoreCtx, wasm_sp),
        interrupt = const offset_of!(StoreCtx, interrupt),
        builtins = const offset_of!(StoreCtx, builtins),
        end = const offset_of!(StoreCtx, exit),
        record = const RECORD,
        exit = sym exit,
    )
}

/// Address of the code by which a guest calls a host function.
#[inline(never)]
pub(crate) fn host_stub() -> usize {
    host_stub_naked as *const () as usize
}

/// Addresses of the code by which a guest calls each builtin.
#[inline(never)]
pub(crate) fn builtin_stubs() -> [usize; Builtin::COUNT] {
    macro_rules! stubs {
        ($($n:literal)*) => { [$(builtin_stub_naked::<$n> as *const () as usize),*] };
    }
    stubs!(0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15)
}

/// The registers of a thread that a signal interrupted.
pub(crate) struct Registers<'a>(&'a mut libc::ucontext_t);

impl<'a> Registers<'a> {
    /// # Safety
    ///
    /// `context` is the third argument of a signal handler that is still running.
    pub(crate) unsafe fn new(context: *mut libc::c_void) -> Registers<'a> {
        // SAFETY: the system passes a `ucontext_t` that only this handler uses.
        Registers(unsafe { &mut *context.cast::<libc::ucontext_t>() })
    }

    fn get(&self, register: libc::c_int) -> usize {
        self.0.uc_mcontext.gregs[register as usize] as usize
    }

    pub(crate) fn pc(&self) -> usize {
        self.get(libc::REG_RIP)
    }

    pub(crate) fn sp(&self) -> usize {
        self.get(libc::REG_RSP)
    }

    pub(crate) fn fp(&self) -> usize {
        self.get(libc::REG_RBP)
    }

    /// Makes the thread leave guest code with `status` when the handler returns.
    #[inline(never)]
    pub(crate) fn leave(&mut self, store: *mut StoreCtx, status: u64) {
        let registers = &mut self.0.uc_mcontext.gregs;
        registers[libc::REG_RIP as usize] = exit as *const () as i64;
        registers[libc::REG_RBX as usize] = store as i64;
        registers[libc::REG_RAX as usize] = status as i64;
    }
}

/// Size of `push rbp; mov rbp, rsp`, with which every function begins.
const PROLOGUE: usize = 4;

/// Where a function's return address lies if `offset` bytes of it have run and it has not yet set
/// up its frame: then the frame pointer is still its caller's.
pub(crate) fn return_address_slot(offset: usize, sp: usize) -> Option<usize> {
    match offset {
        0 => Some(sp),
        1..PROLOGUE => Some(sp + 8),
        _ => None,
    }
}
