//! Folded stacks: `outer;inner value`.
//!
//! All lines together can be far larger than the profile, so there is one at a time.

use crate::Profile;
use crate::profile::tree::CallTree;
use std::fmt::Write as _;
use std::io::{self, Write};

pub(super) fn write(profile: &Profile, value: usize, writer: &mut impl Write) -> io::Result<()> {
    let tree = CallTree::new(profile);
    let own: Vec<u64> = tree.nodes.iter().map(|node| node.own[value]).collect();
    each_line(profile, &tree, &own, |line| writeln!(writer, "{line}"))
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
