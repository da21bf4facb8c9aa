//! Modules whose functions do little but call: each other, through tables, in loops, as tail calls, and
//! host functions, which call back. What generators of arbitrary modules rarely come to, since most of
//! their functions end early.

use crate::random::Random;
use std::fmt::Write as _;

/// The signatures of functions, which differ in the slots that parameters and results take.
const TYPES: [&str; 4] = [
    "(param $d i32) (param $x i64) (result i64)",
    "(param $d i32) (param $x i64) (result i64 f64 v128)",
    "(param $d i32) (param $x i64) (param v128) (param f32) (result i64)",
    // More than there are registers for.
    "(param $d i32) (param $x i64) (result i64 i64 i64 i64 i64 i64 i64 i64 i64 f64)",
];
/// What makes one value of the results, on the stack after a call.
const RESULTS: [&str; 4] = [
    "",
    "i64x2.extract_lane 1 local.set $a i64.trunc_sat_f64_s i64.xor local.get $a i64.add",
    "",
    "i64.trunc_sat_f64_s i64.xor i64.add i64.sub i64.add i64.xor i64.sub i64.add i64.sub i64.xor",
];

/// A module in which everything is called from everywhere, at most so deep as an argument says.
pub(crate) fn module(seed: u64) -> Vec<u8> {
    let mut random = Random::new(seed, "calls");
    let functions = 3 + random.below(8);
    let types: Vec<usize> = (0..functions + HOSTS).map(|_| random.below(TYPES.len())).collect();
    let mut text = String::from("(module\n");
    for (i, ty) in TYPES.iter().enumerate() {
        let _ = writeln!(text, "(type $t{i} (func {ty}))");
    }
    for (i, ty) in types.iter().enumerate().take(HOSTS) {
        let _ = writeln!(text, "(import \"h\" \"{i}\" (func $f{i} (type $t{ty})))");
    }
    text += "(memory (export \"m\") 1 4) (global $g (export \"g\") (mut i64) (i64.const 7))\n";
    let all: String = (0..types.len()).map(|i| format!(" $f{i}")).collect();
    let _ = writeln!(
        text,
        "(table $t (export \"t\") {0} {0} funcref) (elem (i32.const 0){all})",
        types.len()
    );
    for (ty, _) in TYPES.iter().enumerate() {
        let _ = writeln!(text, "(table $r{ty} {} (ref null $t{ty}))", types.len());
        // Some elements are null: to call them traps.
        for i in (0..types.len()).filter(|i| types[*i] == ty && random.below(12) > 0) {
            let _ = writeln!(
                text,
                "(elem (table $r{ty}) (i32.const {i}) (ref null $t{ty}) (ref.func $f{i}))"
            );
        }
    }
    for i in HOSTS..types.len() {
        let mut body =
            Body { random: &mut random, types: &types, text: String::new(), own: types[i] };
        body.statements(0);
        body.end();
        let body = body.text;
        let _ = writeln!(
            text,
            "(func $f{i} (export \"f{i}\") (type $t{0}) {1} (local $a i64) (local $n i32) (local $v v128)\n{body})",
            types[i], TYPES[types[i]]
        );
    }
    wat::parse_str(text + ")").expect("the text is a module")
}

/// Imported functions.
const HOSTS: usize = 3;

struct Body<'a> {
    random: &'a mut Random,
    types: &'a [usize],
    text: String,
    own: usize,
}

