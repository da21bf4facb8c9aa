//! Objects: several operators as one instruction, and what must not become one.

use crate::ask::positions;
use crate::world::{End, World};
use wardian_interp::{Options, disassemble};
use wardian_types::{DefinedFuncIndex, TrapCode};

/// `$p` and `$q` are new structs, `$n` is null; two fields of `$p` are `$a`; `$x` is a new array of eight elements, and
/// so on.
fn module(body: &str) -> String {
    format!(
        r#"(module
        (type $s (struct (field $b (mut i8)) (field $h (mut i16)) (field $w (mut i32)) (field $l (mut i64))
            (field $f (mut f32)) (field $d (mut f64)) (field $r (mut (ref null $s))) (field $k (mut i64))))
        (type $t (struct (field $v i32)))
        (type $bytes (array (mut i8))) (type $halves (array (mut i16))) (type $words (array (mut i32)))
        (type $longs (array (mut i64))) (type $doubles (array (mut f64))) (type $refs (array (mut (ref null $s))))
        (func (export "f") (param $a i32) (param $b i32) (result i32)
            (local $p (ref null $s)) (local $q (ref null $s)) (local $n (ref null $s)) (local $any anyref)
            (local $bs (ref null $bytes)) (local $hs (ref null $halves)) (local $x (ref null $words))
            (local $ls (ref null $longs)) (local $ds (ref null $doubles)) (local $rs (ref null $refs))
            (local $i i32) (local $c i64)
            (local.set $p (struct.new_default $s)) (local.set $q (struct.new_default $s))
            (local.set $bs (array.new_default $bytes (i32.const 8)))
            (local.set $hs (array.new_default $halves (i32.const 8)))
            (local.set $x (array.new_default $words (i32.const 8)))
            (local.set $ls (array.new_default $longs (i32.const 8)))
            (local.set $ds (array.new_default $doubles (i32.const 8)))
            (local.set $rs (array.new_default $refs (i32.const 8)))
            (struct.set $s $w (local.get $p) (local.get $a))
            (struct.set $s $l (local.get $p) (i64.extend_i32_u (local.get $a)))
            (local.set $c (i64.const 1))
            {body}))"#
    )
}

