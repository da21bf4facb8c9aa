//! Who calls whom, in the language of Graphviz.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use wardian_module::Module;
use wasmparser::{BinaryReader, FunctionBody, Operator};

/// Functions that are shown: more nobody can read.
const SHOWN: usize = 120;

/// A function, or what is called through a table: its number, and the index of the signature.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Node {
    Function(u32),
    Table(u32, u32),
}

/// The graph of calls: how many places call, by caller and callee. Of many functions those with most
/// places of calls are kept.
pub(super) fn dot(module: &Module) -> String {
    let calls = calls(module);
    let mut weights: BTreeMap<Node, usize> = BTreeMap::new();
    for ((from, to), count) in &calls {
        *weights.entry(*from).or_default() += count;
        *weights.entry(*to).or_default() += count;
    }
    let mut nodes: Vec<Node> = weights.keys().copied().collect();
    nodes.sort_by_key(|node| (std::cmp::Reverse(weights[node]), *node));
    let left_out = nodes.len().saturating_sub(SHOWN);
    nodes.truncate(SHOWN);
    let nodes: BTreeSet<Node> = nodes.into_iter().collect();
    let mut out = String::from("digraph calls {\n  rankdir=LR;\n  node [shape=box];\n");
    if left_out > 0 {
        let _ = writeln!(out, "  label=\"{left_out} nodes with fewer calls are not shown\";");
    }
    for node in &nodes {
        let shape = if matches!(node, Node::Table(..)) { ", shape=hexagon" } else { "" };
        let _ = writeln!(out, "  {} [label=\"{}\"{shape}];", id(*node), label(module, *node));
    }
    for ((from, to), count) in &calls {
        if nodes.contains(from) && nodes.contains(to) {
            let many = if *count > 1 { format!(" [label=\"{count}\"]") } else { String::new() };
            let _ = writeln!(out, "  {} -> {}{many};", id(*from), id(*to));
        }
    }
    out + "}\n"
}

fn calls(module: &Module) -> BTreeMap<(Node, Node), usize> {
    let info = module.info();
    let mut calls = BTreeMap::new();
    for (index, body) in (info.imported_functions..).zip(&info.bodies) {
        let body = FunctionBody::new(BinaryReader::new(&module.bytes()[body.clone()], 0));
        let Ok(reader) = body.get_operators_reader() else { continue };
        for operator in reader.into_iter().map_while(Result::ok) {
            let callee = match operator {
                Operator::Call { function_index } | Operator::ReturnCall { function_index } => {
                    Node::Function(function_index)
                }
                Operator::CallIndirect { type_index, table_index }
                | Operator::ReturnCallIndirect { type_index, table_index } => {
                    Node::Table(table_index, type_index)
                }
                _ => continue,
            };
            *calls.entry((Node::Function(index), callee)).or_default() += 1;
        }
    }
    calls
}

fn id(node: Node) -> String {
    match node {
        Node::Function(index) => format!("f{index}"),
        Node::Table(table, ty) => format!("t{table}_{ty}"),
    }
}

fn label(module: &Module, node: Node) -> String {
    let text = match node {
        Node::Function(index) => module
            .func_name(index)
            .map_or_else(|| format!("<function {index}>"), wardian_module::demangle),
        Node::Table(table, ty) => {
            let ty = module.info().types.get(ty as usize);
            format!("table {table}: {}", ty.map(ToString::to_string).unwrap_or_default())
        }
    };
    // Names come from the module: nothing in them may end the label or mean something in it.
    let char = |c: char| match c {
        '"' => "\\\"".to_owned(),
        '\\' => "\\\\".to_owned(),
        c if c.is_control() => "\u{fffd}".to_owned(),
        c => c.to_string(),
    };
    text.chars().map(char).collect()
}
