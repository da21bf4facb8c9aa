//! Basic blocks of functions.
//!
//! A block is a run of operators of which all are executed, one after the other, once the first is,
//! unless one traps. Calls end blocks too, for they may not return. Code that cannot be reached (after
//! a `br`, up to the next `end` or `else`) is in no block.

use wardian::{Module, inspect::DefinedFuncIndex};
use wasmparser::{BinaryReader, Catch, FunctionBody, Operator};

/// A basic block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Block {
    /// The function, counted from the first that the module defines.
    pub(super) func: u32,
    /// Offset of its first operator in the code section; there its counter goes.
    pub(super) start: u32,
    /// Where it ends.
    pub(super) end: u32,
}

/// The blocks of all functions of a module, in order of their offsets. Each function has one at least,
/// and its first is entered by calls only.
pub(super) fn of(module: &Module) -> Vec<Block> {
    let mut blocks = Vec::new();
    for func in 0..module.info().bodies.len() {
        Finder::new(&mut blocks, func as u32).function(&body(module, func));
    }
    blocks
}

/// A function's body, whose positions are offsets in the code section.
pub(super) fn body(module: &Module, func: usize) -> FunctionBody<'_> {
    let info = module.info();
    let range = info.bodies[DefinedFuncIndex::from_usize(func)].clone();
    let offset = range.start - info.code_section;
    FunctionBody::new(BinaryReader::new(&module.bytes()[range], offset as u64))
}

/// Calls `visit` with each operator of a function, its offset, and that of what follows.
pub(super) fn operators<'a>(
    body: &FunctionBody<'a>,
    mut visit: impl FnMut(&Operator<'a>, u32, u32),
) {
    let mut reader = body.get_operators_reader().expect("the module is valid");
    while !reader.eof() {
        let (operator, offset) = reader.read_with_offset().expect("the module is valid");
        visit(&operator, offset as u32, reader.original_position() as u32);
    }
}

/// Where control is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum At {
    /// In the block that was found last.
    Inside,
    /// A block begins with the next operator that does something.
    Before,
    /// Nowhere: this code is never reached.
    Dead,
}

/// A block of any kind that is open, or the function.
struct Frame {
    kind: Kind,
    /// It can be reached.
    live: bool,
    /// Some branch leads to its end.
    targeted: bool,
    /// The end of what is before `else` or `catch` can be reached.
    then_ends: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Function,
    Block,
    Loop,
    If,
    Else,
    Try,
    Catch,
}

/// The label that a handler branches to.
fn label(catch: &Catch) -> u32 {
    match catch {
        Catch::One { label, .. }
        | Catch::OneRef { label, .. }
        | Catch::All { label }
        | Catch::AllRef { label } => *label,
    }
}

struct Finder<'b> {
    blocks: &'b mut Vec<Block>,
    func: u32,
    at: At,
    frames: Vec<Frame>,
}