/// A body, an instruction that it has (or, after `!`, has not), and results for some arguments.
type Case = (&'static str, &'static str, &'static [([u64; 2], u64)]);

const PLUS: &str =
    "(struct.set $s $w (local.get $p) (i32.add (struct.get $s $w (local.get $p)) (local.get $b)))
    (struct.get $s $w (local.get $p))";
const BYTES_S: &str = "(struct.set $s $b (local.get $p) (local.get $a))
    (struct.get_s $s $b (local.get $p))";
const BYTES_U: &str = "(struct.set $s $b (local.get $p) (i32.add (local.get $a) (local.get $b)))
    (struct.get_u $s $b (local.get $p))";
const HALVES_S: &str = "(struct.set $s $h (local.get $p) (i32.add (local.get $a) (local.get $b)))
    (struct.get_s $s $h (local.get $p))";
const HALVES_U: &str = "(struct.set $s $h (local.get $p) (local.get $a))
    (struct.get_u $s $h (local.get $p))";

const FIELDS: &[Case] = &[
    (PLUS, "field_add32 ", &[([3, 4], 7), ([0xffff_ffff, 2], 1)]),
    (BYTES_S, "field_tee8_s ", &[([0x80, 0], 0xffff_ff80), ([0x17f, 0], 0x7f)]),
    (BYTES_U, "field_tee8_u_acc ", &[([0x7f, 1], 0x80), ([0xff, 1], 0)]),
    (HALVES_S, "field_tee16_s_acc ", &[([0x7fff, 1], 0xffff_8000)]),
    (HALVES_U, "field_tee16_u ", &[([0x1_8000, 0], 0x8000)]),
    (
        "(struct.set $s $w (local.get $p) (i32.sub (local.get $b) (struct.get $s $w (local.get $p))))
        (struct.get $s $w (local.get $p))",
        "!field_sub32",
        &[([3, 10], 7)],
    ),
    (
        "(struct.set $s $w (local.get $p) (i32.sub (struct.get $s $w (local.get $p)) (local.get $b)))
        (struct.get $s $w (local.get $p))",
        "field_sub32 ",
        &[([3, 10], 0xffff_fff9)],
    ),
    (
        "(struct.set $s $w (local.get $p) (i32.sub (struct.get $s $w (local.get $p)) (i32.const 5)))
        (local.set $c (i64.const 2))
        (struct.set $s $w (local.get $p) (i32.xor (i32.const 9) (struct.get $s $w (local.get $p))))
        (struct.get $s $w (local.get $p))",
        "field_xor32_imm ",
        &[([6, 0], 8)],
    ),
    (
        "(struct.set $s $k (local.get $p) (i64.const 40))
        (struct.set $s $l (local.get $p)
            (i64.add (struct.get $s $l (local.get $p)) (struct.get $s $k (local.get $p))))
        (i32.wrap_i64 (struct.get $s $l (local.get $p)))",
        "field_add64_field ",
        &[([2, 0], 42)],
    ),
    (
        "(struct.set $s $w (local.get $p)
            (i32.sub (struct.get $s $w (local.get $p)) (i32.mul (local.get $a) (local.get $b))))
        (struct.get $s $w (local.get $p))",
        "field_sub32_acc ",
        &[([2, 3], 0xffff_fffc)],
    ),
    // The value is used elsewhere as well.
    (
        "(struct.set $s $w (local.get $p) (local.get $a))
        (struct.set $s $w (local.get $p)
            (i32.add (local.tee $i (struct.get $s $w (local.get $p))) (local.get $b)))
        (i32.add (i32.mul (local.get $i) (i32.const 100)) (struct.get $s $w (local.get $p)))",
        "!field_add32",
        &[([3, 4], 307)],
    ),
    (
        "(struct.set $s $w (local.get $p) (local.get $a))
        (struct.set $s $w (local.get $p)
            (local.tee $i (i32.add (struct.get $s $w (local.get $p)) (local.get $b))))
        (i32.add (i32.mul (local.get $i) (i32.const 100)) (struct.get $s $w (local.get $p)))",
        "!field_add32",
        &[([3, 4], 707)],
    ),
    (
        "(struct.set $s $w (local.get $p)
            (i32.add (struct.get $s $w (local.get $p)) (struct.get $s $w (local.get $p))))
        (struct.get $s $w (local.get $p))",
        "field_add32",
        &[([3, 4], 6)],
    ),
    // What is read is another field, or of an object that may be the same.
    (
        "(struct.set $s $w (local.get $q) (i32.const 50))
        (struct.set $s $w (local.get $p) (i32.add (struct.get $s $w (local.get $q)) (local.get $b)))
        (struct.get $s $w (local.get $p))",
        "!field_add32",
        &[([3, 4], 54)],
    ),
    (
        "(local.set $q (local.get $p)) (struct.set $s $w (local.get $p) (local.get $a))
        (struct.get $s $w (local.get $q))",
        "!field_tee",
        &[([3, 4], 3)],
    ),
    (
        "(struct.set $s $w (local.get $q) (local.get $b)) (struct.set $s $w (local.get $p) (local.get $a))
        (local.set $p (local.get $q)) (struct.get $s $w (local.get $p))",
        "!field_tee",
        &[([3, 4], 4)],
    ),
    // Control comes there from elsewhere too.
    (
        "(struct.set $s $w (local.get $p) (local.get $a))
        (loop $l (result i32)
            (struct.get $s $w (local.get $p))
            (struct.set $s $w (local.get $p) (i32.const 77))
            (br_if $l (i32.eq (i32.const 1) (local.tee $i (i32.add (local.get $i) (i32.const 1))))))",
        "!field_tee",
        &[([3, 4], 77)],
    ),
    (
        "(block (br_if 0 (local.get $b)) (struct.set $s $w (local.get $q) (local.get $a)))
        (struct.get $s $w (local.get $q))",
        "!field_tee",
        &[([3, 4], 0), ([3, 0], 3)],
    ),
    // Twice what was left.
    (
        "(struct.set $s $w (local.get $p) (i32.add (struct.get $s $w (local.get $p)) (local.get $b)))
        (i32.mul (struct.get $s $w (local.get $p)) (struct.get $s $w (local.get $p)))",
        "field_add32 ",
        &[([1, 4], 25)],
    ),
    (
        "(struct.set $s $w (local.get $p) (i32.add (struct.get $s $w (local.get $p)) (local.get $b)))
        (struct.set $s $w (local.get $q) (i32.add (local.get $a) (struct.get $s $w (local.get $p))))
        (struct.get $s $w (local.get $q))",
        "field_add32 ",
        &[([1, 4], 6)],
    ),
    (
        "(struct.set $s $d (local.get $p) (f64.convert_i32_s (local.get $a)))
        (struct.set $s $d (local.get $p)
            (f64.add (struct.get $s $d (local.get $p)) (f64.convert_i32_s (local.get $b))))
        (i32.trunc_f64_s (struct.get $s $d (local.get $p)))",
        "field_set64_double ",
        &[([1, 4], 5)],
    ),
    (
        "(struct.set $s $f (local.get $p) (f32.convert_i32_s (local.get $a)))
        (i32.trunc_f32_s (f32.neg (struct.get $s $f (local.get $p))))",
        "field_get_f32 ",
        &[([1, 4], 0xffff_ffff)],
    ),
    (
        "(struct.set $s $r (local.get $p) (local.get $q)) (struct.set $s $w (local.get $q) (local.get $a))
        (struct.get $s $w (struct.get $s $r (local.get $p)))",
        "field_get32_acc ",
        &[([8, 0], 8)],
    ),
    (
        "(local.set $p (struct.new $s (local.get $a) (i32.const -2) (local.get $b) (i64.const 5) (f32.const 1)
            (f64.const 2) (local.get $q) (i64.const 0)))
        (i32.add (struct.get_s $s $h (local.get $p)) (i32.add (struct.get $s $w (local.get $p))
            (ref.eq (local.get $q) (struct.get $s $r (local.get $p)))))",
        "field_init32 ",
        &[([8, 100], 99)],
    ),
    // What is written was computed just before.
    (
        "(struct.set $s $w (local.get $p) (i32.sub (local.get $a) (local.get $b)))
        (struct.get $s $w (local.get $p))",
        "field_set_sub32 ",
        &[([3, 4], 0xffff_ffff)],
    ),
    (
        "(struct.set $s $w (local.get $p) (i32.or (local.get $a) (i32.mul (local.get $b) (i32.const 3))))
        (i32.add (struct.get $s $w (local.get $p)) (struct.get $s $w (local.get $p)))",
        "field_set_or32_acc ",
        &[([8, 1], 22)],
    ),
    (
        "(struct.set $s $l (local.get $q) (i64.xor (i64.extend_i32_s (local.get $a)) (i64.const -2)))
        (i32.wrap_i64 (struct.get $s $l (local.get $q)))",
        "field_set_xor64_imm_acc ",
        &[([7, 0], 0xffff_fff9)],
    ),
    (
        "(struct.set $s $r (local.get $p) (local.get $q))
        (struct.set $s $w (struct.get $s $r (local.get $p)) (i32.and (local.get $a) (i32.const 6)))
        (struct.get $s $w (local.get $q))",
        "field_set_and32_imm ",
        &[([13, 0], 4)],
    ),
    (
        "(struct.set $s $r (local.get $p) (local.get $q))
        (struct.set $s $w (struct.get $s $r (local.get $p)) (i32.add (local.get $a) (local.get $b)))
        (struct.set $s $r (local.get $q) (struct.get $s $r (local.get $p)))
        (struct.get $s $w (struct.get $s $r (local.get $q)))",
        "field_set_add32 ",
        &[([3, 4], 7)],
    ),
    // A narrow field takes a part of it; the value is used again.
    (
        "(struct.set $s $b (local.get $p) (i32.add (local.get $a) (local.get $b)))
        (struct.get_u $s $b (local.get $p))",
        "!field_set_add",
        &[([0xff, 2], 1)],
    ),
    (
        "(struct.set $s $w (local.get $p) (local.tee $i (i32.add (local.get $a) (local.get $b))))
        (i32.mul (local.get $i) (struct.get $s $w (local.get $p)))",
        "!field_set_add",
        &[([1, 2], 9)],
    ),
    // Two fields of one object.
    (
        "(struct.set $s $k (local.get $p) (i64.const 40)) (local.set $c (i64.const 9))
        (struct.set $s $l (local.get $p)
            (i64.add (struct.get $s $l (local.get $p)) (struct.get $s $k (local.get $p))))
        (i32.wrap_i64 (struct.get $s $l (local.get $p)))",
        "field_add64_field ",
        &[([2, 0], 42)],
    ),
    (
        "(struct.set $s $k (local.get $p) (i64.const 40)) (local.set $c (i64.const 9))
        (struct.set $s $l (local.get $p)
            (i64.add (struct.get $s $k (local.get $p)) (struct.get $s $l (local.get $p))))
        (i32.wrap_i64 (i64.mul (struct.get $s $l (local.get $p)) (struct.get $s $k (local.get $p))))",
        "field_add64_field ",
        &[([2, 0], 1680)],
    ),
    (
        "(struct.set $s $k (local.get $p) (i64.const 40)) (local.set $c (i64.const 9))
        (struct.set $s $l (local.get $p)
            (i64.sub (struct.get $s $k (local.get $p)) (struct.get $s $l (local.get $p))))
        (i32.wrap_i64 (struct.get $s $l (local.get $p)))",
        "!field_sub64_field",
        &[([2, 0], 38)],
    ),
    (
        "(struct.set $s $k (local.get $q) (i64.const 40)) (local.set $c (i64.const 9))
        (struct.set $s $l (local.get $p)
            (i64.sub (struct.get $s $l (local.get $p)) (struct.get $s $k (local.get $q))))
        (i32.wrap_i64 (struct.get $s $l (local.get $p)))",
        "!field_sub64_field",
        &[([2, 0], 0xffff_ffda)],
    ),
];

