//! Trees of `tries` as modules: with the legacy instructions, or translated to `try_table` and `throw_ref`.
//!
//! A `try` becomes a `try_table` inside of a block for each handler, where the reference to what was caught is
//! kept in a local of its own for `rethrow`. A `delegate` becomes a `try_table` that catches everything and
//! branches to the end of the body of the `try` that it names, inside of that one's `try_table`, where the
//! reference is thrown again.

use crate::tries::{Block, Body, Choice, Kind, RESULTS, Step, Trap, Tree, Ty};
use std::collections::HashSet;
use std::fmt::Write as _;

/// The instructions of a module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    Legacy,
    References,
}

/// The module in a form, as binary.
pub(crate) fn module(tree: &Tree, form: Form) -> Vec<u8> {
    let mut text = header(tree);
    for (i, body) in tree.bodies.iter().enumerate() {
        function(&mut text, tree, i + 1, body, form);
    }
    text += ")";
    wat::parse_str(&text).unwrap_or_else(|error| panic!("the text is a module: {error}\n{text}"))
}

fn header(tree: &Tree) -> String {
    let mut text = String::from("(module\n");
    for (i, results) in RESULTS.iter().enumerate() {
        let _ = writeln!(text, "(type $t{i} (func (param i32 i64){}))", list("result", results));
    }
    let _ = writeln!(text, "(import \"h\" \"f\" (func $f0 (type $t{})))", tree.types[0]);
    let _ = writeln!(text, "(import \"h\" \"e\" (tag $e0{}))", list("param", &tree.tags[0]));
    for (i, tag) in tree.tags.iter().enumerate().skip(1) {
        let _ = writeln!(text, "(tag $e{i} (export \"e{i}\"){})", list("param", tag));
    }
    text += "(memory (export \"m\") 1 1) (global $g (export \"g\") (mut i64) (i64.const 1))\n\
        (global $budget (export \"budget\") (mut i32) (i32.const 0))\n";
    let count = tree.types.len();
    let all: String = (0..count).map(|i| format!(" $f{i}")).collect();
    let _ = writeln!(text, "(table $t {0} {0} funcref) (elem (i32.const 0){all})", count + 2);
    text
}

fn list(word: &str, types: &[Ty]) -> String {
    let names: String = types.iter().map(|ty| format!(" {}", name(*ty))).collect();
    if names.is_empty() { names } else { format!(" ({word}{names})") }
}

fn name(ty: Ty) -> &'static str {
    match ty {
        Ty::I32 => "i32",
        Ty::I64 => "i64",
        Ty::F32 => "f32",
        Ty::F64 => "f64",
        Ty::V128 => "v128",
    }
}

fn function(text: &mut String, tree: &Tree, i: usize, body: &Body, form: Form) {
    let ty = tree.types[i];
    let results = RESULTS[ty];
    let mut printer = Printer::new(tree, form, ty);
    printer.steps(&body.steps);
    printer.push(results);
    let mut code = printer.text;
    if printer.used.contains(&None) {
        code = format!("block $caller (result exnref)\n{code}return\nend\nthrow_ref\n");
    }
    // Vectors cannot be given to every host.
    let export =
        if results.contains(&Ty::V128) { String::new() } else { format!("(export \"f{i}\")") };
    let _ = write!(
        text,
        "(func $f{i} {export} (type $t{ty}) (param $d i32) (param $x i64){}\n\
         (local $i i32) (local $f f32) (local $e f64) (local $v v128){}\n{BUDGET}{code})\n",
        list("result", results),
        printer.references,
    );
}

/// Ends what does not end.
const BUDGET: &str = "global.get $budget i32.const 1 i32.sub global.set $budget\n\
    global.get $budget i32.const 0 i32.lt_s if unreachable end\n";

/// What a block does with an exception that comes out of its body.
#[derive(Clone, Copy)]
enum Role {
    Passes,
    Handles,
    /// Gives it to a handler further out, or to the caller.
    Delegates(Option<usize>),
}

struct Printer<'a> {
    tree: &'a Tree,
    form: Form,
    ty: usize,
    text: String,
    /// The blocks around, the innermost last.
    scopes: Vec<(usize, Role)>,
    /// How many labels there are around.
    open: usize,
    /// To what something was delegated.
    used: HashSet<Option<usize>>,
    /// Locals for what was caught.
    references: String,
}

