//! Which functions can be compiled into their callers, and where their bodies give up.
//!
//! ```text
//!   (func $element (param $at i32) (result i32)
//!     (if (i32.ge_u (local.get $at) (global.get $len))
//!       (then (call $panic) (unreachable)))               ── gives up: nothing has changed so far
//!     (global.set $last (local.get $at))                  ── from here on it cannot begin again
//!     (i32.load (local.get $at)))
//! ```
//!
//! A body has no loops, and asks the runtime for nothing. It calls and throws only where nothing has changed on any path that
//! leads there: no memory and no global. There it gives up, and the function is called as if the body had never begun. What
//! it has computed by then is computed again, with the same results. (Threads that share a memory can change it meanwhile;
//! the call may as well have begun later.)

use wardian_module::operators::{Control, Exception, Global, Group};
use wardian_types::{LabelIndex, ModuleOffset};
use wasmparser::{FunctionBody, Operator, OperatorsReader};

/// The longest body that is looked at, in bytes of WebAssembly.
pub(super) const MOST_BYTES: usize = 240;
/// The same without the operators that only lead to a failure: a trap, a `throw`, or a call that does not return.
const MOST_USUAL_BYTES: u64 = 80;
/// The locals that such a function may declare, which are set to zero each time.
const MOST_LOCALS: u32 = 16;

/// Where a body gives up.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Exits {
    /// The positions of its operators there, in order.
    positions: Vec<ModuleOffset>,
    /// Whether each is a `throw` or a call that does not return, by which programs report failures: they are rare.
    pub(super) are_failures: bool,
}

impl Exits {
    pub(super) fn is_empty(&self) -> bool {
        self.positions.is_empty()
    }

    pub(super) fn contains(&self, position: ModuleOffset) -> bool {
        self.positions.binary_search(&position).is_ok()
    }
}

/// Where a body gives up; none if it cannot be compiled into callers.
pub(super) fn exits(body: &FunctionBody<'_>) -> Option<Exits> {
    let mut locals = body.get_locals_reader().ok()?;
    let mut count = 0u32;
    for _ in 0..locals.get_count() {
        count = count.saturating_add(locals.read().ok()?.0);
    }
    let mut reader = OperatorsReader::new(locals.get_binary_reader());
    if count > MOST_LOCALS {
        return None;
    }
    let mut paths = Paths::new(ModuleOffset::from_u64(reader.original_position()));
    while !reader.eof() {
        let position = ModuleOffset::from_u64(reader.original_position());
        let operator = reader.read().ok()?;
        let next = ModuleOffset::from_u64(reader.original_position());
        paths.step(operator, position, next)?;
    }
    paths.finish()
}

/// What is known of the paths that lead to an operator: none if there is none.
type State = Option<Changed>;

/// Whether a memory or a global may have been changed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Changed {
    No,
    Maybe,
}

/// A block that is open.
struct Frame {
    /// The paths to the `else`, or around an `if` without one.
    otherwise: State,
    /// The paths to its end, but for the one through its last operator.
    end: State,
}

/// The paths through a body, operator by operator. States are ordered: what may be reached from two is the larger one.
struct Paths {
    state: State,
    frames: Vec<Frame>,
    /// Blocks that are open in code that cannot be reached.
    dead_depth: u32,
    exits: Vec<ModuleOffset>,
    /// Whether the last operator was a call at which the body gives up.
    after_call: bool,
    /// Whether the body gives up where that is no failure.
    gives_up_usually: bool,
    /// Where the operators began that follow each other since the last branch or label.
    run: ModuleOffset,
    /// Bytes of operators that can be reached, without the runs that end with a failure.
    usual_bytes: u64,
}

impl Paths {
    fn new(position: ModuleOffset) -> Paths {
        Paths {
            state: Some(Changed::No),
            frames: vec![Frame { otherwise: None, end: None }],
            dead_depth: 0,
            exits: Vec::new(),
            after_call: false,
            gives_up_usually: false,
            run: position,
            usual_bytes: 0,
        }
    }

    /// The exits, if the body is short and its end can be reached from its beginning, or traps.
    fn finish(self) -> Option<Exits> {
        let returns = self.state.is_some() || self.exits.is_empty();
        let found = Exits { positions: self.exits, are_failures: !self.gives_up_usually };
        (self.frames.is_empty() && returns && self.usual_bytes <= MOST_USUAL_BYTES).then_some(found)
    }

