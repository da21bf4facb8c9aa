//! Trees of functions that throw and catch with the legacy instructions, which generators of modules do not emit.
//!
//! `tries_text` writes a tree as a module twice: with these instructions, and translated to `try_table`.

use crate::random::Random;

/// The type of a value. Each function has a local of each, which values come from and go to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ty {
    I32,
    I64,
    F32,
    F64,
    V128,
}
use Ty::{F32, F64, I32, I64, V128};

/// The results of functions, by their type. All take a depth (i32) and a value (i64).
pub(crate) const RESULTS: [&[Ty]; 4] =
    [&[I64], &[I64, F64, I32], &[V128, I64], &[I64, I64, I64, I64, I64, I64, I64, I32, I64, F64]];

/// A module.
pub(crate) struct Tree {
    /// What tags carry. The first is imported.
    pub(crate) tags: Vec<Vec<Ty>>,
    /// The types of all functions. The first is imported, and has no body.
    pub(crate) types: Vec<usize>,
    pub(crate) bodies: Vec<Body>,
}

/// Steps, with values on the stack before and after them.
pub(crate) struct Body {
    /// Whether the values that it begins with stay beneath all steps.
    pub(crate) late: bool,
    pub(crate) steps: Vec<Step>,
}

/// Something that leaves the stack as it was.
pub(crate) enum Step {
    /// Writes down in a global that it was reached.
    Mark(usize),
    /// Gives the local of a type another value.
    Set(Ty, usize),
    Store(usize),
    Trap(Trap),
    Throw(usize),
    /// What the handler of this block has caught.
    Rethrow(usize),
    Return,
    /// To the first of them, or chosen by a value. All take the same types.
    Branch(Vec<usize>, Vec<Ty>, Choice),
    Call(Callee),
    /// Only if a bit of a value is set.
    When(usize, Box<Step>),
    /// With values of these types beneath.
    Over(Vec<Ty>, Box<Step>),
    Block(Block),
}

#[derive(Clone, Copy)]
pub(crate) enum Trap {
    Unreachable,
    Division,
    Memory,
}

#[derive(Clone, Copy)]
pub(crate) enum Choice {
    Always,
    If(usize),
    Table,
}

pub(crate) struct Callee {
    /// The function, or the table's element if it is called through the table.
    pub(crate) number: usize,
    /// A type of functions. Of a callee by table it need not be the right one.
    pub(crate) ty: usize,
    pub(crate) indirect: bool,
    pub(crate) tail: bool,
}

pub(crate) struct Block {
    /// Its name, of which a function has one each.
    pub(crate) label: usize,
    pub(crate) params: Vec<Ty>,
    pub(crate) results: Vec<Ty>,
    pub(crate) body: Body,
    pub(crate) kind: Kind,
}

pub(crate) enum Kind {
    Plain,
    Loop,
    /// With the other body.
    If(usize, Body),
    /// With handlers of tags, and of everything where there is none.
    Try(Vec<(Option<usize>, Body)>),
    /// To the block of this label; without one, to the caller.
    Delegate(Option<usize>),
}

/// A tree from a seed.
pub(crate) fn tree(seed: u64) -> Tree {
    let mut random = Random::new(seed, "tries");
    let mut tags = vec![vec![I32, I64], vec![]];
    for _ in 0..1 + random.below(3) {
        tags.push(types(&mut random, 5, 6));
    }
    let count = 3 + random.below(5);
    let mut function_types = vec![0, 0];
    function_types.extend((2..count).map(|_| random.below(RESULTS.len())));
    let mut bodies = Vec::new();
    for own in &function_types[1..] {
        let mut maker = Maker {
            random: &mut random,
            tags: tags.len(),
            types: &function_types,
            own: *own,
            labels: 0,
            left: 70,
            scopes: Vec::new(),
        };
        bodies.push(maker.body(0));
    }
    Tree { tags, types: function_types, bodies }
}

/// At most so many types, of the first so many.
fn types(random: &mut Random, among: usize, most: usize) -> Vec<Ty> {
    let all = [I32, I64, F64, F32, V128];
    (0..random.below(most)).map(|_| all[random.below(among)]).collect()
}

/// A block around what is made.
struct Scope {
    label: usize,
    /// What a branch to it takes.
    takes: Vec<Ty>,
    /// Whether this is inside of one of its handlers.
    handles: bool,
}

struct Maker<'a> {
    random: &'a mut Random,
    tags: usize,
    types: &'a [usize],
    own: usize,
    labels: usize,
    /// How many steps the function may still have.
    left: usize,
    scopes: Vec<Scope>,
}

/// How deep blocks are nested.
const DEPTH: usize = 6;

