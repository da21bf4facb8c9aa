//! What was executed, in terms of functions, files and lines.

use super::blocks::{self, Block};
use super::branches::Branch;
use crate::library::is_library_file;
use std::collections::{BTreeMap, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Write};
use std::sync::Arc;
use wardian::{
    Module,
    inspect::{DebugInfo, SourceLocation},
};

/// What a guest executed: see [`crate::CoverageMap::report`].
#[derive(Clone, Debug, Default)]
pub struct CoverageReport {
    /// What the program is called.
    pub program: String,
    /// All functions that the module defines, by their index.
    pub functions: Vec<FunctionCoverage>,
    /// All files that debug information names lines of, by their path; none without it.
    pub files: Vec<FileCoverage>,
    /// Whether lines are known, and why not.
    pub debug_info: DebugInfo,
}

/// A function, or one of several that a generic one was made into.
#[derive(Clone, Debug)]
pub struct FunctionCoverage {
    /// Its index in the module.
    pub index: u32,
    /// Its name, demangled.
    pub name: String,
    /// Where it begins: file and line.
    pub place: Option<(Arc<str>, u32)>,
    /// How often it was called.
    pub calls: u64,
    /// Basic blocks that were entered.
    pub blocks: Share,
    /// Bytes of code in those.
    pub bytes: Share,
    /// How often each of its branches had each outcome, if they were counted, in the order of the code: as
    /// [`BranchCoverage::outcomes`].
    pub branches: Vec<Vec<u64>>,
}

/// The lines of a file that there is code for.
#[derive(Clone, Debug)]
pub struct FileCoverage {
    /// Its path, as the compiler recorded it.
    pub path: Arc<str>,
    /// How often each line was executed. A line's count is that of the block with the highest one, of all
    /// that have code of this line, in each copy of the code; of several copies (generic functions,
    /// inlining) the sum.
    pub lines: BTreeMap<u32, u64>,
    /// The branches of its lines, if they were counted, in the order of the code: see
    /// [`crate::CoverageMap::instrument_branches`].
    pub branches: Vec<BranchCoverage>,
}

/// An operator that chooses how control or a value continues; of several copies of code the sum.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BranchCoverage {
    /// Its line.
    pub line: u32,
    /// How often it had each outcome: of a condition, that it was zero, and that it was not; of a table each target, the
    /// default one last.
    pub outcomes: Vec<u64>,
}

/// A part of a whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Share {
    /// What was executed.
    pub hit: u64,
    /// What there is.
    pub all: u64,
}

impl CoverageReport {
    /// Functions that were called.
    pub fn functions_hit(&self) -> Share {
        Share::count(self.functions.iter().map(|function| function.calls))
    }

    /// Basic blocks that were entered.
    pub fn blocks_hit(&self) -> Share {
        self.functions.iter().fold(Share::default(), |sum, function| sum.plus(function.blocks))
    }

    /// Source lines that were executed.
    pub fn lines_hit(&self) -> Share {
        self.files.iter().fold(Share::default(), |sum, file| sum.plus(file.lines_hit()))
    }

    /// Outcomes of branches that were had, of those that were counted.
    pub fn branches_hit(&self) -> Share {
        let branches = self.functions.iter().flat_map(|function| function.branches.iter());
        Share::count(branches.flatten().copied())
    }

    /// Leaves out source files, with the functions that begin in them, whose paths this does not choose.
    pub fn retain_files(&mut self, choose: impl Fn(&str) -> bool) {
        self.files.retain(|file| choose(&file.path));
        self.functions.retain(|f| f.place.as_ref().is_none_or(|(path, _)| choose(path)));
    }

    /// Writes it as lcov does: for `genhtml`, editors, and services that show coverage. Only source files that are
    /// there are in it, since `genhtml` wants to read them all; gives how many are left out. If none is there, the
    /// functions are lines of [`CoverageReport::listing`], which is to be in a file of this path.
    ///
    /// # Errors
    ///
    /// Those of `writer`; or there is neither a function nor a file.
    pub fn write_lcov(&self, writer: &mut impl Write, listing: &str) -> io::Result<usize> {
        super::lcov::write(self, writer, listing)
    }