impl<'a> Printer<'a> {
    fn new(tree: &'a Tree, form: Form, ty: usize) -> Printer<'a> {
        Printer {
            tree,
            form,
            ty,
            text: String::new(),
            scopes: Vec::new(),
            open: 0,
            used: HashSet::new(),
            references: String::new(),
        }
    }

    fn line(&mut self, text: &str) {
        self.text += text;
        self.text.push('\n');
    }

    fn push(&mut self, types: &[Ty]) {
        for ty in types {
            self.line(match ty {
                Ty::I32 => "local.get $i",
                Ty::I64 => "local.get $x",
                Ty::F32 => "local.get $f",
                Ty::F64 => "local.get $e",
                Ty::V128 => "local.get $v",
            });
        }
    }

    /// Takes values in such a way that their order matters.
    fn pop(&mut self, types: &[Ty]) {
        for ty in types.iter().rev() {
            self.line(match ty {
                Ty::I32 => "local.get $i i32.const 5 i32.mul i32.add local.set $i",
                Ty::I64 => "local.get $x i64.const 3 i64.mul i64.xor local.set $x",
                Ty::F32 => "i32.trunc_sat_f32_s local.get $i i32.xor local.set $i",
                Ty::F64 => "i64.trunc_sat_f64_s local.get $x i64.add local.set $x",
                Ty::V128 => "i64x2.extract_lane 1 local.get $x i64.sub local.set $x",
            });
        }
    }

    /// A bit of what the function computes.
    fn condition(&mut self, bit: usize) {
        let bit = bit % 48;
        self.line(&format!(
            "local.get $x i64.const {bit} i64.shr_u i32.wrap_i64 i32.const 1 i32.and"
        ));
    }

    fn steps(&mut self, steps: &[Step]) {
        for step in steps {
            self.step(step);
        }
    }

    fn body(&mut self, begins: &[Ty], body: &Body, ends: &[Ty]) {
        if !body.late {
            self.pop(begins);
        }
        self.steps(&body.steps);
        if body.late {
            self.pop(begins);
        }
        self.push(ends);
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Mark(k) => self.line(&format!(
                "global.get $g i64.const 31 i64.mul local.get $x i64.add i64.const {k} i64.add global.set $g"
            )),
            Step::Set(ty, k) => self.set(*ty, *k),
            Step::Store(k) => self.line(&format!(
                "i32.const {} local.get $x i64.store offset={}", k % 512, k % 8
            )),
            Step::Trap(Trap::Unreachable) => self.line("unreachable"),
            Step::Trap(Trap::Division) => self.line("i32.const 1 i32.const 0 i32.div_u drop"),
            Step::Trap(Trap::Memory) => self.line("i32.const -1 i32.load drop"),
            Step::Throw(tag) => {
                self.push(&self.tree.tags[*tag]);
                self.line(&format!("throw $e{tag}"));
            }
            Step::Rethrow(label) if self.form == Form::Legacy => {
                self.line(&format!("rethrow $l{label}"));
            }
            Step::Rethrow(label) => self.line(&format!("local.get $r{label} throw_ref")),
            Step::Return => {
                self.push(RESULTS[self.ty]);
                self.line("return");
            }
            Step::Branch(labels, takes, choice) => self.branch(labels, takes, *choice),
            Step::Call(callee) => self.call(callee),
            Step::When(bit, step) => {
                self.condition(*bit);
                self.line("if");
                self.open += 1;
                self.step(step);
                self.open -= 1;
                self.line("end");
            }
            Step::Over(types, step) => {
                self.push(types);
                self.step(step);
                self.pop(types);
            }
            Step::Block(block) => self.block(block),
        }
    }

    fn set(&mut self, ty: Ty, k: usize) {
        self.line(&match ty {
            Ty::I32 => format!("local.get $x i32.wrap_i64 i32.const {k} i32.add local.set $i"),
            Ty::I64 => format!(
                "local.get $x i64.const 6364136223846793005 i64.mul i64.const {k} i64.add local.set $x"
            ),
            Ty::F32 => format!("local.get $i i32.const {k} i32.xor f32.convert_i32_s local.set $f"),
            Ty::F64 => "local.get $x f64.convert_i64_s local.set $e".to_owned(),
            Ty::V128 => "local.get $x i64x2.splat local.set $v".to_owned(),
        });
    }

    fn branch(&mut self, labels: &[usize], takes: &[Ty], choice: Choice) {
        self.push(takes);
        match choice {
            Choice::Always => self.line(&format!("br $l{}", labels[0])),
            Choice::If(bit) => {
                self.condition(bit);
                self.line(&format!("br_if $l{}", labels[0]));
                self.pop(takes);
            }
            Choice::Table => {
                let all: String = labels.iter().map(|l| format!(" $l{l}")).collect();
                self.line(&format!("local.get $i i32.const 3 i32.and br_table{all}"));
            }
        }
    }

    /// A call at the end of the depth's budget is left out.
    fn call(&mut self, callee: &crate::tries::Callee) {
        self.line(
            "local.get $d i32.const 0 i32.gt_s if\nlocal.get $d i32.const 1 i32.sub local.get $x",
        );
        let tail = if callee.tail { "return_" } else { "" };
        self.line(&if callee.indirect {
            format!("i32.const {} {tail}call_indirect $t (type $t{})", callee.number, callee.ty)
        } else {
            format!("{tail}call $f{}", callee.number)
        });
        if !callee.tail {
            self.pop(RESULTS[callee.ty]);
        }
        self.line("end");
    }