impl Maker<'_> {
    fn body(&mut self, depth: usize) -> Body {
        let count = if depth < 2 { 3 + self.random.below(4) } else { self.random.below(4) };
        let mut steps = Vec::new();
        for _ in 0..count {
            if self.left == 0 {
                break;
            }
            self.left -= 1;
            steps.push(self.step(depth));
        }
        Body { late: self.random.below(3) == 0, steps }
    }

    fn step(&mut self, depth: usize) -> Step {
        let k = self.random.below(1000);
        match self.random.below(20) {
            0 | 1 => Step::Mark(k),
            2 => Step::Set([I32, I64, F32, F64, V128][k % 5], k),
            3 => Step::Store(k),
            4..=6 => self.call(),
            7..=9 => self.end(),
            10 => Step::When(k % 40, Box::new(self.end())),
            _ if depth == DEPTH => Step::Mark(k),
            _ => {
                let block = Step::Block(self.block(depth + 1));
                if k.is_multiple_of(3) {
                    Step::Over(types(self.random, 5, 4), Box::new(block))
                } else {
                    block
                }
            }
        }
    }

    /// Something that ends the steps, mostly under a condition.
    fn end(&mut self) -> Step {
        let k = self.random.below(40);
        let handlers: Vec<usize> =
            self.scopes.iter().filter(|s| s.handles).map(|s| s.label).collect();
        let end = match self.random.below(12) {
            0..=4 => Step::Throw(self.random.below(self.tags)),
            5..=7 if !handlers.is_empty() => {
                Step::Rethrow(handlers[self.random.below(handlers.len())])
            }
            8 => Step::Trap([Trap::Unreachable, Trap::Division, Trap::Memory][k % 3]),
            9 => Step::Return,
            _ => return self.branch(k),
        };
        // The traps are rare, since nothing goes on after them.
        match (&end, self.random.below(6)) {
            (Step::Trap(_), _) => Step::When(k, Box::new(Step::When(k + 7, Box::new(end)))),
            (_, 0) => end,
            _ => Step::When(k, Box::new(end)),
        }
    }

    fn branch(&mut self, k: usize) -> Step {
        if self.scopes.is_empty() {
            return Step::Mark(k);
        }
        let target = &self.scopes[self.random.below(self.scopes.len())];
        let takes = target.takes.clone();
        let same = self.scopes.iter().filter(|s| s.takes == takes).map(|s| s.label);
        let (labels, choice) = match k % 4 {
            0 => (same.collect(), Choice::Table),
            1 => (vec![target.label], Choice::Always),
            _ => (vec![target.label], Choice::If(k)),
        };
        let branch = Step::Branch(labels, takes, choice);
        if matches!(choice, Choice::If(_)) { branch } else { Step::When(k + 3, Box::new(branch)) }
    }

    fn call(&mut self) -> Step {
        let number = self.random.below(self.types.len());
        let indirect = self.random.below(3) == 0;
        let wrong = indirect && self.random.below(24) == 0;
        let ty = if wrong { self.random.below(RESULTS.len()) } else { self.types[number] };
        let tail = self.random.below(8) == 0 && RESULTS[ty] == RESULTS[self.own];
        // Some elements are of another type, null, or not there.
        let number =
            if indirect && self.random.below(20) == 0 { self.types.len() + ty } else { number };
        let call = Step::Call(Callee { number, ty, indirect, tail });
        if self.random.below(3) == 0 {
            Step::Over(types(self.random, 5, 5), Box::new(call))
        } else {
            call
        }
    }

    fn block(&mut self, depth: usize) -> Block {
        let label = self.labels;
        self.labels += 1;
        let (params, results) = (types(self.random, 5, 3), types(self.random, 5, 3));
        let kind = self.random.below(12);
        let target = self.target();
        let takes = if kind == 0 { params.clone() } else { results.clone() };
        self.scopes.push(Scope { label, takes, handles: false });
        let body = self.body(depth);
        let kind = match kind {
            0 => Kind::Loop,
            1 => Kind::Plain,
            2 => Kind::If(self.random.below(40), self.body(depth)),
            3..=5 => Kind::Delegate(target),
            _ => Kind::Try(self.handlers(depth)),
        };
        self.scopes.pop();
        Block { label, params, results, body, kind }
    }

    /// Where to delegate.
    fn target(&mut self) -> Option<usize> {
        let chosen = self.random.below(self.scopes.len() + 1);
        self.scopes.get(chosen).map(|s| s.label)
    }

    fn handlers(&mut self, depth: usize) -> Vec<(Option<usize>, Body)> {
        if let Some(scope) = self.scopes.last_mut() {
            scope.handles = true;
        }
        let mut handlers = Vec::new();
        for _ in 0..self.random.below(4) {
            // The same tag twice is valid; the first is taken.
            handlers.push((Some(self.random.below(self.tags)), self.body(depth)));
        }
        if self.random.below(3) == 0 {
            handlers.push((None, self.body(depth)));
        }
        handlers
    }
}
