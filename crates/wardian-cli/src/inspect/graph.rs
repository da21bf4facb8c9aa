//! Who calls whom: what is shown of it; [`dot`] and [`svg`] say how.

mod dot;
mod svg;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::Path;
use wardian_module::{ItemIndex, Module};
use wardian_observe::{printable, shorten};
use wardian_types::{FuncIndex, TableIndex, TypeIndex};
use wasmparser::{BinaryReader, FunctionBody, Operator};

/// Columns of a name.
const COLUMNS: usize = 300;

/// A format of graphs.
#[derive(Clone, Copy)]
pub(super) enum Format {
    Dot,
    Svg,
}

impl Format {
    /// The format that the ending of a file's name says.
    pub(super) fn of(path: &Path) -> Option<Format> {
        match path.extension()?.to_str()? {
            "dot" | "gv" => Some(Format::Dot),
            "svg" => Some(Format::Svg),
            _ => None,
        }
    }
}

/// A function, or what is called through a table: its number, and the index of the signature.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Node {
    Function(FuncIndex),
    /// Calls through a table.
    Table(TableIndex, TypeIndex),
    /// Calls through references of a type.
    Reference(TypeIndex),
}

impl Node {
    /// Whether its functions are known at run time only.
    fn is_indirect(self) -> bool {
        !matches!(self, Node::Function(_))
    }
}

/// How many places call, by caller and callee.
type Calls = BTreeMap<(Node, Node), usize>;

/// What is shown.
pub(super) struct Graph<'a> {
    module: &'a Module,
    nodes: BTreeSet<Node>,
    calls: Calls,
    /// What was left out, in words.
    left_out: Option<String>,
}

impl<'a> Graph<'a> {
    /// The graph of a module, with so many nodes at most: those with most places of calls, or those that
    /// the fewest calls lead to from a function, or from every export if that is `*`.
    ///
    /// # Errors
    ///
    /// There is no such function.
    pub(super) fn of(module: &'a Module, most: usize, from: Option<&str>) -> Result<Self, String> {
        let mut calls = calls(module);
        let all: BTreeSet<Node> = calls.keys().flat_map(|(from, to)| [*from, *to]).collect();
        let (nodes, kept) = match from {
            None => (busiest(&calls, most), "those with most calls".to_owned()),
            Some(from) => {
                let begin = beginning(module, from)?;
                let from = if from == "*" { "the exports".into() } else { printable(from) };
                (nearest(&calls, begin, most), format!("those nearest to {from}"))
            }
        };
        let left_out = all.difference(&nodes).count();
        let left_out = (left_out > 0).then(|| {
            format!("{} of {} functions and tables, {kept}", nodes.len(), nodes.len() + left_out)
        });
        calls.retain(|(from, to), _| nodes.contains(from) && nodes.contains(to));
        Ok(Graph { module, nodes, calls, left_out })
    }

    pub(super) fn render(&self, format: Format) -> String {
        match format {
            Format::Dot => dot::render(self),
            Format::Svg => svg::render(self),
        }
    }

    fn type_name(&self, index: TypeIndex) -> String {
        let ty = self.module.info().signature(index);
        ty.map(ToString::to_string).unwrap_or_default()
    }

    fn label(&self, node: Node) -> String {
        match node {
            Node::Function(index) => shorten(&printable(&self.module.display_name(index)), COLUMNS),
            Node::Table(table, ty) => format!("table {table}: {}", self.type_name(ty)),
            Node::Reference(ty) => format!("references: {}", self.type_name(ty)),
        }
    }
}

/// Where to begin: all exported functions, or one by the name of its export or its own.
fn beginning(module: &Module, name: &str) -> Result<Vec<Node>, String> {
    let info = module.info();
    let exported = info.exports.iter().filter(|e| name == "*" || e.name == name);
    let exported = exported.filter_map(|e| match e.item {
        ItemIndex::Func(index) => Some(Node::Function(index)),
        _ => None,
    });
    let mut found: Vec<Node> = exported.collect();
    if found.is_empty() {
        let is_meant = |index: &FuncIndex| {
            module.func_name(*index) == Some(name)
                || module.display_name(*index) == name
                || wardian_module::unnamed(*index) == name
        };
        found.extend(functions(module).filter(is_meant).map(Node::Function));
    }
    match found.is_empty() {
        true if name == "*" => Err("the module exports no function".into()),
        true => {
            let names = functions(module).map(|index| module.display_name(index));
            Err(format!("there is no function `{name}`{}", crate::report::similar(name, names)))
        }
        false => Ok(found),
    }
}

/// All functions.
fn functions(module: &Module) -> impl Iterator<Item = FuncIndex> {
    module.info().functions.indices()
}

/// Those in most calls, as callers or as callees.
fn busiest(calls: &Calls, most: usize) -> BTreeSet<Node> {
    let mut weights: BTreeMap<Node, usize> = BTreeMap::new();
    for ((from, to), count) in calls {
        *weights.entry(*from).or_default() += count;
        *weights.entry(*to).or_default() += count;
    }
    let mut nodes: Vec<Node> = weights.keys().copied().collect();
    nodes.sort_by_key(|node| (std::cmp::Reverse(weights[node]), *node));
    nodes.truncate(most);
    nodes.into_iter().collect()
}

/// Those that the fewest calls lead to.
fn nearest(calls: &Calls, begin: Vec<Node>, most: usize) -> BTreeSet<Node> {
    let mut nodes = BTreeSet::new();
    let mut queue = VecDeque::from(begin);
    while let Some(node) = queue.pop_front() {
        if nodes.len() == most {
            break;
        }
        if nodes.insert(node) {
            let callees = calls.range((node, Node::Function(FuncIndex::FIRST))..);
            queue
                .extend(callees.take_while(|((from, _), _)| *from == node).map(|((_, to), _)| *to));
        }
    }
    nodes
}

fn calls(module: &Module) -> Calls {
    let info = module.info();
    let mut calls = Calls::new();
    for (defined, body) in info.bodies.enumerated() {
        let body = FunctionBody::new(BinaryReader::new(&module.bytes()[body.clone()], 0));
        let Ok(reader) = body.get_operators_reader() else { continue };
        for operator in reader.into_iter().map_while(Result::ok) {
            let callee = match operator {
                Operator::Call { function_index } | Operator::ReturnCall { function_index } => {
                    Node::Function(FuncIndex::from_u32(function_index))
                }
                Operator::CallIndirect { type_index, table_index }
                | Operator::ReturnCallIndirect { type_index, table_index } => {
                    Node::Table(TableIndex::from_u32(table_index), TypeIndex::from_u32(type_index))
                }
                Operator::CallRef { type_index } | Operator::ReturnCallRef { type_index } => {
                    Node::Reference(TypeIndex::from_u32(type_index))
                }
                _ => continue,
            };
            *calls.entry((Node::Function(info.func_index(defined)), callee)).or_default() += 1;
        }
    }
    calls
}