const ELEMENTS: &[Case] = &[
    (
        "(array.set $words (local.get $x) (local.get $b) (local.get $a)) (local.set $c (i64.const 2))
        (array.set $words (local.get $x) (local.get $b)
            (i32.or (array.get $words (local.get $x) (local.get $b)) (i32.const 64)))
        (array.get $words (local.get $x) (local.get $b))",
        "element_or32_imm ",
        &[([3, 4], 67), ([3, 7], 67)],
    ),
    (
        "(array.set $longs (local.get $ls) (local.get $b)
            (i64.sub (array.get $longs (local.get $ls) (local.get $b)) (i64.extend_i32_u (local.get $a))))
        (i32.wrap_i64 (array.get $longs (local.get $ls) (local.get $b)))",
        "element_sub64",
        &[([3, 4], 0xffff_fffd)],
    ),
    (
        "(array.set $bytes (local.get $bs) (local.get $b) (local.get $a))
        (array.get_s $bytes (local.get $bs) (local.get $b))",
        "element_tee8_s ",
        &[([0x80, 4], 0xffff_ff80)],
    ),
    (
        "(array.set $halves (local.get $hs) (local.get $b) (i32.mul (local.get $a) (i32.const 3)))
        (array.get_u $halves (local.get $hs) (local.get $b))",
        "element_tee16_u_acc ",
        &[([0x8000, 4], 0x8000)],
    ),
    (
        "(array.set $words (local.get $x) (local.get $b) (local.get $a))
        (array.get $words (local.get $x) (i32.sub (local.get $i) (i32.const -2)))",
        "element_get32_plus ",
        &[([5, 2], 5), ([5, 3], 0)],
    ),
    (
        "(array.set $doubles (local.get $ds) (local.get $b) (f64.convert_i32_u (local.get $a)))
        (i32.trunc_f64_u (array.get $doubles (local.get $ds) (i32.and (local.get $b) (i32.const 7))))",
        "element_get_f64_accb ",
        &[([5, 2], 5)],
    ),
    (
        "(array.set $words (local.get $x) (local.get $b) (i32.const -9))
        (array.get $words (local.get $x) (i32.xor (local.get $b) (i32.const 0)))",
        "element_set32_imm ",
        &[([5, 2], 0xffff_fff7)],
    ),
    (
        "(array.set $refs (local.get $rs) (local.get $b) (local.get $p))
        (struct.set $s $w (local.get $p) (local.get $a))
        (struct.get $s $w (array.get $refs (local.get $rs) (local.get $b)))",
        "field_get32_acc ",
        &[([5, 2], 5)],
    ),
    (
        "(local.set $x (array.new_fixed $words 3 (local.get $a) (i32.const 0) (local.get $b)))
        (i32.add (array.len (local.get $x)) (i32.add (array.get $words (local.get $x) (i32.const 0))
            (array.get $words (local.get $x) (i32.const 2))))",
        "array_new ",
        &[([5, 2], 10)],
    ),
    // What is written was computed just before.
    (
        "(array.set $words (local.get $x) (local.get $b) (i32.add (local.get $a) (i32.const -1)))
        (i32.mul (array.get $words (local.get $x) (local.get $b)) (array.get $words (local.get $x) (local.get $b)))",
        "element_set_add32_imm ",
        &[([5, 2], 16)],
    ),
    (
        "(array.set $longs (local.get $ls) (local.get $b)
            (i64.sub (i64.extend_i32_s (local.get $a)) (local.get $c)))
        (i32.wrap_i64 (array.get $longs (local.get $ls) (local.get $b)))",
        "element_set_sub64_acc ",
        &[([5, 2], 4)],
    ),
    (
        "(array.set $words (local.get $x) (local.get $b)
            (i32.xor (local.get $b) (array.get $words (local.get $x) (local.get $a))))
        (array.get $words (local.get $x) (local.get $b))",
        "element_set_xor32_acc ",
        &[([5, 2], 2)],
    ),
    (
        "(array.set $bytes (local.get $bs) (local.get $b) (i32.add (local.get $a) (local.get $b)))
        (array.get_u $bytes (local.get $bs) (local.get $b))",
        "!element_set_add",
        &[([0xff, 2], 1)],
    ),
    // The index changes in between.
    (
        "(array.set $words (local.get $x) (local.get $i) (local.get $a))
        (local.set $i (i32.const 1)) (array.get $words (local.get $x) (local.get $i))",
        "!element_tee",
        &[([5, 2], 0)],
    ),
];