impl<'b> Finder<'b> {
    fn new(blocks: &'b mut Vec<Block>, func: u32) -> Finder<'b> {
        Finder { blocks, func, at: At::Before, frames: Vec::new() }
    }

    fn function(mut self, body: &FunctionBody<'_>) {
        self.open(Kind::Function);
        let mut first = true;
        operators(body, |operator, offset, next| {
            // Whatever it begins with, a function has a block that only calls enter.
            if std::mem::take(&mut first) {
                self.enter(offset);
            }
            self.operator(operator, offset, next);
        });
    }

    fn operator(&mut self, operator: &Operator<'_>, offset: u32, next: u32) {
        match operator {
            Operator::Block { .. } => self.open(Kind::Block),
            Operator::Loop { .. } => {
                self.leave(offset, At::Before);
                self.open(Kind::Loop);
            }
            Operator::If { .. } => {
                self.enter(offset);
                self.leave(next, At::Before);
                self.open(Kind::If);
            }
            // A handler enters the block that its label leads to.
            Operator::TryTable { try_table } => {
                let catches = try_table.catches.iter();
                catches.for_each(|catch| self.branch(label(catch)));
                self.open(Kind::Block);
            }
            Operator::Try { .. } => self.open(Kind::Try),
            Operator::Catch { .. } | Operator::CatchAll => self.otherwise(offset, Kind::Catch),
            Operator::Else => self.otherwise(offset, Kind::Else),
            Operator::End | Operator::Delegate { .. } => self.end(offset, next),
            Operator::Br { relative_depth } => {
                self.branch(*relative_depth);
                self.last(offset, next, At::Dead);
            }
            Operator::BrIf { relative_depth }
            | Operator::BrOnNull { relative_depth }
            | Operator::BrOnNonNull { relative_depth }
            | Operator::BrOnCast { relative_depth, .. }
            | Operator::BrOnCastFail { relative_depth, .. } => {
                self.branch(*relative_depth);
                self.last(offset, next, At::Before);
            }
            Operator::BrTable { targets } => {
                let all = targets.targets().map_while(Result::ok).chain([targets.default()]);
                all.for_each(|depth| self.branch(depth));
                self.last(offset, next, At::Dead);
            }
            Operator::Return
            | Operator::Unreachable
            | Operator::Throw { .. }
            | Operator::ThrowRef
            | Operator::Rethrow { .. }
            | Operator::ReturnCall { .. }
            | Operator::ReturnCallIndirect { .. }
            | Operator::ReturnCallRef { .. } => self.last(offset, next, At::Dead),
            Operator::Call { .. } | Operator::CallIndirect { .. } | Operator::CallRef { .. } => {
                self.last(offset, next, At::Before);
            }
            _ => self.enter(offset),
        }
    }

    fn open(&mut self, kind: Kind) {
        let live = self.at != At::Dead;
        self.frames.push(Frame { kind, live, targeted: false, then_ends: false });
    }

    fn otherwise(&mut self, offset: u32, kind: Kind) {
        let then_ends = self.at != At::Dead;
        let live = self.frames.last().is_some_and(|frame| frame.live);
        self.leave(offset, At::Before);
        self.at = if live { At::Before } else { At::Dead };
        if let Some(frame) = self.frames.last_mut() {
            frame.kind = kind;
            frame.then_ends |= then_ends;
        }
    }

    fn end(&mut self, offset: u32, next: u32) {
        let Some(frame) = self.frames.pop() else { return };
        let joined = match frame.kind {
            Kind::Function | Kind::Block | Kind::Try => frame.targeted,
            Kind::Loop => false,
            Kind::If => frame.live,
            Kind::Else | Kind::Catch => frame.then_ends || frame.targeted || self.at != At::Dead,
        };
        if joined && frame.live {
            self.leave(offset, At::Before);
            self.at = At::Before;
        }
        if frame.kind == Kind::Function {
            // The function's own end does something: it returns.
            self.last(offset, next, At::Dead);
        }
    }

    /// There is a branch to the frame that is so far out.
    fn branch(&mut self, depth: u32) {
        let frame = self.frames.len().checked_sub(depth as usize + 1);
        if let Some(index) = frame.filter(|_| self.at != At::Dead) {
            self.frames[index].targeted = true;
        }
    }

    /// The operator at `offset` is the last of its block.
    fn last(&mut self, offset: u32, next: u32, then: At) {
        self.enter(offset);
        self.leave(next, then);
    }

    /// An operator that does something is at `offset`.
    fn enter(&mut self, offset: u32) {
        if self.at == At::Before {
            self.blocks.push(Block { func: self.func, start: offset, end: offset });
            self.at = At::Inside;
        }
    }

    /// The block, if there is one, ends at `offset`.
    fn leave(&mut self, offset: u32, then: At) {
        if self.at == At::Inside
            && let Some(block) = self.blocks.last_mut()
        {
            block.end = offset;
        }
        if self.at != At::Dead {
            self.at = then;
        }
    }
}
