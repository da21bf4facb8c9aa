//! The table of instructions: what operands they have, in which order, and their names.
//!
//! Everything else is made from it: numbers, encoding, decoding, text, and the table of handlers. So a
//! name without a handler, or a handler that expects other operands, does not compile.
//!
//! The slot that an instruction writes comes first, a branch's target last. What an instruction writes,
//! it also leaves in a register. An instruction whose name ends in `acc` takes its operand `a` from there
//! and not from the slot, which has the same value; in `accb`, its operand `b`. Of a store it is the
//! value, of `select` and branches what they depend on. `field_add` and its kind change a field, `field_set_add`
//! and its kind write the result of an operation to one; likewise those of elements.

/// Gives the table to a macro.
macro_rules! instructions {
    ($with:ident) => { $with! {
        // Branches. A table's entries are the `br`s that follow it.
        { target: Branch } => br;
        { cond: S, target: Branch } => br_if br_unless br_if_acc br_unless_acc;
        { cond: Far, target: Branch } => br_if_far br_unless_far;
        { index: Far, count: U32 } => br_table br_table_acc;
        { index: Far, by: I32, count: U32 } => br_table_plus br_table_plus_acc;
        { a: S, b: S, target: Branch } =>
            br_i32_eq br_i32_ne br_i32_lt_s br_i32_lt_u br_i32_le_s br_i32_le_u br_i32_any br_i32_none
            br_i64_eq br_i64_ne br_i64_lt_s br_i64_lt_u br_i64_le_s br_i64_le_u
            br_f32_eq br_f32_ne br_f32_lt br_f32_le br_f32_nlt br_f32_nle
            br_f64_eq br_f64_ne br_f64_lt br_f64_le br_f64_nlt br_f64_nle
            br_i32_eq_acc br_i32_ne_acc br_i32_lt_s_acc br_i32_lt_u_acc br_i32_le_s_acc
            br_i32_le_u_acc br_i64_eq_acc br_i64_ne_acc br_i64_lt_s_acc br_i64_lt_u_acc
            br_i64_le_s_acc br_i64_le_u_acc br_i32_lt_s_accb br_i32_lt_u_accb br_i32_le_s_accb
            br_i32_le_u_accb br_i64_lt_s_accb br_i64_lt_u_accb br_i64_le_s_accb br_i64_le_u_accb;
        { a: S, b: I32, target: Branch } =>
            br_i32_eq_imm br_i32_ne_imm br_i32_lt_s_imm br_i32_lt_u_imm br_i32_gt_s_imm
            br_i32_gt_u_imm br_i32_le_s_imm br_i32_le_u_imm br_i32_ge_s_imm br_i32_ge_u_imm
            br_i32_any_imm br_i32_none_imm
            br_i32_eq_imm_acc br_i32_ne_imm_acc br_i32_lt_s_imm_acc br_i32_lt_u_imm_acc
            br_i32_gt_s_imm_acc br_i32_gt_u_imm_acc br_i32_le_s_imm_acc br_i32_le_u_imm_acc
            br_i32_ge_s_imm_acc br_i32_ge_u_imm_acc br_i32_any_imm_acc br_i32_none_imm_acc
            br_i64_eq_imm br_i64_ne_imm br_i64_lt_s_imm br_i64_lt_u_imm br_i64_gt_s_imm
            br_i64_gt_u_imm br_i64_le_s_imm br_i64_le_u_imm br_i64_ge_s_imm br_i64_ge_u_imm
            br_i64_eq_imm_acc br_i64_ne_imm_acc br_i64_lt_s_imm_acc br_i64_lt_u_imm_acc
            br_i64_gt_s_imm_acc br_i64_gt_u_imm_acc br_i64_le_s_imm_acc br_i64_le_u_imm_acc
            br_i64_ge_s_imm_acc br_i64_ge_u_imm_acc;

        // Branches back to a loop: what its header does is done on the way. The `inc`s add to a slot
        // first.
        { target: Branch } => br_back br_back_hot;
        { cond: S, target: Branch } => br_if_back br_unless_back br_if_back_hot br_unless_back_hot;
        { a: S, b: S, target: Branch } =>
            br_i32_eq_back br_i32_ne_back br_i32_lt_s_back br_i32_lt_u_back br_i32_le_s_back
            br_i32_le_u_back br_i64_eq_back br_i64_ne_back br_i64_lt_s_back br_i64_lt_u_back
            br_i64_le_s_back br_i64_le_u_back br_i32_eq_back_hot br_i32_ne_back_hot
            br_i32_lt_s_back_hot br_i32_lt_u_back_hot br_i32_le_s_back_hot br_i32_le_u_back_hot
            br_i64_eq_back_hot br_i64_ne_back_hot br_i64_lt_s_back_hot br_i64_lt_u_back_hot
            br_i64_le_s_back_hot br_i64_le_u_back_hot;
        { a: S, b: I32, target: Branch } =>
            br_i32_eq_imm_back br_i32_ne_imm_back br_i32_lt_s_imm_back br_i32_lt_u_imm_back
            br_i32_gt_s_imm_back br_i32_gt_u_imm_back br_i32_le_s_imm_back br_i32_le_u_imm_back
            br_i32_ge_s_imm_back br_i32_ge_u_imm_back br_i64_eq_imm_back br_i64_ne_imm_back
            br_i64_lt_s_imm_back br_i64_lt_u_imm_back br_i64_gt_s_imm_back br_i64_gt_u_imm_back
            br_i64_le_s_imm_back br_i64_le_u_imm_back br_i64_ge_s_imm_back br_i64_ge_u_imm_back
            br_i32_eq_imm_back_hot br_i32_ne_imm_back_hot br_i32_lt_s_imm_back_hot
            br_i32_lt_u_imm_back_hot br_i32_gt_s_imm_back_hot br_i32_gt_u_imm_back_hot
            br_i32_le_s_imm_back_hot br_i32_le_u_imm_back_hot br_i32_ge_s_imm_back_hot
            br_i32_ge_u_imm_back_hot br_i64_eq_imm_back_hot br_i64_ne_imm_back_hot
            br_i64_lt_s_imm_back_hot br_i64_lt_u_imm_back_hot br_i64_gt_s_imm_back_hot
            br_i64_gt_u_imm_back_hot br_i64_le_s_imm_back_hot br_i64_le_u_imm_back_hot
            br_i64_ge_s_imm_back_hot br_i64_ge_u_imm_back_hot;
        { a: S, by: I32, target: Branch } => inc_br_if_back inc_br_if_back_hot;
        { a: S, by: I32, b: S, target: Branch } =>
            inc_br_ne_back inc_br_lt_s_back inc_br_lt_u_back
            inc_br_ne_back_hot inc_br_lt_s_back_hot inc_br_lt_u_back_hot;
        { a: S, by: I32, b: I32, target: Branch } =>
            inc_br_ne_imm_back inc_br_lt_s_imm_back inc_br_lt_u_imm_back
            inc_br_ne_imm_back_hot inc_br_lt_s_imm_back_hot inc_br_lt_u_imm_back_hot;

        // Where functions and loops begin.
        { first: Far, count: U32 } => enter enter_hot;
        { header: U32 } => loop_header loop_header_hot;
        { fuel: U32 } => charge;
        { top: Far } => check_fuel;

        // Ends.
        { code: U16 } => trap;
        { to: Far } => return_none;
        { to: Far, value: S } => return_one;
        { to: Far, value: U64 } => return_const;
        { to: Far, from: Far, count: U32 } => return_many;

        // Calls: `end` is behind the arguments, `first` the first of them, `own` counts the slots of the
        // caller's own parameters.
        { target: U32, end: Far, defined: U32, args: U32 } => call;
        { import: U32, end: Far, index: U32, args: U32 } => call_import;
        { index: Far, table: U32, ty: U32, end: Far, args: U32 } => call_indirect;
        { index: Far, table: U32, ty: U32, end: Far, args: U32, site: U32 } => call_indirect_noted;
        { func: Far, end: Far, args: U32 } => call_ref;
        { func: Far, end: Far, args: U32, site: U32 } => call_ref_noted;
        { target: U32, defined: U32, own: U32, first: Far, args: U32 } => return_call;
        { import: U32, index: U32, own: U32, first: Far, args: U32 } => return_call_import;
        { index: Far, table: U32, ty: U32, own: U32, first: Far, args: U32 } => return_call_indirect;
        { func: Far, own: U32, first: Far, args: U32 } => return_call_ref;

        // Builtins of so many immediates and slots. `top` is the first slot that is free; a result is cut
        // to 32 bits where `narrow` says so.
        { which: U16, narrow: U16, top: Far, d: Far, i: U32 } => builtin_i;
        { tag: U32, top: Far, first: Far } => throw;
        { top: Far, exception: Far } => throw_ref;
        { which: U16, narrow: U16, top: Far, d: Far, i: U32, a: Far, b: Far } => builtin_irr;
        { which: U16, narrow: U16, top: Far, d: Far, i: U32, a: Far, b: Far, c: Far } => builtin_irrr;
        { which: U16, narrow: U16, top: Far, d: Far, i: U32, j: U32, a: Far, b: Far, c: Far } =>
            builtin_iirrr;
        { which: U16, narrow: U16, top: Far, d: Far, i: U32, a: Far } => builtin_ir;
        { which: U16, narrow: U16, top: Far, d: Far, i: U32, j: U32, a: Far, b: Far } => builtin_iirr;
        { which: U16, narrow: U16, top: Far, d: Far, a: Far } => builtin_r;
        { which: U16, narrow: U16, top: Far, d: Far, a: Far, b: Far, c: Far } => builtin_rrr;
        { which: U16, narrow: U16, top: Far, d: Far, a: Far, b: Far, i: U32, c: Far, e: Far } =>
            builtin_rrirr;
        { which: U16, narrow: U16, top: Far, d: Far, a: Far, b: Far, c: Far, e: Far, f: Far } =>
            builtin_rrrrr;
        { top: Far, to: Far, from: Far, len: Far } => memory_copy_near;
        { top: Far, d: Far, pages: Far, index: U32, memory: U32, shift: U16, narrow: U16 } => memory_grow;
        { top: Far, to: Far, byte: Far, len: Far } => memory_fill_near;

        // Moves.
        { d: D, a: S } => copy;
        { d: W, a: S, e: W, b: S } => copy_two;
        { d: DW, a: SW } => copy_wide;
        { d: Far, a: Far, count: U32 } => copy_many;
        { by: I32 } => window;
        { d: D, value: I32 } => const32 const32_s;
        { d: D, value: U64 } => const64;
        { d: DW, value: V128 } => const128;
        { d: D, a: S, b: S, cond: S } => select select_acc;
        { d: DW, a: SW, b: SW, cond: S } => select_wide;
        { d: D, at: U32 } => global_get32 global_get64 imported_get32 imported_get64;
        { d: D, a: S, by: I32, at: U32 } => global_set32_sum;
        { d: D, by: I32, at: U32 } => global_add32;
        { d: DW, at: U32 } => global_get128 imported_get128;
        { at: U32, value: S } =>
            global_set32 global_set64 global_set32_acc global_set64_acc imported_set32 imported_set64;
        { at: U32, value: SW } => global_set128 imported_set128;
        { d: D, index: S, table: U32 } => table_get;
        { index: S, value: S, table: U32 } => table_set;
        { d: D, table: U32, narrow: U16 } => table_size;

        // Objects. `tee` leaves what it has written in a slot, as a read of it would; `init` leaves the object there;
        // `add` and its kind write what they make of a field or an element to it, and leave that. `plus` adds a
        // number to an index.
        { top: Far, d: Far, ty: U32, size: U32 } => struct_new;
        { top: Far, d: Far, ty: U32, len: Far, log2: U16 } => array_new;
        { d: D, object: S, offset: U32 } =>
            field_get8_s field_get8_u field_get16_s field_get16_u field_get32 field_get64 field_get_func
            field_get8_s_acc field_get8_u_acc field_get16_s_acc field_get16_u_acc field_get32_acc
            field_get64_acc field_get_func_acc;
        { d: D32, object: S, offset: U32 } => field_get_f32 field_get_f32_acc;
        { d: D64, object: S, offset: U32 } => field_get_f64 field_get_f64_acc;
        { d: DW, object: S, offset: U32 } => field_get128;
        { object: S, value: S, offset: U32 } =>
            field_set8 field_set16 field_set32 field_set64 field_set_func
            field_set8_acc field_set16_acc field_set32_acc field_set64_acc field_set32_single
            field_set64_double;
        { object: S, value: I32, offset: U32 } =>
            field_set8_imm field_set16_imm field_set32_imm field_set64_imm;
        { object: S, value: SW, offset: U32 } => field_set128;
        { d: D, object: S, value: S, offset: U32 } =>
            field_tee8_s field_tee8_u field_tee16_s field_tee16_u field_tee32 field_tee64
            field_tee8_s_acc field_tee8_u_acc field_tee16_s_acc field_tee16_u_acc field_tee32_acc
            field_tee64_acc field_init8 field_init16 field_init32 field_init64;
        { d: D, object: S, value: I32, offset: U32 } =>
            field_init8_imm field_init16_imm field_init32_imm field_init64_imm;
        { d: D, object: S, by: S, offset: U32 } =>
            field_add32 field_sub32 field_and32 field_or32 field_xor32
            field_add64 field_sub64 field_and64 field_or64 field_xor64
            field_add32_acc field_sub32_acc field_and32_acc field_or32_acc field_xor32_acc
            field_add64_acc field_sub64_acc field_and64_acc field_or64_acc field_xor64_acc;
        { d: D, object: S, by: I32, offset: U32 } =>
            field_add32_imm field_and32_imm field_or32_imm field_xor32_imm
            field_add64_imm field_and64_imm field_or64_imm field_xor64_imm;
        { d: D, object: S, from: U32, offset: U32 } =>
            field_add32_field field_sub32_field field_and32_field field_or32_field field_xor32_field
            field_add64_field field_sub64_field field_and64_field field_or64_field field_xor64_field;
        { d: D, a: S, b: S, object: S, offset: U32 } =>
            field_set_add32 field_set_sub32 field_set_and32 field_set_or32 field_set_xor32 field_set_add64
            field_set_sub64 field_set_and64 field_set_or64 field_set_xor64 field_set_add32_acc
            field_set_sub32_acc field_set_and32_acc field_set_or32_acc field_set_xor32_acc
            field_set_add64_acc field_set_sub64_acc field_set_and64_acc field_set_or64_acc
            field_set_xor64_acc;
        { d: D, a: S, b: I32, object: S, offset: U32 } =>
            field_set_add32_imm field_set_and32_imm field_set_or32_imm field_set_xor32_imm
            field_set_add64_imm field_set_and64_imm field_set_or64_imm field_set_xor64_imm
            field_set_add32_imm_acc field_set_and32_imm_acc field_set_or32_imm_acc field_set_xor32_imm_acc
            field_set_add64_imm_acc field_set_and64_imm_acc field_set_or64_imm_acc field_set_xor64_imm_acc;
        { d: D, a: S, b: S, array: S, index: S } =>
            element_set_add32 element_set_sub32 element_set_and32 element_set_or32 element_set_xor32
            element_set_add64 element_set_sub64 element_set_and64 element_set_or64 element_set_xor64
            element_set_add32_acc element_set_sub32_acc element_set_and32_acc element_set_or32_acc
            element_set_xor32_acc element_set_add64_acc element_set_sub64_acc element_set_and64_acc
            element_set_or64_acc element_set_xor64_acc;
        { d: D, a: S, b: I32, array: S, index: S } =>
            element_set_add32_imm element_set_and32_imm element_set_or32_imm element_set_xor32_imm
            element_set_add64_imm element_set_and64_imm element_set_or64_imm element_set_xor64_imm
            element_set_add32_imm_acc element_set_and32_imm_acc element_set_or32_imm_acc
            element_set_xor32_imm_acc element_set_add64_imm_acc element_set_and64_imm_acc
            element_set_or64_imm_acc element_set_xor64_imm_acc;
        { d: D, array: S, index: S } =>
            element_get8_s element_get8_u element_get16_s element_get16_u element_get32 element_get64
            element_get_func
            element_get8_s_acc element_get8_u_acc element_get16_s_acc element_get16_u_acc
            element_get32_acc element_get64_acc element_get_func_acc
            element_get8_s_accb element_get8_u_accb element_get16_s_accb element_get16_u_accb
            element_get32_accb element_get64_accb element_get_func_accb;
        { d: D32, array: S, index: S } => element_get_f32 element_get_f32_acc element_get_f32_accb;
        { d: D64, array: S, index: S } => element_get_f64 element_get_f64_acc element_get_f64_accb;
        { d: DW, array: S, index: S } => element_get128;
        { d: D, array: S, index: S, by: I32 } =>
            element_get8_s_plus element_get8_u_plus element_get16_s_plus element_get16_u_plus
            element_get32_plus element_get64_plus element_get_func_plus;
        { d: D32, array: S, index: S, by: I32 } => element_get_f32_plus;
        { d: D64, array: S, index: S, by: I32 } => element_get_f64_plus;
        { array: S, index: S, value: S } =>
            element_set8 element_set16 element_set32 element_set64 element_set_func
            element_set8_acc element_set16_acc element_set32_acc element_set64_acc element_set32_single
            element_set64_double;
        { array: S, index: S, value: I32 } =>
            element_set8_imm element_set16_imm element_set32_imm element_set64_imm;
        { array: S, index: S, value: SW } => element_set128;
        { d: D, array: S, index: S, value: S } =>
            element_tee8_s element_tee8_u element_tee16_s element_tee16_u element_tee32 element_tee64
            element_tee8_s_acc element_tee8_u_acc element_tee16_s_acc element_tee16_u_acc
            element_tee32_acc element_tee64_acc;
        { d: D, array: S, index: S, by: S } =>
            element_add32 element_sub32 element_and32 element_or32 element_xor32
            element_add64 element_sub64 element_and64 element_or64 element_xor64
            element_add32_acc element_sub32_acc element_and32_acc element_or32_acc element_xor32_acc
            element_add64_acc element_sub64_acc element_and64_acc element_or64_acc element_xor64_acc;
        { d: D, array: S, index: S, by: I32 } =>
            element_add32_imm element_and32_imm element_or32_imm element_xor32_imm
            element_add64_imm element_and64_imm element_or64_imm element_xor64_imm;
        { d: D, a: S } => array_len ref_i31 i31_get_s i31_get_u;
        { array: S, index: S, len: S } => array_range;
        { a: Far, code: U16 } => trap_if_null;

        // Tests of references. `what` is one of the numbers in [`crate::cast`], `depth` how many supertypes the
        // type has. The last two kinds are for types that are final, and for others. `br_on` copies the reference
        // first.
        { d: D, a: S, what: U16 } => ref_test_kind;
        { a: S, what: U16 } => ref_cast_kind;
        { top: Far, d: Far, a: Far, ty: U32, what: U16 } => ref_test_asking;
        { top: Far, a: Far, ty: U32, what: U16 } => ref_cast_asking;
        { d: D, a: S, ty: U32, depth: U16, what: U16 } => ref_test_final ref_test_open;
        { a: S, ty: U32, depth: U16, what: U16 } => ref_cast_final ref_cast_open;
        { a: S, ty: U32, depth: U16, what: U16, target: Branch } =>
            br_if_final br_unless_final br_if_open br_unless_open;
        { d: W, a: S, ty: U32, depth: U16, what: U16, target: Branch } =>
            br_on_final br_on_not_final br_on_open br_on_not_open;

        // Memories. Addresses are a slot; the sum of two slots, of a slot and a number (`plus`), or of a
        // slot and another one that is shifted (`index`), with 32 bits. The offset is added with more.
        { d: D, memory: U32, shift: U16, narrow: U16 } => memory_size;
        { memory: U32 } => select_memory;
        { d: D, a: S, offset: U64 } => address64;
        { d: D, a: S, offset: U32, align: U16 } => atomic_address;
        { d: D, a: S, offset: U32 } =>
            load8_u load16_u load32 load64 load8_s32 load16_s32 load8_s64 load16_s64 load32_s64
            load8_u_acc load16_u_acc load32_acc load64_acc load8_s32_acc load16_s32_acc
            load8_s64_acc load16_s64_acc load32_s64_acc;
        { d: D32, a: S, offset: U32 } => load_f32 load_f32_acc;
        { d: D64, a: S, offset: U32 } => load_f64 load_f64_acc;
        { d: D32, a: S, b: S, offset: U32 } => load_f32_sum;
        { d: D64, a: S, b: S, offset: U32 } => load_f64_sum;
        { d: D, a: S, b: S, offset: U32 } =>
            load8_u_sum load16_u_sum load32_sum load64_sum load8_s32_sum load16_s32_sum load8_s64_sum
            load16_s64_sum load32_s64_sum;
        { a: S, value: S, offset: U32 } =>
            store8 store16 store32 store64
            store8_acc store16_acc store32_acc store64_acc store32_single store64_double;
        { a: S, value: I32, offset: U32 } => store8_imm store16_imm store32_imm store64_imm;
        { a: S, b: S, value: S, offset: U32 } => store8_sum store16_sum store32_sum store64_sum;
        { d: D, a: S, by: I32, offset: U32 } =>
            load8_u_plus load16_u_plus load32_plus load64_plus load8_s32_plus load16_s32_plus
            load8_s64_plus load16_s64_plus load32_s64_plus load8_u_plus_acc load16_u_plus_acc
            load32_plus_acc load64_plus_acc load8_s32_plus_acc load16_s32_plus_acc
            load8_s64_plus_acc load16_s64_plus_acc load32_s64_plus_acc;
        { d: D, a: S, b: S, shift: U16, offset: U32 } =>
            load8_u_index load16_u_index load32_index load64_index load8_s32_index load16_s32_index
            load8_s64_index load16_s64_index load32_s64_index load8_u_index_acc load16_u_index_acc
            load32_index_acc load64_index_acc load8_s32_index_acc load16_s32_index_acc
            load8_s64_index_acc load16_s64_index_acc load32_s64_index_acc load8_u_index_accb
            load16_u_index_accb load32_index_accb load64_index_accb load8_s32_index_accb
            load16_s32_index_accb load8_s64_index_accb load16_s64_index_accb load32_s64_index_accb;
        { d: D32, a: S, by: I32, offset: U32 } =>
            load_f32_plus load_f32_plus_acc;
        { d: D32, a: S, b: S, shift: U16, offset: U32 } =>
            load_f32_index load_f32_index_acc load_f32_index_accb;
        { d: D64, a: S, by: I32, offset: U32 } =>
            load_f64_plus load_f64_plus_acc;
        { d: D64, a: S, b: S, shift: U16, offset: U32 } =>
            load_f64_index load_f64_index_acc load_f64_index_accb;
        { a: S, by: I32, value: S, offset: U32 } => store8_plus store16_plus store32_plus store64_plus;
        { a: S, b: S, shift: U16, value: S, offset: U32 } =>
            store8_index store16_index store32_index store64_index;

        // Atomic accesses.
        {} => fence;
        { d: D, a: S, offset: U32 } => atomic_load8 atomic_load16 atomic_load32 atomic_load64;
        { a: S, value: S, offset: U32 } => atomic_store8 atomic_store16 atomic_store32 atomic_store64;
        { d: D, a: S, value: S, offset: U32 } =>
            rmw8_add rmw16_add rmw32_add rmw64_add rmw8_sub rmw16_sub rmw32_sub rmw64_sub
            rmw8_and rmw16_and rmw32_and rmw64_and rmw8_or rmw16_or rmw32_or rmw64_or
            rmw8_xor rmw16_xor rmw32_xor rmw64_xor rmw8_xchg rmw16_xchg rmw32_xchg rmw64_xchg;
        { d: D, a: S, expected: S, value: S, offset: U32 } =>
            rmw8_cmpxchg rmw16_cmpxchg rmw32_cmpxchg rmw64_cmpxchg;

        // Wide arithmetic. A number of 128 bits takes two operands, the low half first; the result goes to `d`
        // and the slot behind it.
        { d: Far, a: Far, b: Far, c: Far, e: Far } => i64_add128 i64_sub128;
        { d: Far, a: Far, b: Far } => i64_mul_wide_s i64_mul_wide_u;

        // Numbers. `add_mul` gives a + b * c, `sub_mul` a - b * c, `mul_sub` b * c - a, rounded twice. `add_shl`
        // and its kind shift their second operand; `bits` masks what it has shifted.
        { d: D, a: S, b: S } =>
            i32_add i32_sub i32_mul i32_div_s i32_div_u i32_rem_s i32_rem_u i32_and i32_or i32_xor
            i32_shl i32_shr_s i32_shr_u i32_rotl i32_rotr
            i64_add i64_sub i64_mul i64_div_s i64_div_u i64_rem_s i64_rem_u i64_and i64_or i64_xor
            i64_shl i64_shr_s i64_shr_u i64_rotl i64_rotr
            i32_eq i32_ne i32_lt_s i32_lt_u i32_le_s i32_le_u
            i32_any i32_none
            i64_eq i64_ne i64_lt_s i64_lt_u i64_le_s i64_le_u
            f32_eq f32_ne f32_lt f32_le f32_nlt f32_nle f64_eq f64_ne f64_lt f64_le f64_nlt f64_nle
            i32_add_acc i32_mul_acc i32_and_acc i32_or_acc i32_xor_acc i32_sub_acc i32_shl_acc
            i32_shr_s_acc i32_shr_u_acc i32_rotl_acc i32_rotr_acc i64_add_acc i64_mul_acc
            i64_and_acc i64_or_acc i64_xor_acc i64_sub_acc i64_shl_acc i64_shr_s_acc i64_shr_u_acc
            i64_rotl_acc i64_rotr_acc
            i32_div_s_acc i32_div_u_acc i32_rem_s_acc i32_rem_u_acc i64_div_s_acc i64_div_u_acc
            i64_rem_s_acc i64_rem_u_acc;
        { d: D32, a: S, b: S } =>
            f32_add f32_sub f32_mul f32_div f32_min f32_max f32_copysign
            f32_add_acc f32_sub_acc f32_mul_acc f32_div_acc f32_sub_accb f32_div_accb;
        { d: D64, a: S, b: S } =>
            f64_add f64_sub f64_mul f64_div f64_min f64_max f64_copysign
            f64_add_acc f64_sub_acc f64_mul_acc f64_div_acc f64_sub_accb f64_div_accb;
        { d: D, a: S, b: I32 } =>
            i32_add_imm i32_mul_imm i32_div_s_imm i32_div_u_imm i32_rem_s_imm i32_rem_u_imm
            i32_and_imm i32_or_imm i32_xor_imm i32_shl_imm i32_shr_s_imm i32_shr_u_imm i32_rotl_imm
            i64_add_imm i64_mul_imm i64_div_s_imm i64_div_u_imm i64_rem_s_imm i64_rem_u_imm
            i64_and_imm i64_or_imm i64_xor_imm i64_shl_imm i64_shr_s_imm i64_shr_u_imm i64_rotl_imm
            i32_eq_imm i32_ne_imm i32_lt_s_imm i32_lt_u_imm i32_gt_s_imm i32_gt_u_imm i32_le_s_imm
            i32_le_u_imm i32_ge_s_imm i32_ge_u_imm i32_any_imm i32_none_imm
            i64_eq_imm i64_ne_imm i64_lt_s_imm i64_lt_u_imm i64_gt_s_imm i64_gt_u_imm i64_le_s_imm
            i64_le_u_imm i64_ge_s_imm i64_ge_u_imm
            i32_add_imm_acc i32_mul_imm_acc i32_and_imm_acc i32_or_imm_acc i32_xor_imm_acc
            i32_shl_imm_acc i32_shr_s_imm_acc i32_shr_u_imm_acc i32_rotl_imm_acc i64_add_imm_acc
            i64_mul_imm_acc i64_and_imm_acc i64_or_imm_acc i64_xor_imm_acc i64_shl_imm_acc
            i64_shr_s_imm_acc i64_shr_u_imm_acc i64_rotl_imm_acc
            i32_div_s_imm_acc i32_div_u_imm_acc i32_rem_s_imm_acc i32_rem_u_imm_acc
            i64_div_s_imm_acc i64_div_u_imm_acc i64_rem_s_imm_acc i64_rem_u_imm_acc;
        { d: D64, a: S, b: U64 } =>
            f64_add_imm f64_sub_imm f64_mul_imm f64_div_imm
            f64_add_imm_acc f64_sub_imm_acc f64_mul_imm_acc f64_div_imm_acc;
        { d: D, a: S, b: S, shift: U16 } => i32_add_shl i64_add_shl
            i32_add_shl_acc i64_add_shl_acc i32_add_shl_accb i64_add_shl_accb
            i32_or_shl i32_xor_shl i32_xor_shr_u i32_xor_rotl i64_or_shl i64_xor_shl i64_xor_shr_u
            i64_xor_rotl i32_or_shl_acc i32_xor_shl_acc i32_xor_shr_u_acc i32_xor_rotl_acc
            i64_or_shl_acc i64_xor_shl_acc i64_xor_shr_u_acc i64_xor_rotl_acc i32_or_shl_accb
            i32_xor_shl_accb i32_xor_shr_u_accb i32_xor_rotl_accb i64_or_shl_accb i64_xor_shl_accb
            i64_xor_shr_u_accb i64_xor_rotl_accb;
        { d: D, a: S, shift: U16, b: I32 } => i32_bits i64_bits i32_bits_acc i64_bits_acc;
        { d: D, a: S, b: U64 } =>
            i64_add_const i64_mul_const i64_and_const i64_xor_const i64_add_const_acc
            i64_mul_const_acc i64_and_const_acc i64_xor_const_acc;
        { d: D, a: S } =>
            i32_clz i32_ctz i32_popcnt i64_clz i64_ctz i64_popcnt i32_wrap_i64 i64_extend_i32_s
            i32_extend8_s i32_extend16_s i64_extend8_s i64_extend16_s i64_extend32_s
            i32_trunc_f32_s i32_trunc_f32_u i32_trunc_f64_s i32_trunc_f64_u i64_trunc_f32_s
            i64_trunc_f32_u i64_trunc_f64_s i64_trunc_f64_u i32_trunc_sat_f32_s i32_trunc_sat_f32_u
            i32_trunc_sat_f64_s i32_trunc_sat_f64_u i64_trunc_sat_f32_s i64_trunc_sat_f32_u
            i64_trunc_sat_f64_s i64_trunc_sat_f64_u i32_wrap_i64_acc i64_extend_i32_s_acc
            i32_trunc_f32_s_acc i32_trunc_f32_u_acc i64_trunc_f32_s_acc i64_trunc_f32_u_acc
            i32_trunc_sat_f32_s_acc i32_trunc_sat_f32_u_acc i64_trunc_sat_f32_s_acc
            i64_trunc_sat_f32_u_acc i32_trunc_f64_s_acc i32_trunc_f64_u_acc i64_trunc_f64_s_acc
            i64_trunc_f64_u_acc i32_trunc_sat_f64_s_acc i32_trunc_sat_f64_u_acc
            i64_trunc_sat_f64_s_acc i64_trunc_sat_f64_u_acc;
        { d: D32, a: S, b: S, c: S } =>
            f32_add_mul f32_add_mul_acc f32_add_mul_accb f32_sub_mul f32_sub_mul_acc
            f32_sub_mul_accb f32_mul_sub f32_mul_sub_acc f32_mul_sub_accb;
        { d: D32, a: S } =>
            f32_abs f32_neg f32_ceil f32_floor f32_trunc f32_nearest f32_sqrt f32_demote_f64
            f32_convert_i32_s f32_convert_i32_u f32_convert_i64_s f32_convert_i64_u f32_canonical
            f32_sqrt_acc
            f32_convert_i32_s_acc f32_convert_i32_u_acc f32_convert_i64_s_acc f32_convert_i64_u_acc
            f32_abs_acc f32_neg_acc f32_demote_f64_acc;
        { d: D64, a: S, b: S, c: S } =>
            f64_add_mul f64_add_mul_acc f64_add_mul_accb f64_sub_mul f64_sub_mul_acc
            f64_sub_mul_accb f64_mul_sub f64_mul_sub_acc f64_mul_sub_accb;
        { d: D64, a: S } =>
            f64_abs f64_neg f64_ceil f64_floor f64_trunc f64_nearest f64_sqrt f64_promote_f32
            f64_convert_i32_s f64_convert_i32_u f64_convert_i64_s f64_convert_i64_u f64_canonical
            f64_sqrt_acc
            f64_convert_i32_s_acc f64_convert_i32_u_acc f64_convert_i64_s_acc f64_convert_i64_u_acc
            f64_abs_acc f64_neg_acc f64_promote_f32_acc;

        // Vectors.
        { d: DW, a: SW } =>
            v128_not i8x16_abs i8x16_neg i8x16_popcnt i16x8_abs i16x8_neg i32x4_abs i32x4_neg
            i64x2_abs i64x2_neg f32x4_abs f32x4_neg f64x2_abs f64x2_neg i16x8_extend_low_i8x16_s
            i16x8_extend_high_i8x16_s i16x8_extend_low_i8x16_u i16x8_extend_high_i8x16_u
            i32x4_extend_low_i16x8_s i32x4_extend_high_i16x8_s i32x4_extend_low_i16x8_u
            i32x4_extend_high_i16x8_u i64x2_extend_low_i32x4_s i64x2_extend_high_i32x4_s
            i64x2_extend_low_i32x4_u i64x2_extend_high_i32x4_u i16x8_extadd_pairwise_i8x16_s
            i16x8_extadd_pairwise_i8x16_u i32x4_extadd_pairwise_i16x8_s
            i32x4_extadd_pairwise_i16x8_u i32x4_trunc_sat_f32x4_s i32x4_trunc_sat_f32x4_u
            f32x4_convert_i32x4_s f32x4_convert_i32x4_u i32x4_trunc_sat_f64x2_s_zero
            i32x4_trunc_sat_f64x2_u_zero f64x2_convert_low_i32x4_s f64x2_convert_low_i32x4_u
            i32x4_relaxed_trunc_f32x4_s i32x4_relaxed_trunc_f32x4_u
            i32x4_relaxed_trunc_f64x2_s_zero i32x4_relaxed_trunc_f64x2_u_zero f32x4_ceil
            f32x4_floor f32x4_trunc f32x4_nearest f32x4_sqrt f64x2_ceil f64x2_floor f64x2_trunc
            f64x2_nearest f64x2_sqrt f32x4_demote_f64x2_zero f64x2_promote_low_f32x4
            f32x4_canonical f64x2_canonical;
        { d: DW, a: SW, b: SW } =>
            i8x16_swizzle i8x16_relaxed_swizzle v128_and v128_andnot v128_or v128_xor i8x16_eq
            i8x16_ne i8x16_lt_s i8x16_lt_u i8x16_gt_s i8x16_gt_u i8x16_le_s i8x16_le_u i8x16_ge_s
            i8x16_ge_u i16x8_eq i16x8_ne i16x8_lt_s i16x8_lt_u i16x8_gt_s i16x8_gt_u i16x8_le_s
            i16x8_le_u i16x8_ge_s i16x8_ge_u i32x4_eq i32x4_ne i32x4_lt_s i32x4_lt_u i32x4_gt_s
            i32x4_gt_u i32x4_le_s i32x4_le_u i32x4_ge_s i32x4_ge_u i64x2_eq i64x2_ne i64x2_lt_s
            i64x2_gt_s i64x2_le_s i64x2_ge_s f32x4_eq f32x4_ne f32x4_lt f32x4_gt f32x4_le f32x4_ge
            f64x2_eq f64x2_ne f64x2_lt f64x2_gt f64x2_le f64x2_ge i8x16_add i8x16_sub
            i8x16_add_sat_s i8x16_add_sat_u i8x16_sub_sat_s i8x16_sub_sat_u i8x16_min_s i8x16_min_u
            i8x16_max_s i8x16_max_u i8x16_avgr_u i16x8_add i16x8_sub i16x8_add_sat_s
            i16x8_add_sat_u i16x8_sub_sat_s i16x8_sub_sat_u i16x8_min_s i16x8_min_u i16x8_max_s
            i16x8_max_u i16x8_avgr_u i16x8_mul i16x8_q15mulr_sat_s i16x8_relaxed_q15mulr_s
            i32x4_add i32x4_sub i32x4_mul i32x4_min_s i32x4_min_u i32x4_max_s i32x4_max_u i64x2_add
            i64x2_sub i64x2_mul i8x16_narrow_i16x8_s i8x16_narrow_i16x8_u i16x8_narrow_i32x4_s
            i16x8_narrow_i32x4_u i16x8_extmul_low_i8x16_s i16x8_extmul_low_i8x16_u
            i16x8_extmul_high_i8x16_s i16x8_extmul_high_i8x16_u i32x4_extmul_low_i16x8_s
            i32x4_extmul_low_i16x8_u i32x4_extmul_high_i16x8_s i32x4_extmul_high_i16x8_u
            i64x2_extmul_low_i32x4_s i64x2_extmul_low_i32x4_u i64x2_extmul_high_i32x4_s
            i64x2_extmul_high_i32x4_u i32x4_dot_i16x8_s i16x8_relaxed_dot_i8x16_i7x16_s f32x4_pmin
            f32x4_pmax f64x2_pmin f64x2_pmax f32x4_add f32x4_sub f32x4_mul f32x4_div f32x4_min
            f32x4_max f32x4_relaxed_min f32x4_relaxed_max f64x2_add f64x2_sub f64x2_mul f64x2_div
            f64x2_min f64x2_max f64x2_relaxed_min f64x2_relaxed_max;
        { d: DW, a: SW, b: SW, c: SW } =>
            v128_bitselect i8x16_relaxed_laneselect i16x8_relaxed_laneselect
            i32x4_relaxed_laneselect i64x2_relaxed_laneselect i32x4_relaxed_dot_i8x16_i7x16_add_s
            f32x4_relaxed_madd f32x4_relaxed_nmadd f64x2_relaxed_madd f64x2_relaxed_nmadd
            f32x4_unfused_madd f32x4_unfused_nmadd f64x2_unfused_madd f64x2_unfused_nmadd;
        { d: DW, a: SW, b: SW, lanes: V128 } =>
            i8x16_shuffle;
        { d: DW, a: SW, b: S } =>
            i8x16_shl i8x16_shr_s i8x16_shr_u i16x8_shl i16x8_shr_s i16x8_shr_u i32x4_shl
            i32x4_shr_s i32x4_shr_u i64x2_shl i64x2_shr_s i64x2_shr_u;
        { d: D, a: SW } =>
            v128_any_true i8x16_all_true i16x8_all_true i32x4_all_true i64x2_all_true i8x16_bitmask
            i16x8_bitmask i32x4_bitmask i64x2_bitmask;
        { d: DW, a: S } =>
            i8x16_splat i16x8_splat i32x4_splat i64x2_splat f32x4_splat f64x2_splat;
        { d: D, a: SW, lane: U16 } =>
            i8x16_extract_lane_s i8x16_extract_lane_u i16x8_extract_lane_s i16x8_extract_lane_u
            i32x4_extract_lane i64x2_extract_lane f32x4_extract_lane f64x2_extract_lane;
        { d: DW, a: SW, b: S, lane: U16 } =>
            i8x16_replace_lane i16x8_replace_lane i32x4_replace_lane i64x2_replace_lane
            f32x4_replace_lane f64x2_replace_lane;
        { d: DW, a: S, offset: U32 } =>
            v128_load v128_load8x8_s v128_load8x8_u v128_load16x4_s v128_load16x4_u v128_load32x2_s
            v128_load32x2_u v128_load8_splat v128_load16_splat v128_load32_splat v128_load64_splat
            v128_load32_zero v128_load64_zero;
        { d: DW, a: S, b: S, offset: U32 } =>
            v128_load_sum;
        { d: DW, a: S, by: I32, offset: U32 } =>
            v128_load_plus v128_load_plus_acc;
        { d: DW, a: S, b: S, shift: U16, offset: U32 } =>
            v128_load_index v128_load_index_acc v128_load_index_accb;
        { a: S, value: SW, offset: U32 } =>
            v128_store;
        { a: S, b: S, value: SW, offset: U32 } =>
            v128_store_sum;
        { a: S, by: I32, value: SW, offset: U32 } =>
            v128_store_plus;
        { a: S, b: S, shift: U16, value: SW, offset: U32 } =>
            v128_store_index;
        { d: DW, a: S, b: SW, offset: U32, lane: U16 } =>
            v128_load8_lane v128_load16_lane v128_load32_lane v128_load64_lane;
        { a: S, b: SW, offset: U32, lane: U16 } =>
            v128_store8_lane v128_store16_lane v128_store32_lane v128_store64_lane;
    } };
}
pub(crate) use instructions;