const TESTS: &[Case] = &[
    (
        "(if (local.get $a) (then (local.set $any (local.get $p))) (else (local.set $any (ref.i31 (local.get $b)))))
        (if (result i32) (ref.test (ref $s) (local.get $any)) (then (i32.const 1)) (else (i32.const 2)))",
        "br_unless_final ",
        &[([1, 0], 1), ([0, 0], 2), ([0, 3], 2)],
    ),
    (
        "(if (local.get $a) (then (local.set $any (local.get $p))))
        (block $no (br_if $no (i32.eqz (ref.test (ref null $s) (local.get $any)))) (return (i32.const 1)))
        (i32.const 2)",
        "ref_test_final ",
        &[([1, 0], 1), ([0, 0], 1)],
    ),
    (
        "(if (local.get $a) (then (local.set $any (local.get $p))))
        (block $s (result (ref $s))
            (drop (br_on_cast $s anyref (ref $s) (local.get $any)))
            (return (i32.const 5)))
        (struct.set $s $w (local.get $b)) (struct.get $s $w (local.get $p))",
        "br_on_final ",
        &[([1, 7], 7), ([0, 7], 5)],
    ),
    (
        "(if (local.get $a) (then (local.set $any (local.get $p))))
        (block $other (result anyref)
            (struct.get $s $w (br_on_cast_fail $other anyref (ref $s) (local.get $any)))
            (return (i32.add (i32.const 6))))
        (ref.is_null)",
        "br_on_not_final ",
        &[([1, 7], 7), ([0, 7], 1)],
    ),
    // A further operand is moved by the branch only.
    (
        "(if (local.get $a) (then (local.set $any (local.get $p))))
        (i32.const 1000)
        (block $s (result i32 (ref $s))
            (i32.const 3) (local.get $b)
            (br_on_cast $s anyref (ref $s) (local.get $any))
            (ref.is_null) (return (i32.add (i32.add))))
        (ref.is_null) (i32.add) (i32.add)",
        "br_unless_final ",
        &[([1, 7], 1007), ([0, 7], 11)],
    ),
    (
        "(if (local.get $a) (then (local.set $any (local.get $p))) (else (local.set $any (ref.i31 (local.get $b)))))
        (i32.add (i32.mul (i32.const 10) (ref.test i31ref (local.get $any)))
            (i32.add (ref.test structref (local.get $any)) (ref.test arrayref (local.get $any))))",
        "ref_test_kind ",
        &[([1, 0], 1), ([0, 0], 10)],
    ),
    (
        "(local.set $any (local.get $p)) (local.get $any) (local.set $any (ref.null any))
        (struct.set $s $w (ref.cast (ref $s)) (local.get $a)) (struct.get $s $w (local.get $p))",
        "ref_cast_final ",
        &[([9, 0], 9)],
    ),
    (
        "(block $null (struct.get $s $w (br_on_null $null (local.get $p))) (drop) (return (i32.const 4)))
        (i32.const 3)",
        "br_unless",
        &[([9, 0], 4)],
    ),
];

