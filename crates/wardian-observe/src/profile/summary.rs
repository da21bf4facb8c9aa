//! What was measured in each function and line.

use super::kind::MAX_VALUES;
use super::model::Profile;
use super::tree::{CallTree, add};
use std::collections::HashMap;
use std::sync::Arc;

/// A profile without its stacks: made by [`Profile::summary`].
#[derive(Clone, Debug)]
pub struct Summary {
    /// Each function that was seen, in no order.
    pub functions: Vec<FunctionSummary>,
    /// Each source line that was seen, in no order; none without debug information.
    pub lines: Vec<LineSummary>,
}

/// What was measured in a function. Values are in the order of [`Profile::value_types`].
#[derive(Clone, Debug)]
pub struct FunctionSummary {
    /// Which of the profile's functions.
    pub function: usize,
    /// Its name.
    pub name: String,
    /// In the function itself.
    pub own: Vec<u64>,
    /// In the function and all that it called; calls of itself count once.
    pub total: Vec<u64>,
}

/// What was measured in a source line.
#[derive(Clone, Debug)]
pub struct LineSummary {
    /// The file, as the compiler recorded it.
    pub file: Arc<str>,
    /// The line, from 1.
    pub line: u32,
    /// The innermost function there.
    pub function: usize,
    /// In the line itself. Values are in the order of [`Profile::value_types`].
    pub own: Vec<u64>,
}

impl Summary {
    pub(crate) fn new(profile: &Profile) -> Summary {
        let count = profile.value_types().len();
        let zero = [0; MAX_VALUES];
        let tree = CallTree::new(profile);
        let recursive = tree.recursive(profile.functions.len());
        let mut of = vec![(zero, zero); profile.functions.len()];
        for (node, recursive) in tree.nodes.iter().zip(recursive) {
            let (own, total) = &mut of[node.function];
            add(own, &node.own);
            if !recursive {
                add(total, &node.total);
            }
        }
        let functions = of.into_iter().enumerate().map(|(function, (own, total))| {
            let name = profile.functions[function].name.clone();
            let (own, total) = (own[..count].to_vec(), total[..count].to_vec());
            FunctionSummary { function, name, own, total }
        });
        Summary { functions: functions.collect(), lines: lines(profile) }
    }

    /// The first function of this name.
    pub fn function(&self, name: &str) -> Option<&FunctionSummary> {
        self.functions.iter().find(|f| f.name == name)
    }
}

fn lines(profile: &Profile) -> Vec<LineSummary> {
    let count = profile.value_types().len();
    let mut lines: HashMap<(Arc<str>, u32), (usize, [u64; MAX_VALUES])> = HashMap::new();
    for stack in &profile.stacks {
        // Innermost first.
        let Some(top) = profile.locations[stack.location].lines.first() else { continue };
        let (Some(file), Some(line)) = (&top.file, top.line) else { continue };
        let entry = lines.entry((file.clone(), line)).or_insert((top.function, [0; MAX_VALUES]));
        add(&mut entry.1, &stack.values);
    }
    let summary = |((file, line), (function, own)): (_, (_, [u64; MAX_VALUES]))| LineSummary {
        file,
        line,
        function,
        own: own[..count].to_vec(),
    };
    lines.into_iter().map(summary).collect()
}
