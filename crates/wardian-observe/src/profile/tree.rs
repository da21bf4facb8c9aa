//! The stacks of a profile as a tree of functions: without places, with inlined functions as calls.

use super::kind::MAX_VALUES;
use super::model::Profile;
use std::collections::HashMap;

/// A tree of calls. Parents stand before their children.
#[derive(Debug, Default)]
pub(crate) struct CallTree {
    pub(crate) nodes: Vec<CallNode>,
    /// For each stack of the profile the node of its top.
    pub(crate) of_stack: Vec<usize>,
}

#[derive(Debug)]
pub(crate) struct CallNode {
    pub(crate) parent: Option<usize>,
    pub(crate) function: usize,
    /// Measured right here.
    pub(crate) own: [u64; MAX_VALUES],
    /// Measured here and in callees.
    pub(crate) total: [u64; MAX_VALUES],
}

impl CallTree {
    pub(crate) fn new(profile: &Profile) -> CallTree {
        let mut tree = CallTree::default();
        let mut known = HashMap::new();
        for stack in &profile.stacks {
            let mut at = stack.parent.map(|parent| tree.of_stack[parent]);
            for line in profile.locations[stack.location].lines.iter().rev() {
                let nodes = &mut tree.nodes;
                at = Some(*known.entry((at, line.function)).or_insert_with(|| {
                    let zero = [0; MAX_VALUES];
                    let function = line.function;
                    nodes.push(CallNode { parent: at, function, own: zero, total: zero });
                    nodes.len() - 1
                }));
            }
            let top = at.expect("a location has a function");
            add(&mut tree.nodes[top].own, &stack.values);
            tree.of_stack.push(top);
        }
        for at in (0..tree.nodes.len()).rev() {
            let own = tree.nodes[at].own;
            add(&mut tree.nodes[at].total, &own);
            let total = tree.nodes[at].total;
            if let Some(parent) = tree.nodes[at].parent {
                add(&mut tree.nodes[parent].total, &total);
            }
        }
        tree
    }

    /// What was measured of a quantity in all.
    pub(crate) fn roots_total(&self, value: usize) -> u64 {
        let roots = self.nodes.iter().filter(|node| node.parent.is_none());
        roots.fold(0, |sum: u64, node| sum.saturating_add(node.total[value]))
    }

    /// What was measured of a quantity right in each node, where nodes that have less than so much in
    /// all are taken to be part of their callers.
    pub(crate) fn without_narrow(&self, value: usize, least: u64) -> Vec<u64> {
        let mut own: Vec<u64> = self.nodes.iter().map(|node| node.own[value]).collect();
        for (at, node) in self.nodes.iter().enumerate().rev() {
            if let Some(parent) = node.parent.filter(|_| node.total[value] < least) {
                own[parent] = own[parent].saturating_add(std::mem::take(&mut own[at]));
            }
        }
        own
    }

    /// The children of each node, and the nodes that are nobody's.
    pub(crate) fn children(&self) -> (Vec<Vec<usize>>, Vec<usize>) {
        let mut children = vec![Vec::new(); self.nodes.len()];
        let mut roots = Vec::new();
        for (at, node) in self.nodes.iter().enumerate() {
            match node.parent {
                Some(parent) => children[parent].push(at),
                None => roots.push(at),
            }
        }
        (children, roots)
    }

    /// For each node whether the same function is further out in its stack: then what was measured here
    /// is in that one's total already.
    pub(crate) fn recursive(&self, functions: usize) -> Vec<bool> {
        // How often each function is open on the way from the root to the current node. Nodes are
        // visited depth first, without recursion, for stacks are deep.
        let (children, roots) = self.children();
        let mut work: Vec<_> = roots.into_iter().map(|root| (root, false)).collect();
        let mut open = vec![0u32; functions];
        let mut recursive = vec![false; self.nodes.len()];
        while let Some((at, left)) = work.pop() {
            let function = self.nodes[at].function;
            if left {
                open[function] -= 1;
                continue;
            }
            recursive[at] = open[function] > 0;
            open[function] += 1;
            work.push((at, true));
            work.extend(children[at].iter().map(|child| (*child, false)));
        }
        recursive
    }
}

pub(crate) fn add(to: &mut [u64; MAX_VALUES], what: &[u64; MAX_VALUES]) {
    to.iter_mut().zip(what).for_each(|(to, more)| *to = to.saturating_add(*more));
}