#[test]
fn several_in_one() {
    for (body, instruction, asked) in [FIELDS, ELEMENTS, TESTS].concat() {
        let mut world = World::new();
        world.add(&module(body), Options::default());
        let text = disassemble(world.instances[0].translation(DefinedFuncIndex::FIRST));
        match instruction.strip_prefix('!') {
            Some(instruction) => assert!(!text.contains(instruction), "{instruction}:\n{text}"),
            None => assert!(text.contains(instruction), "{instruction}:\n{text}"),
        }
        for (args, result) in asked {
            let end = world.call(0, "f", args);
            assert_eq!(end, End::Returned(vec![*result]), "{body} {args:?}\n{text}");
        }
    }
}

/// A body, its trap, and which of the operators of this name traps.
const TRAPS: &[(&str, TrapCode, &str, usize)] = &[
        (
            "(struct.set $s $w (local.get $n) (i32.add (struct.get $s $w (local.get $n)) (local.get $b)))",
            TrapCode::NullStructReference,
            "StructGet",
            0,
        ),
        (
            "(struct.set $s $l (local.get $n)
                (i64.add (struct.get $s $l (local.get $n)) (struct.get $s $k (local.get $n))))",
            TrapCode::NullStructReference,
            "StructGet",
            0,
        ),
        (
            "(struct.set $s $w (local.get $n)
                (i32.add (struct.get $s $w (local.get $n)) (i32.div_u (local.get $a) (local.get $b))))",
            TrapCode::NullStructReference,
            "StructGet",
            0,
        ),
        (
            "(struct.set $s $w (local.get $n)
                (i32.add (struct.get $s $w (local.get $n)) (struct.get $s $w (local.get $q))))",
            TrapCode::NullStructReference,
            "StructGet",
            0,
        ),
        (
            "(array.set $words (local.get $x) (local.get $a)
                (i32.add (array.get $words (local.get $x) (local.get $a)) (local.get $b)))",
            TrapCode::ArrayOutOfBounds,
            "ArrayGet",
            0,
        ),
        (
            "(array.set $words (local.get $x) (local.get $b)
                (i32.add (array.get $words (local.get $x) (local.get $b))
                    (array.get $words (local.get $x) (local.get $a))))",
            TrapCode::ArrayOutOfBounds,
            "ArrayGet",
            1,
        ),
        (
            "(struct.set $s $w (local.get $n) (local.get $a)) (drop (struct.get $s $w (local.get $n)))",
            TrapCode::NullStructReference,
            "StructSet",
            2,
        ),
        (
            "(array.set $words (local.get $x) (local.get $a) (local.get $a))
            (drop (array.get $words (local.get $x) (local.get $a)))",
            TrapCode::ArrayOutOfBounds,
            "ArraySet",
            0,
        ),
        (
            "(drop (array.get $words (local.get $x) (i32.add (local.get $a) (i32.const 2))))",
            TrapCode::ArrayOutOfBounds,
            "ArrayGet",
            0,
        ),
        (
            "(struct.set $s $w (local.get $n) (i32.add (local.get $a) (local.get $b)))",
            TrapCode::NullStructReference,
            "StructSet",
            2,
        ),
        (
            "(struct.set $s $l (local.get $n)
                (i64.add (struct.get $s $k (local.get $n)) (struct.get $s $l (local.get $n))))",
            TrapCode::NullStructReference,
            "StructGet",
            0,
        ),
        (
            "(array.set $words (local.get $x) (local.get $a) (i32.sub (local.get $a) (i32.const 3)))",
            TrapCode::ArrayOutOfBounds,
            "ArraySet",
            0,
        ),
        ("(drop (ref.cast (ref $t) (local.get $any)))", TrapCode::CastFailure, "RefCastNonNull", 0),
        ("(drop (ref.as_non_null (local.get $n)))", TrapCode::NullReference, "RefAsNonNull", 0),
];