    /// An operator, where it begins, and where the next one does. None if the function cannot be compiled into callers.
    fn step(
        &mut self,
        operator: Operator<'_>,
        position: ModuleOffset,
        next: ModuleOffset,
    ) -> Option<()> {
        let Some(changed) = self.state else {
            self.dead(&operator, position, next);
            return Some(());
        };
        if wardian_module::stores(&operator) {
            self.state = Some(Changed::Maybe);
            return Some(());
        }
        match Group::from(operator) {
            Group::Control(control) => self.control(control, next)?,
            Group::Call(_) => {
                self.give_up(changed, position)?;
                self.after_call = true;
            }
            Group::Exception(Exception::Throw { .. } | Exception::ThrowRef) => {
                self.give_up(changed, position)?;
            }
            Group::Global(Global::GlobalSet { .. }) => self.state = Some(Changed::Maybe),
            Group::Local(_)
            | Group::Global(Global::GlobalGet { .. })
            | Group::Memory(_)
            | Group::Integer(_)
            | Group::Comparison(_)
            | Group::Float(_)
            | Group::Conversion(_)
            | Group::VectorMemory(_)
            | Group::Lane(_)
            | Group::VectorBits(_)
            | Group::VectorComparison(_)
            | Group::VectorInteger(_)
            | Group::VectorFloat(_)
            | Group::VectorWidening(_)
            | Group::VectorConversion(_) => {}
            _ => return None,
        }
        Some(())
    }

    /// The body gives up before an operator, if that is possible.
    fn give_up(&mut self, changed: Changed, position: ModuleOffset) -> Option<()> {
        if changed != Changed::No {
            return None;
        }
        self.exits.push(position);
        self.state = None;
        Some(())
    }

    fn control(&mut self, operator: Control<'_>, next: ModuleOffset) -> Option<()> {
        if !matches!(operator, Control::Unreachable) {
            self.usual_bytes += next.bytes_from(self.run);
        }
        self.run = next;
        match operator {
            Control::Unreachable => self.state = None,
            Control::Block { .. } => self.frames.push(Frame { otherwise: None, end: None }),
            Control::If { .. } => self.frames.push(Frame { otherwise: self.state, end: None }),
            Control::Else => self.begin_else()?,
            Control::End => self.end()?,
            Control::Br { relative_depth } => {
                self.branch(relative_depth)?;
                self.state = None;
            }
            Control::BrIf { relative_depth }
            | Control::BrOnNull { relative_depth }
            | Control::BrOnNonNull { relative_depth } => self.branch(relative_depth)?,
            Control::BrTable { targets } => {
                for target in targets.targets() {
                    self.branch(LabelIndex::from_u32(target.ok()?))?;
                }
                self.branch(LabelIndex::from_u32(targets.default()))?;
                self.state = None;
            }
            Control::Return => {
                self.branch(LabelIndex::from_usize(self.frames.len().checked_sub(1)?))?;
                self.state = None;
            }
            Control::RefAsNonNull => {}
            // A function that loops spends its time there.
            Control::Loop { .. } => return None,
        }
        Some(())
    }

    /// An operator that is never reached.
    fn dead(&mut self, operator: &Operator<'_>, position: ModuleOffset, next: ModuleOffset) {
        let is_failure = matches!(operator, Operator::Unreachable);
        if std::mem::take(&mut self.after_call) && !is_failure {
            self.gives_up_usually = true;
            self.usual_bytes += position.bytes_from(self.run);
        }
        self.run = next;
        match operator {
            _ if opens_block(operator) => self.dead_depth += 1,
            Operator::Else if self.dead_depth == 0 => {
                self.begin_else();
            }
            Operator::End | Operator::Delegate { .. } if self.dead_depth == 0 => {
                self.end();
            }
            Operator::End | Operator::Delegate { .. } => self.dead_depth -= 1,
            _ => {}
        }
    }

    /// The state also leads to the end of an open block.
    fn branch(&mut self, label: LabelIndex) -> Option<()> {
        let at = self.frames.len().checked_sub(1 + label.index())?;
        let end = &mut self.frames.get_mut(at)?.end;
        *end = (*end).max(self.state);
        Some(())
    }

    fn begin_else(&mut self) -> Option<()> {
        let frame = self.frames.last_mut()?;
        frame.end = frame.end.max(self.state);
        self.state = frame.otherwise.take();
        Some(())
    }

    fn end(&mut self) -> Option<()> {
        let frame = self.frames.pop()?;
        self.state = self.state.max(frame.end).max(frame.otherwise);
        Some(())
    }
}

fn opens_block(operator: &Operator<'_>) -> bool {
    matches!(
        operator,
        Operator::Block { .. }
            | Operator::Loop { .. }
            | Operator::If { .. }
            | Operator::TryTable { .. }
            | Operator::Try { .. }
    )
}

#[cfg(test)]
mod tests {
    use super::exits;
    use wasmparser::{Parser, Payload};

