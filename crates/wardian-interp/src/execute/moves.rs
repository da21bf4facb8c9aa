//! Copies, constants, globals, elements of tables.

use super::state::handlers;
use crate::op;
use crate::operand::{I32, U16};
use wardian_types::TrapCode;
use wardian_vm::layout::VmTable;

handlers! {
    fn copy(s, i) {
        s.set(i.d, s.get::<u64>(i.a));
        s.go()
    }

    fn copy_two(s, i) {
        // One after the other: the second may read what the first wrote.
        *s.fp.offset(i.d.0.as_isize()) = s.get(i.a);
        *s.fp.offset(i.e.0.as_isize()) = s.get(i.b);
        s.go()
    }

    fn copy_wide(s, i) {
        s.set_wide(i.d, s.get_wide(i.a));
        s.go()
    }

    fn copy_many(s, op::copy_many { d, a, count }) {
        let (to, from) = (s.far(d), s.far(a));
        // Upwards: the target may be the lower part of the source.
        for slot in 0..count.0 as usize {
            to.add(slot).write_volatile(*from.add(slot));
        }
        s.go()
    }

    fn window(s, op::window { by: I32(by) }) {
        s.fp = s.fp.offset(by as isize);
        s.go()
    }

    fn const32(s, i) {
        s.set(i.d, i.value.0);
        s.go()
    }

    fn const32_s(s, i) {
        s.set(i.d, i64::from(i.value.0));
        s.go()
    }

    fn const64(s, i) {
        s.set(i.d, i.value.0);
        s.go()
    }

    fn const128(s, i) {
        s.set_wide(i.d, i.value.0);
        s.go()
    }

    fn select(s, i) {
        let (a, b) = (s.get::<u64>(i.a), s.get::<u64>(i.b));
        s.set(i.d, if s.get(i.cond) { a } else { b });
        s.go()
    }

    fn select_acc(s, i) {
        let (a, b) = (s.get::<u64>(i.a), s.get::<u64>(i.b));
        s.set(i.d, if s.acc as u32 != 0 { a } else { b });
        s.go()
    }

    fn select_wide(s, i) {
        // One of the slots, not of the values: so the value stays whole.
        s.set_wide(i.d, s.get_wide(if s.get(i.cond) { i.a } else { i.b }));
        s.go()
    }

    fn global_get32(s, i) {
        s.set(i.d, *s.instance::<u32>(i.at.in_instance()));
        s.go()
    }

    fn global_get64(s, i) {
        s.set(i.d, *s.instance::<u64>(i.at.in_instance()));
        s.go()
    }

    fn global_get128(s, i) {
        s.set_wide(i.d, s.instance::<u128>(i.at.in_instance()).read_unaligned());
        s.go()
    }

    fn imported_get32(s, i) {
        let global: *const u32 = *s.instance(i.at.in_instance());
        s.set(i.d, *global);
        s.go()
    }

    fn imported_get64(s, i) {
        let global: *const u64 = *s.instance(i.at.in_instance());
        s.set(i.d, *global);
        s.go()
    }

    fn imported_get128(s, i) {
        let global: *const u128 = *s.instance(i.at.in_instance());
        s.set_wide(i.d, global.read_unaligned());
        s.go()
    }

    fn global_set32(s, i) {
        *s.instance(i.at.in_instance()) = s.get::<u32>(i.value);
        s.go()
    }

    fn global_set32_acc(s, i) {
        *s.instance(i.at.in_instance()) = s.acc as u32;
        s.go()
    }

    fn global_set64_acc(s, i) {
        *s.instance(i.at.in_instance()) = s.acc;
        s.go()
    }

    fn global_set32_sum(s, i) {
        let sum = s.get::<u32>(i.a).wrapping_add(i.by.0 as u32);
        *s.instance(i.at.in_instance()) = sum;
        s.set(i.d, sum);
        s.go()
    }

    fn global_add32(s, i) {
        let global = s.instance::<u32>(i.at.in_instance());
        let sum = (*global).wrapping_add(i.by.0 as u32);
        *global = sum;
        s.set(i.d, sum);
        s.go()
    }

    fn global_set64(s, i) {
        *s.instance(i.at.in_instance()) = s.get::<u64>(i.value);
        s.go()
    }

    fn global_set128(s, i) {
        s.instance::<u128>(i.at.in_instance()).write_unaligned(s.get_wide(i.value));
        s.go()
    }

    fn imported_set32(s, i) {
        let global: *mut u32 = *s.instance(i.at.in_instance());
        *global = s.get(i.value);
        s.go()
    }

    fn imported_set64(s, i) {
        let global: *mut u64 = *s.instance(i.at.in_instance());
        *global = s.get(i.value);
        s.go()
    }

    fn imported_set128(s, i) {
        let global: *mut u128 = *s.instance(i.at.in_instance());
        global.write_unaligned(s.get_wide(i.value));
        s.go()
    }

    fn table_get(s, i) {
        let table: *const VmTable = *s.instance(i.table.in_instance());
        let index: u64 = s.get(i.index);
        if index >= (*table).len {
            return s.trap(TrapCode::TableOutOfBounds);
        }
        s.set(i.d, *(*table).base.add(index as usize));
        s.go()
    }

    fn table_set(s, i) {
        let table: *const VmTable = *s.instance(i.table.in_instance());
        let index: u64 = s.get(i.index);
        if index >= (*table).len {
            return s.trap(TrapCode::TableOutOfBounds);
        }
        *(*table).base.add(index as usize) = s.get(i.value);
        s.go()
    }

    fn table_size(s, op::table_size { d, table, narrow: U16(narrow) }) {
        let table: *const VmTable = *s.instance(table.in_instance());
        let len = (*table).len;
        s.set(d, if narrow != 0 { u64::from(len as u32) } else { len });
        s.go()
    }
}
