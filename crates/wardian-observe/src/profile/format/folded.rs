//! Folded stacks: `outer;inner value`.
//!
//! All lines together can be far larger than the profile, so there is one at a time; and of deep programs not all: what is
//! narrow is part of its caller where the lines would be more than a limit.

use crate::Profile;
use crate::profile::tree::CallTree;
use std::fmt::Write as _;
use std::io::{self, Write};

/// Bytes of all lines together.
const MOST: usize = 64 << 20;

pub(super) fn write(profile: &Profile, value: usize, writer: &mut impl Write) -> io::Result<()> {
    let tree = CallTree::new(profile);
    let amounts = amounts(profile, &tree, value, 0, MOST);
    each_line(profile, &tree, &amounts, |line| writeln!(writer, "{line}"))
}

/// How much of a quantity each line has. What has less than `least` is part of its caller; and more is, if the lines would
/// have more than `most` bytes.
pub(super) fn amounts(
    profile: &Profile,
    tree: &CallTree,
    value: usize,
    mut least: u64,
    most: usize,
) -> Vec<u64> {
    let lengths = lengths(profile, tree);
    let all = tree.roots_total(value);
    loop {
        let amounts = tree.without_narrow(value, least);
        let lines = amounts.iter().zip(&lengths).filter(|(amount, _)| **amount > 0);
        let size = lines.fold(0usize, |size, (_, length)| size.saturating_add(*length));
        // In the end there are only calls that nobody made.
        if size <= most || least >= all {
            return amounts;
        }
        least = least.saturating_mul(2).max(all / 1_000_000).max(1);
    }
}

/// About how long the line of each node is.
fn lengths(profile: &Profile, tree: &CallTree) -> Vec<usize> {
    let names = names(profile);
    let mut lengths: Vec<usize> = Vec::with_capacity(tree.nodes.len());
    for node in &tree.nodes {
        let callers = node.parent.map_or(0, |parent| lengths[parent]);
        lengths.push(callers.saturating_add(names[node.function].len() + 1));
    }
    lengths
}

/// Visits the lines of the stacks that have some of an amount, callers before callees, by names.
pub(super) fn each_line(
    profile: &Profile,
    tree: &CallTree,
    amounts: &[u64],
    mut visit: impl FnMut(&str) -> io::Result<()>,
) -> io::Result<()> {
    let names = names(profile);
    // Without recursion, for stacks are deep: each node with the length of its callers' line.
    let (mut children, roots) = tree.children();
    let mut work: Vec<(usize, usize)> = roots.into_iter().map(|root| (root, 0)).collect();
    let by_name = |at: usize| &names[tree.nodes[at].function];
    // Backwards, since what is put on the pile last comes first.
    work.sort_by(|a, b| by_name(b.0).cmp(by_name(a.0)));
    let mut line = String::new();
    while let Some((at, callers)) = work.pop() {
        line.truncate(callers);
        if callers > 0 {
            line.push(';');
        }
        line.push_str(by_name(at));
        let stack = line.len();
        if amounts[at] > 0 {
            write!(line, " {}", amounts[at]).expect("strings take all");
            visit(&line)?;
            line.truncate(stack);
        }
        let mut callees = std::mem::take(&mut children[at]);
        callees.sort_by(|a, b| by_name(*b).cmp(by_name(*a)));
        work.extend(callees.into_iter().map(|callee| (callee, stack)));
    }
    Ok(())
}

/// The functions' names as they are written in lines.
pub(super) fn names(profile: &Profile) -> Vec<String> {
    profile.functions().iter().map(|f| clean(&f.name)).collect()
}

/// A name without what has a meaning in the format.
fn clean(name: &str) -> String {
    let clean = |c: char| match c {
        ';' => ':',
        c if c.is_control() => ' ',
        c => c,
    };
    name.chars().map(clean).collect()
}