    /// The functions as text, one on each line. None if there are source files to show instead.
    pub fn listing(&self) -> Option<String> {
        super::lcov::listing(self)
    }

    /// Writes a page for browsers, in one file that fetches nothing. It has the text of the lines, if the
    /// files are there.
    ///
    /// # Errors
    ///
    /// Those of `writer`.
    pub fn write_html(&self, writer: &mut impl Write) -> io::Result<()> {
        super::html::write(self, writer)
    }

    /// A table of at most `top` files, or functions if there are no lines, for a terminal of so many
    /// columns: first those of which most was not executed.
    pub fn table(&self, top: usize, width: usize) -> String {
        super::table::table(self, top, width)
    }
}

impl FileCoverage {
    /// Whether it is a file of a language's library, of a toolchain, or of a package that was downloaded, by its
    /// path.
    pub fn is_library(&self) -> bool {
        is_library_file(&self.path)
    }

    /// Outcomes of branches that were had, of those that were counted.
    pub fn branches_hit(&self) -> Share {
        Share::count(self.branches.iter().flat_map(|branch| branch.outcomes.iter().copied()))
    }

    /// Lines that were executed.
    pub fn lines_hit(&self) -> Share {
        Share::count(self.lines.values().copied())
    }
}

impl Share {
    /// How much it is in percent; of nothing all.
    pub fn percent(self) -> f64 {
        if self.all == 0 { 100.0 } else { self.hit as f64 * 100.0 / self.all as f64 }
    }

    fn count(counts: impl Iterator<Item = u64>) -> Share {
        counts.fold(Share::default(), |mut share, count| {
            share.add(count, 1);
            share
        })
    }

    fn add(&mut self, count: u64, amount: u64) {
        self.all += amount;
        self.hit += if count > 0 { amount } else { 0 };
    }

    pub(super) fn plus(self, other: Share) -> Share {
        Share { hit: self.hit + other.hit, all: self.all + other.all }
    }
}

/// The report of counts: one for each block, then those of branches.
pub(super) fn build(
    module: &Module,
    (blocks, branches): (&[Block], &[Branch]),
    counts: &[u64],
    program: &str,
) -> CoverageReport {
    let mut lines = Lines::default();
    let mut functions = Vec::new();
    let mut first = 0;
    for func in 0..module.info().bodies.len() {
        let len = blocks[first..].iter().take_while(|block| block.func as usize == func).count();
        let all = first..first + len;
        first = all.end;
        let mut covered = function(module, func, &blocks[all.clone()], &counts[all], &mut lines);
        let of = branches.partition_point(|branch| (branch.func as usize) < func);
        let of = branches[of..].iter().take_while(|branch| branch.func as usize == func);
        let outcomes = |b: &Branch| counts[b.counter..][..b.outcomes as usize].to_vec();
        covered.branches = of.clone().map(outcomes).collect();
        functions.push(covered);
        lines.add_branches(module, of, counts);
    }
    let debug_info = module.debug_info();
    CoverageReport { program: program.to_owned(), functions, files: lines.files(), debug_info }
}

fn function(
    module: &Module,
    func: usize,
    blocks: &[Block],
    counts: &[u64],
    lines: &mut Lines,
) -> FunctionCoverage {
    let index = module.info().imported_functions + func as u32;
    let mut covered = FunctionCoverage {
        index,
        name: module.display_name(index),
        place: None,
        calls: counts.first().copied().unwrap_or_default(),
        blocks: Share::default(),
        bytes: Share::default(),
        branches: Vec::new(),
    };
    for (block, count) in blocks.iter().zip(counts) {
        covered.blocks.add(*count, 1);
        covered.bytes.add(*count, u64::from(block.end - block.start));
    }
    if module.info().customs.iter().any(|custom| custom.name == ".debug_line") {
        let mut at = 0;
        blocks::operators(&blocks::body(module, func), |_, offset, _| {
            while blocks.get(at).is_some_and(|block| block.end <= offset) {
                at += 1;
            }
            let Some(block) = blocks.get(at).filter(|block| block.start <= offset) else { return };
            let frames = module.source_locations(offset);
            if covered.place.is_none() {
                covered.place = frames.last().and_then(|frame| lines.place(frame));
            }
            debug_assert!(block.start < block.end);
            lines.add(&frames, counts[at]);
        });
        lines.end_of_function();
    }
    covered
}