    /// At how many places the body of the first function gives up; less than none if one of them is no failure.
    fn count(body: &str) -> Option<isize> {
        let text = format!(
            "(module (memory 1) (global $g (mut i32) (i32.const 0)) (tag $e)
                (func $f (param i32) (result i32) (local i32) {body}) (func $call))"
        );
        let bytes = wat::parse_str(text).expect("valid text");
        let bodies = Parser::new(0).parse_all(&bytes).filter_map(|payload| match payload {
            Ok(Payload::CodeSectionEntry(body)) => Some(body),
            _ => None,
        });
        let exits = exits(&bodies.into_iter().next()?)?;
        let count = exits.positions.len() as isize;
        Some(if exits.are_failures { count } else { -count })
    }

    #[test]
    fn bodies_give_up_where_nothing_has_changed() {
        let get = "(local.get 0)";
        let store = "(i32.store (local.get 0) (i32.const 1))";
        let check = "(if (local.get 0) (then (call $call) (unreachable)))";
        let long = "(local.set 0 (i32.add (local.get 0) (i32.const 1)))".repeat(14);
        let cases = [
            (get.to_owned(), Some(0)),
            ("unreachable".into(), Some(0)),
            (format!("{check} {get}"), Some(1)),
            (format!("{check} {check} {store} {get}"), Some(2)),
            (format!("{store} {check} {get}"), None),
            (format!("(global.set $g {get}) {check} {get}"), None),
            (format!("(call $call) {get}"), None),
            (format!("(if {get} (then (call $call))) {get}"), Some(-1)),
            (format!("(if {get} (then (return_call $f {get}))) {get}"), Some(-1)),
            (format!("(if {get} (then (throw $e))) {get}"), Some(1)),
            (format!("{check} (if {get} (then (call $call))) {get}"), Some(-2)),
            (format!("(if {get} (then (loop (br 0)))) {get}"), None),
            (format!("(if {get} (then (drop (memory.grow {get})))) {get}"), None),
            (format!("(if {get} (then {store}) (else (call $call))) {get}"), Some(-1)),
            (format!("(if {get} (then {store})) {check} {get}"), None),
            (format!("(if {get} (then {store} (return {get}))) {check} {get}"), Some(1)),
            // The store is ahead of the call in the text only.
            (
                format!("(block (br_if 0 {get}) {store} (return {get})) (call $call) unreachable"),
                Some(1),
            ),
            (
                format!("(block {store} (br_if 0 {get}) (return {get})) (call $call) unreachable"),
                None,
            ),
            (format!("(block (block (br_table 0 1 {get})) {store}) {check} {get}"), None),
            (format!("(block (block (br_table 0 1 {get})) (return {get})) {check} {get}"), Some(1)),
            // Blocks in code that cannot be reached.
            (
                format!(
                    "(if {get} (then (call $call) unreachable (block (if {get} (then (loop))) {store}))) {get}"
                ),
                Some(1),
            ),
            // What leads to a failure is not usual.
            (format!("(if {get} (then {long} (call $call) unreachable)) {get}"), Some(1)),
            (format!("(if {get} (then {long} (call $call))) {get}"), None),
            (format!("{long} {check} {get}"), None),
        ];
        for (body, expected) in cases {
            assert_eq!(count(&body), expected, "{body}");
        }
    }

    #[test]
    fn every_store_changes_something() {
        let stores = [
            "i32.store (local.get 0) (i32.const 1)",
            "i64.store (local.get 0) (i64.const 1)",
            "f32.store (local.get 0) (f32.const 1)",
            "f64.store (local.get 0) (f64.const 1)",
            "i32.store8 (local.get 0) (i32.const 1)",
            "i32.store16 (local.get 0) (i32.const 1)",
            "i64.store8 (local.get 0) (i64.const 1)",
            "i64.store16 (local.get 0) (i64.const 1)",
            "i64.store32 (local.get 0) (i64.const 1)",
            "v128.store (local.get 0) (v128.const i64x2 1 1)",
            "v128.store8_lane 0 (local.get 0) (v128.const i64x2 1 1)",
            "v128.store16_lane 0 (local.get 0) (v128.const i64x2 1 1)",
            "v128.store32_lane 0 (local.get 0) (v128.const i64x2 1 1)",
            "v128.store64_lane 0 (local.get 0) (v128.const i64x2 1 1)",
        ];
        for store in stores {
            let check = "(if (local.get 0) (then (call $call) (unreachable))) (local.get 0)";
            assert_eq!(count(&format!("({store}) {check}")), None, "{store}");
            assert_eq!(count(&format!("{check} drop ({store}) (local.get 0)")), Some(1), "{store}");
        }
    }
}
