//! Calls on a goroutine's stack.
//!
//! ```text
//!   the stack of WebAssembly           the goroutine's, in memory
//!                                      main.main       ┐
//!   wasm_pc_f_loop                     main.worker     ┘ suspended since, and not entered again
//!   sha256.Sum256        <──────────>  sha256.Sum256     called by wasm_pc_f_loop
//!   sha256.block         <──────────>  sha256.block      where it is
//! ```
//!
//! Go compiled to WebAssembly can leave all calls of a goroutine, and enter the innermost one again. Those outside of it
//! are entered when it returns. So a backtrace has the calls since the goroutine ran last; all of them are on the
//! goroutine's stack: behind each frame, whose size the table of functions knows, there is the address where it
//! returns to.

use super::calls::CallPoint;
use super::{Go, GoPc, points};
use crate::ModuleInfo;
use wardian_types::{CodeOffset, FuncIndex, GuestAddr};

/// Calls of a stack that are followed.
const DEEPEST: usize = 4096;
/// So many addresses, each where the frame before it ends, are there by no chance.
const LIKELY: usize = 3;
/// Bytes of an address on the stack.
const ADDRESS: u64 = 8;

/// A call on a goroutine's stack, which is where it called from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GoCall {
    /// The function's index.
    pub func: FuncIndex,
    /// The offset of the call in the code section, if the function has it.
    pub offset: Option<CodeOffset>,
}

/// What a walk found.
#[derive(Debug, Default)]
struct Walk {
    /// Functions, and where they are returned to.
    calls: Vec<(FuncIndex, GoPc)>,
    /// It came to the outermost call of the goroutine.
    is_whole: bool,
}

impl Go {
    /// As [`crate::Module::go_callers`].
    pub(crate) fn callers_of(
        &self,
        bytes: &[u8],
        info: &ModuleInfo,
        frames: &[FuncIndex],
        sp: GuestAddr,
        word: &dyn Fn(GuestAddr) -> Option<u64>,
    ) -> (usize, Vec<GoCall>) {
        // What the goroutine's functions call may be none of these: the host, or code without a stack of Go's.
        let start = frames.iter().position(|func| self.is_go(info, *func));
        let Some(start) = start else { return (0, Vec::new()) };
        let length = frames[start..].iter().take_while(|func| self.is_go(info, **func)).count();
        let tail = &frames[start..start + length];
        (start + length, self.callers(bytes, info, tail, sp, word))
    }

    /// The calls outside of a tail of functions, of which the last is the one that was entered again.
    ///
    /// The innermost function may be about to make its frame, or to call, so that the address to which it returns is
    /// looked for in each of these places. Where the functions on the stack are not those of the backtrace, as on the
    /// runtime's own stack, there are none.
    fn callers(
        &self,
        bytes: &[u8],
        info: &ModuleInfo,
        tail: &[FuncIndex],
        sp: GuestAddr,
        word: &dyn Fn(GuestAddr) -> Option<u64>,
    ) -> Vec<GoCall> {
        let Some(first) = tail.first() else { return Vec::new() };
        let size = self.frame_size(bytes, *first, GoPc::from_u32(u16::MAX.into())).unwrap_or(0);
        let places = [size, 0, size + ADDRESS, ADDRESS];
        let mut best = Walk::default();
        for place in places {
            let walk = sp.checked_add(place).map(|at| self.walk(bytes, tail, at, word));
            let Some(walk) = walk.flatten() else { continue };
            if walk.is_whole {
                best = walk;
                break;
            }
            // Of a lone function only the calls themselves say that it is the right place.
            let is_likely = tail.len() > 1 || walk.calls.len() >= LIKELY;
            if is_likely && walk.calls.len() > best.calls.len() {
                best = walk;
            }
        }
        let call = |(func, pc)| GoCall { func, offset: self.offset(bytes, info, func, pc) };
        best.calls.into_iter().map(call).collect()
    }

    /// Whether a function is one whose calls are on the goroutine's stack: as its type says, it gets where to begin, and
    /// says whether it was left.
    fn is_go(&self, info: &ModuleInfo, func: FuncIndex) -> bool {
        use wardian_types::ValType::I32;
        let ty = info.functions.get(func).and_then(|ty| info.signature(*ty));
        self.table.entry(func).is_some()
            && ty.is_some_and(|ty| ty.params() == [I32] && ty.results() == [I32])
    }

    /// Follows the stack from the place of an address to which the innermost function returns. None if it does not
    /// return to those of the backtrace.
    fn walk(
        &self,
        bytes: &[u8],
        tail: &[FuncIndex],
        mut at: GuestAddr,
        word: &dyn Fn(GuestAddr) -> Option<u64>,
    ) -> Option<Walk> {
        let mut walk = Walk::default();
        let mut expected = tail.iter().skip(1);
        let step = |at: &mut GuestAddr| {
            let address = word(*at)?;
            let (func, pc) = self.table.function_at(address)?;
            *at = at.checked_add(ADDRESS)?.checked_add(self.frame_size(bytes, func, pc)?)?;
            Some((func, pc))
        };
        for func in expected.by_ref() {
            step(&mut at).filter(|call| call.0 == *func)?;
        }
        let is_outermost = |func: FuncIndex| {
            self.table.entry(func).is_some_and(|entry| self.table.is_outermost(bytes, entry))
        };
        walk.is_whole = tail.last().is_some_and(|func| is_outermost(*func));
        while walk.calls.len() < DEEPEST && !walk.is_whole {
            let Some(call) = step(&mut at) else { break };
            walk.calls.push(call);
            walk.is_whole = is_outermost(call.0);
        }
        Some(walk)
    }

    /// Bytes from the stack pointer to the address that a function returns to.
    fn frame_size(&self, bytes: &[u8], func: FuncIndex, pc: GoPc) -> Option<u64> {
        let size = self.table.frame_size(bytes, self.table.entry(func)?, pc)?;
        u64::try_from(size).ok()
    }

    /// The offset of a call, of which it is known where it returns to.
    fn offset(
        &self,
        bytes: &[u8],
        info: &ModuleInfo,
        func: FuncIndex,
        returns_to: GoPc,
    ) -> Option<CodeOffset> {
        let entry = self.table.entry(func)?;
        let pc = GoPc::from_u32(returns_to.as_u32().checked_sub(1)?);
        let mut state = self.state.lock().unwrap_or_else(|e| e.into_inner());
        let points = state.calls(func, || points(bytes, info, func, entry));
        let found = points.iter().find(|point: &&CallPoint| point.pc == pc);
        found.map(|point| point.offset)
    }
}
