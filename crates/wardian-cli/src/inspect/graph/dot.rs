//! The graph in the language of Graphviz.

use super::{Graph, Node};
use std::fmt::Write;

pub(super) fn render(graph: &Graph<'_>) -> String {
    let mut out = String::from("digraph calls {\n  rankdir=LR;\n  node [shape=box];\n");
    // Writing to a string does not fail.
    if let Some(left_out) = &graph.left_out {
        let _ = writeln!(out, "  label=\"{}\";", escape(left_out));
    }
    for node in &graph.nodes {
        let shape = if node.is_indirect() { ", shape=hexagon" } else { "" };
        let label = escape(&graph.label(*node));
        let _ = writeln!(out, "  {} [label=\"{label}\"{shape}];", id(*node));
    }
    for ((from, to), count) in &graph.calls {
        let many = if *count > 1 { format!(" [label=\"{count}\"]") } else { String::new() };
        let _ = writeln!(out, "  {} -> {}{many};", id(*from), id(*to));
    }
    out + "}\n"
}

fn id(node: Node) -> String {
    match node {
        Node::Function(index) => format!("f{index}"),
        Node::Table(table, ty) => format!("t{table}_{ty}"),
        Node::Reference(ty) => format!("r{ty}"),
    }
}

/// Names come from the module: nothing in them may end the label or mean something in it.
fn escape(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"")
}