/// Files and their lines, while they are gathered.
#[derive(Default)]
struct Lines {
    paths: HashMap<String, Arc<str>>,
    all: BTreeMap<Arc<str>, BTreeMap<u32, u64>>,
    /// By file, line, place among the branches of a line and number of outcomes.
    branches: BTreeMap<(Arc<str>, u32, u32, usize), Vec<u64>>,
    /// Of the function that is being looked at: the highest count by file, line, and through which calls
    /// the line was inlined.
    function: HashMap<(Arc<str>, u32, u64), u64>,
}

impl Lines {
    fn add(&mut self, frames: &[SourceLocation], count: u64) {
        for (depth, frame) in frames.iter().enumerate() {
            let Some((path, line)) = self.place(frame) else { continue };
            let mut through = DefaultHasher::new();
            for outer in &frames[depth + 1..] {
                (&outer.file, outer.line, outer.column).hash(&mut through);
            }
            let highest = self.function.entry((path, line, through.finish())).or_default();
            *highest = count.max(*highest);
        }
    }

    /// Adds the branches of a function, at the innermost line of each.
    fn add_branches<'b>(
        &mut self,
        module: &Module,
        branches: impl Iterator<Item = &'b Branch>,
        counts: &[u64],
    ) {
        // By file, line, and through which calls it was inlined.
        let mut of_line: HashMap<(Arc<str>, u32, u64), u32> = HashMap::new();
        for branch in branches {
            let frames = module.source_locations(branch.offset);
            let Some((path, line)) = frames.first().and_then(|frame| self.place(frame)) else {
                continue;
            };
            let mut through = DefaultHasher::new();
            for outer in &frames[1..] {
                (&outer.file, outer.line, outer.column).hash(&mut through);
            }
            let number = of_line.entry((path.clone(), line, through.finish())).or_default();
            let outcomes = branch.outcomes as usize;
            let key = (path, line, *number, outcomes);
            *number += 1;
            let sums = self.branches.entry(key).or_insert_with(|| vec![0; outcomes]);
            for (sum, count) in sums.iter_mut().zip(&counts[branch.counter..]) {
                *sum = sum.saturating_add(*count);
            }
        }
    }

    fn end_of_function(&mut self) {
        for ((path, line, _), count) in self.function.drain() {
            let sum = self.all.entry(path).or_default().entry(line).or_default();
            *sum = sum.saturating_add(count);
        }
    }

    fn place(&mut self, frame: &SourceLocation) -> Option<(Arc<str>, u32)> {
        let line = frame.line.filter(|line| *line > 0)?;
        if let Some(path) = self.paths.get(&frame.file) {
            return Some((path.clone(), line));
        }
        let path: Arc<str> = frame.file.as_str().into();
        self.paths.insert(frame.file.clone(), path.clone());
        Some((path, line))
    }

    fn files(self) -> Vec<FileCoverage> {
        let mut branches: HashMap<Arc<str>, Vec<BranchCoverage>> = HashMap::new();
        for ((path, line, ..), outcomes) in self.branches {
            branches.entry(path).or_default().push(BranchCoverage { line, outcomes });
        }
        let file = |(path, lines): (Arc<str>, _)| {
            let branches = branches.remove(&path).unwrap_or_default();
            FileCoverage { path, lines, branches }
        };
        self.all.into_iter().map(file).collect()
    }
}
