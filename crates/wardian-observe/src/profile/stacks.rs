//! Stacks of places with what was measured at their tops, in bounded memory.

use super::kind::MAX_VALUES;
use crate::symbols::Place;
use std::collections::HashMap;

/// A tree of stacks. Node 0 is the root, an empty stack.
#[derive(Debug)]
pub(crate) struct StackTable {
    pub(crate) nodes: Vec<StackNode>,
    children: HashMap<(u32, Place), u32>,
    max_nodes: usize,
    /// How many stacks were not given a node of their own.
    pub(crate) overflow: u64,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct StackNode {
    pub(crate) parent: u32,
    pub(crate) place: Place,
    pub(crate) values: [u64; MAX_VALUES],
}

pub(crate) const ROOT: u32 = 0;

impl StackTable {
    /// A table of so many nodes at most, beside the root and one `<other>` for each of them.
    pub(crate) fn new(max_nodes: usize) -> StackTable {
        let root = StackNode { parent: ROOT, place: Place::Other, values: [0; MAX_VALUES] };
        StackTable { nodes: vec![root], children: HashMap::new(), max_nodes, overflow: 0 }
    }

    /// The stack with one more place. When all nodes are used up it is that of an `<other>`, which has
    /// no further ones.
    pub(crate) fn child(&mut self, parent: u32, place: Place) -> u32 {
        if let Some(known) = self.children.get(&(parent, place)) {
            return *known;
        }
        let full = self.nodes.len() > self.max_nodes;
        if full && place != Place::Other {
            if parent != ROOT && self.nodes[parent as usize].place == Place::Other {
                return parent;
            }
            return self.child(parent, Place::Other);
        }
        let node = self.nodes.len() as u32;
        self.nodes.push(StackNode { parent, place, values: [0; MAX_VALUES] });
        self.children.insert((parent, place), node);
        node
    }

    /// The stack of these places, the outermost first. Counts it if there was no room for it.
    pub(crate) fn stack(&mut self, places: impl IntoIterator<Item = Place>) -> u32 {
        let node = places.into_iter().fold(ROOT, |at, place| self.child(at, place));
        self.overflow += u64::from(node != ROOT && self.get(node).place == Place::Other);
        node
    }

    /// What was added to the values since they were `before`: the stacks of which that is something, with those that lead
    /// to them, and for each node which of the new ones it is; others are the root.
    pub(crate) fn since(&self, before: &[[u64; MAX_VALUES]]) -> (StackTable, Vec<u32>) {
        let added = |node: usize| {
            let earlier = before.get(node).copied().unwrap_or_default();
            let mut values = self.nodes[node].values;
            for (value, earlier) in values.iter_mut().zip(earlier) {
                *value = value.saturating_sub(earlier);
            }
            values
        };
        let mut is_kept: Vec<bool> = Vec::with_capacity(self.nodes.len());
        is_kept.extend((0..self.nodes.len()).map(|node| added(node) != [0; MAX_VALUES]));
        // A parent stands before its children.
        for node in (1..self.nodes.len()).rev() {
            if is_kept[node] {
                is_kept[self.nodes[node].parent as usize] = true;
            }
        }
        let mut table = StackTable::new(self.max_nodes);
        let mut numbers = vec![ROOT; self.nodes.len()];
        for node in (1..self.nodes.len()).filter(|node| is_kept[*node]) {
            let StackNode { parent, place, .. } = self.nodes[node];
            let parent = numbers[parent as usize];
            numbers[node] = table.nodes.len() as u32;
            table.nodes.push(StackNode { parent, place, values: added(node) });
        }
        (table, numbers)
    }

    pub(crate) fn get(&self, node: u32) -> &StackNode {
        &self.nodes[node as usize]
    }

    /// Adds to one of a stack's values.
    pub(crate) fn add(&mut self, node: u32, value: usize, amount: u64) {
        let value = &mut self.nodes[node as usize].values[value];
        *value = value.saturating_add(amount);
    }

    /// Takes from one of a stack's values.
    pub(crate) fn subtract(&mut self, node: u32, value: usize, amount: u64) {
        let value = &mut self.nodes[node as usize].values[value];
        *value = value.saturating_sub(amount);
    }
}

#[cfg(test)]
mod tests {
    use super::{ROOT, StackTable};
    use crate::symbols::Place;

    #[test]
    fn what_was_added_since_a_time_has_its_callers() {
        let mut table = StackTable::new(100);
        let a = table.stack([Place::Host]);
        let ab = table.stack([Place::Host, Place::Unknown]);
        let c = table.stack([Place::Runtime("c")]);
        table.add(ab, 0, 3);
        table.add(c, 1, 7);
        let before: Vec<_> = table.nodes.iter().map(|node| node.values).collect();
        let new = table.stack([Place::Host, Place::Runtime("d")]);
        table.add(new, 0, 2);
        table.add(c, 1, 1);
        let (since, numbers) = table.since(&before);
        let places: Vec<_> = since.nodes[1..].iter().map(|node| node.place).collect();
        assert_eq!(places, [Place::Host, Place::Runtime("c"), Place::Runtime("d")]);
        assert_eq!(numbers, [ROOT, 1, ROOT, 2, 3]);
        assert_eq!((since.get(3).parent, since.get(3).values[0]), (numbers[a as usize], 2));
        assert_eq!(since.get(2).values[1], 1);
    }

    #[test]
    fn what_there_is_no_room_for_is_other() {
        let mut table = StackTable::new(2);
        let a = table.stack([Place::Host]);
        let ab = table.stack([Place::Host, Place::Unknown]);
        assert_eq!(table.stack([Place::Host]), a);
        assert_eq!(table.get(ab).parent, a);
        // Above the limit there is one `<other>` for each node, and nothing below it.
        let other = table.stack([Place::Runtime("x"), Place::Host, Place::Unknown]);
        assert_eq!((table.get(other).place, table.get(other).parent), (Place::Other, ROOT));
        assert_eq!(table.stack([Place::Runtime("y")]), other);
        assert_ne!(table.stack([Place::Host, Place::Unknown, Place::Host]), other);
        assert_eq!(table.nodes.len(), 1 + 2 + 2);
        assert_eq!(table.overflow, 3);
    }
}
