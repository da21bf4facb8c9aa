//! Instruction caches of 64-bit ARM, which are not coherent with what is written.

use crate::addr::CodeAddr;

/// Makes new code visible to this and all other cores: what the instruction caches hold of its addresses is
/// dropped, and every thread of the process that runs forgets what it has fetched already.
pub(crate) fn publish_instructions(start: CodeAddr, len: usize) {
    let types: usize;
    // SAFETY: reads a register that user code may read.
    unsafe {
        std::arch::asm!("mrs {0}, ctr_el0", out(reg) types, options(nomem, nostack, preserves_flags));
    }
    // The logarithms of the smallest lines, in words of four bytes.
    let data_line = 4 << (types >> 16 & 15);
    let instruction_line = 4 << (types & 15);
    let lines =
        |line: usize| (start.as_usize() & !(line - 1)..start.add(len).as_usize()).step_by(line);
    // SAFETY: cache maintenance on mapped memory changes no data; both loops reach every line of the range.
    unsafe {
        for at in lines(data_line) {
            std::arch::asm!("dc cvau, {0}", in(reg) at, options(nostack, preserves_flags));
        }
        std::arch::asm!("dsb ish", options(nostack, preserves_flags));
        for at in lines(instruction_line) {
            std::arch::asm!("ic ivau, {0}", in(reg) at, options(nostack, preserves_flags));
        }
        std::arch::asm!("dsb ish", "isb", options(nostack, preserves_flags));
    }
    crate::system::synchronize_cores();
}
