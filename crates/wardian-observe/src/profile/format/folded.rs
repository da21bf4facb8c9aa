//! Folded stacks: `outer;inner value`.

use crate::Profile;
use crate::profile::tree::CallTree;
use std::io::{self, Write};

pub(super) fn write(profile: &Profile, value: usize, writer: &mut impl Write) -> io::Result<()> {
    let mut lines = lines(profile, value);
    lines.sort();
    for line in lines {
        writeln!(writer, "{line}")?;
    }
    Ok(())
}

/// The lines, in no order.
pub(super) fn lines(profile: &Profile, value: usize) -> Vec<String> {
    let tree = CallTree::new(profile);
    let names: Vec<String> = profile.functions().iter().map(|f| clean(&f.name)).collect();
    let mut lines = Vec::new();
    for node in tree.nodes.iter().filter(|node| node.own[value] > 0) {
        let mut stack = vec![names[node.function].as_str()];
        let mut at = node.parent;
        while let Some(parent) = at {
            stack.push(&names[tree.nodes[parent].function]);
            at = tree.nodes[parent].parent;
        }
        stack.reverse();
        lines.push(format!("{} {}", stack.join(";"), node.own[value]));
    }
    lines
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