    fn block(&mut self, block: &Block) {
        self.push(&block.params);
        match &block.kind {
            Kind::Plain => self.plain(block, "block", ""),
            Kind::Loop => self.plain(block, "loop", BUDGET),
            Kind::If(bit, other) => {
                self.condition(*bit);
                self.begin(block, "if", Role::Passes);
                self.body(&block.params, &block.body, &block.results);
                self.line("else");
                self.body(&block.params, other, &block.results);
                self.end();
            }
            Kind::Try(handlers) if self.form == Form::Legacy => {
                self.legacy_try(block, handlers);
            }
            Kind::Delegate(target) if self.form == Form::Legacy => {
                self.legacy_delegate(block, *target);
            }
            Kind::Try(handlers) => self.translated_try(block, handlers),
            Kind::Delegate(target) => self.translated_delegate(block, *target),
        }
        self.pop(&block.results);
    }

    fn begin(&mut self, block: &Block, word: &str, role: Role) {
        let signature = signature(&block.params, &block.results);
        self.line(&format!("{word} $l{}{signature}", block.label));
        self.scopes.push((block.label, role));
        self.open += 1;
    }

    fn end(&mut self) {
        self.close();
        self.line("end");
    }

    fn close(&mut self) {
        self.scopes.pop();
        self.open -= 1;
    }

    fn plain(&mut self, block: &Block, word: &str, first: &str) {
        self.begin(block, word, Role::Passes);
        self.text += first;
        self.body(&block.params, &block.body, &block.results);
        self.end();
    }

    fn legacy_try(&mut self, block: &Block, handlers: &[(Option<usize>, Body)]) {
        self.begin(block, "try", Role::Handles);
        self.body(&block.params, &block.body, &block.results);
        for (tag, handler) in handlers {
            let begins = tag.map_or(&[][..], |tag| &self.tree.tags[tag]);
            self.line(&tag.map_or("catch_all".to_owned(), |tag| format!("catch $e{tag}")));
            self.body(begins, handler, &block.results);
        }
        self.end();
    }

    fn legacy_delegate(&mut self, block: &Block, target: Option<usize>) {
        self.begin(block, "try", Role::Passes);
        self.body(&block.params, &block.body, &block.results);
        self.close();
        // The label after all that have a name is the function's.
        let to = target.map_or(self.open.to_string(), |label| format!("$l{label}"));
        self.line(&format!("delegate {to}"));
    }

    fn translated_try(&mut self, block: &Block, handlers: &[(Option<usize>, Body)]) {
        let label = block.label;
        let params = list("param", &block.params);
        if !handlers.is_empty() {
            let _ = write!(self.references, " (local $r{label} exnref)");
        }
        self.begin(block, "block", Role::Handles);
        let mut clauses = String::new();
        for (number, (tag, _)) in handlers.iter().enumerate().rev() {
            let carried = tag.map_or(String::new(), |tag| list("result", &self.tree.tags[tag]));
            self.line(&format!("block $l{label}_{number}{params}{carried} (result exnref)"));
        }
        for (number, (tag, _)) in handlers.iter().enumerate() {
            let _ = match tag {
                Some(tag) => write!(clauses, " (catch_ref $e{tag} $l{label}_{number})"),
                None => write!(clauses, " (catch_all_ref $l{label}_{number})"),
            };
        }
        self.line(&format!("try_table{}{clauses}", signature(&block.params, &block.results)));
        let outside = std::mem::take(&mut self.text);
        self.body(&block.params, &block.body, &block.results);
        let body = std::mem::replace(&mut self.text, outside);
        if self.used.contains(&Some(label)) {
            self.line(&format!("block $thrown{label}{params} (result exnref)"));
            self.text += &body;
            self.line(&format!("br $l{label}\nend\nthrow_ref"));
        } else {
            self.text += &body;
        }
        self.line("end");
        self.line(&format!("br $l{label}"));
        // Inside of handlers it handles nothing any more.
        self.scopes.pop();
        self.scopes.push((label, Role::Passes));
        for (tag, handler) in handlers {
            let begins = tag.map_or(&[][..], |tag| &self.tree.tags[tag]);
            self.line(&format!("end\nlocal.set $r{label}"));
            self.body(begins, handler, &block.results);
            self.line(&format!("br $l{label}"));
        }
        self.end();
    }

    fn translated_delegate(&mut self, block: &Block, target: Option<usize>) {
        let to = self.resolved(target);
        self.used.insert(to);
        self.begin(block, "block", Role::Delegates(to));
        let label = to.map_or("$caller".to_owned(), |label| format!("$thrown{label}"));
        let signature = signature(&block.params, &block.results);
        self.line(&format!("try_table{signature} (catch_all_ref {label})"));
        self.body(&block.params, &block.body, &block.results);
        self.line("end");
        self.end();
    }

    /// Whose handlers get what is thrown at the end of the body of this block.
    fn resolved(&self, target: Option<usize>) -> Option<usize> {
        let target = target?;
        let within = self.scopes.iter().rev().skip_while(|(label, _)| *label != target);
        for (label, role) in within {
            match role {
                Role::Passes => {}
                Role::Handles => return Some(*label),
                Role::Delegates(to) => return *to,
            }
        }
        None
    }
}

fn signature(params: &[Ty], results: &[Ty]) -> String {
    list("param", params) + &list("result", results)
}