impl Body<'_> {
    fn statements(&mut self, depth: usize) {
        for _ in 0..1 + self.random.below(4) {
            self.statement(depth);
        }
    }

    fn statement(&mut self, depth: usize) {
        let k = self.random.below(100);
        match self.random.below(12) {
            0 => {
                let _ =
                    writeln!(self.text, "(local.set $x (i64.mul (local.get $x) (i64.const {k})))");
            }
            1 => {
                self.text += "(global.set $g (i64.xor (global.get $g) (local.get $x)))\n";
                self.text += "(local.set $v (i64x2.splat (local.get $x)))\n";
            }
            2 => {
                let _ = writeln!(
                    self.text,
                    "(i64.store (i32.and (i32.wrap_i64 (local.get $x)) (i32.const 0xffff)) \
                     (i64.load offset={k} (i32.and (local.get $d) (i32.const 0x7fff))))"
                );
            }
            3 if depth < 2 => {
                let rounds = 1 + self.random.below(4);
                let _ = writeln!(self.text, "(local.set $n (i32.const {rounds})) (loop $l{depth}");
                self.statements(depth + 1);
                let _ = writeln!(
                    self.text,
                    "(br_if $l{depth} (i32.gt_s (local.tee $n (i32.sub (local.get $n) \
                     (i32.const 1))) (i32.const 0))))"
                );
            }
            4 if depth < 2 => {
                self.text += "(if (i32.wrap_i64 (local.get $x)) (then\n";
                self.statements(depth + 1);
                self.text += ") (else\n";
                self.statements(depth + 1);
                self.text += "))\n";
            }
            5 if k < 10 => {
                self.text += "(if (i64.eq (local.get $x) (global.get $g)) (then unreachable))\n"
            }
            _ => self.call(),
        }
        if k.is_multiple_of(7) {
            self.text += "(local.set $a (i64.add (local.get $a) (local.get $x)))\n";
        }
    }

    /// A call at the end of the depth's budget is left out.
    fn call(&mut self) {
        let callee = self.random.below(self.types.len());
        let ty = self.types[callee];
        let arguments = self.arguments(ty);
        let call = self.called("call", callee, ty);
        let _ = writeln!(
            self.text,
            "(if (i32.gt_s (local.get $d) (i32.const 0)) (then (local.set $a (local.get $x)) {arguments} {call} {} local.set $x))",
            RESULTS[ty]
        );
    }

    fn arguments(&mut self, ty: usize) -> String {
        let less = 1 + self.random.below(2);
        let mut text = format!("(i32.sub (local.get $d) (i32.const {less})) (local.get $x)");
        if ty == 2 {
            text += " (local.get $v) (f32.convert_i64_s (local.get $x))";
        }
        text
    }

    /// By name, through the table, where host functions may have put others, or through a reference.
    fn called(&mut self, call: &str, callee: usize, ty: usize) -> String {
        match self.random.below(9) {
            0..3 => format!("(i32.const {callee}) ({call}_indirect $t (type $t{ty}))"),
            3 => format!("(ref.func $f{callee}) ({call}_ref $t{ty})"),
            4 => format!("(table.get $r{ty} (i32.const {callee})) ({call}_ref $t{ty})"),
            5 => format!(
                "(block $n (result (ref $t{ty})) (br_on_non_null $n (table.get $r{ty} (i32.const {callee}))) \
                 (ref.func $f{callee})) ({call}_ref $t{ty})"
            ),
            _ => format!("({call} $f{callee})"),
        }
    }

    /// The results, or a tail call that gives them.
    fn end(&mut self) {
        // The first and the third have the same results.
        let results = |ty: usize| if ty == 2 { 0 } else { ty };
        let fits = |i: &usize| results(self.types[*i]) == results(self.own);
        let fitting: Vec<usize> = (0..self.types.len()).filter(fits).collect();
        if !fitting.is_empty() && self.random.below(2) == 0 {
            let callee = fitting[self.random.below(fitting.len())];
            let ty = self.types[callee];
            let (arguments, call) = (self.arguments(ty), self.called("return_call", callee, ty));
            let _ = writeln!(
                self.text,
                "(if (i32.gt_s (local.get $d) (i32.const 0)) (then {arguments} {call}))"
            );
        }
        self.text += "(i64.add (local.get $x) (local.get $a))\n";
        if self.own == 1 {
            self.text += "(f64.convert_i64_s (local.get $a)) (local.get $v)\n";
        }
        if self.own == 3 {
            for i in 0..8 {
                let _ = writeln!(self.text, "(i64.mul (local.get $a) (i64.const {i}))");
            }
            self.text += "(f64.convert_i64_s (local.get $x))\n";
        }
    }
}