/// What is one instruction traps where the first operator would have.
#[test]
fn traps_are_where_they_would_be() {
    for (body, code, operator, which) in TRAPS {
        let mut world = World::new();
        world.add(&module(&format!("{body} (i32.const 0)")), Options::default());
        let at = positions(&world, 0, 0, operator)[*which];
        assert_eq!(world.call(0, "f", &[8, 0]), End::Trapped(*code, at), "{body}");
    }
}

/// More locals than an instruction can name.
#[test]
fn far_objects() {
    let locals = "i64 ".repeat(40_000);
    let body = "(struct.set $s $w (local.get $p) (local.get $a))
        (struct.set $s $w (local.get $p) (i32.add (struct.get $s $w (local.get $p)) (local.get $b)))
        (local.set $any (struct.new $t (struct.get $s $w (local.get $p))))
        (array.set $words (local.get $x) (i32.const 3) (i32.const 9))
        (block $t (result (ref $t)) (br_on_cast $t anyref (ref $t) (local.get $any)) (unreachable))
        (i32.add (struct.get $t $v) (i32.add (ref.test (ref $t) (local.get $any))
            (array.get $words (local.get $x) (i32.add (local.get $i) (i32.const 3)))))";
    let wat = module(body).replace("(local $p", &format!("(local {locals}) (local $p"));
    let mut world = World::new();
    world.add(&wat, Options::default());
    assert_eq!(world.call(0, "f", &[30, 2]), End::Returned(vec![42]));
}
