//! How much of the code is there for the sake of one function.

use petgraph::algo::dominators::simple_fast;
use petgraph::graph::{DiGraph, NodeIndex};
use wardian_module::{ConstExpr, ConstOp, ElementItems, ItemIndex, Module};
use wardian_types::{DefinedFuncIndex, FuncIndex};
use wasmparser::{BinaryReader, FunctionBody, Operator};

/// For each function that the module defines, how many bytes would go with it if nobody called it any
/// more: its own, and those of the functions that are reached through it alone. Zero for functions that
/// nothing reaches.
///
/// Exports, the start function and whatever is in a table or in a global can be called from everywhere.
pub(super) fn sizes(module: &Module) -> Vec<usize> {
    let info = module.info();
    let mut graph = DiGraph::<(), ()>::with_capacity(info.bodies.len() + 1, info.bodies.len());
    let root = graph.add_node(());
    for _ in &info.bodies {
        graph.add_node(());
    }
    let node = |function: FuncIndex| {
        info.defined_function(function).map(|defined| NodeIndex::new(defined.index() + 1))
    };
    for function in roots(module).into_iter().filter_map(node) {
        graph.add_edge(root, function, ());
    }
    for (defined, body) in info.bodies.iter().enumerate() {
        let caller = NodeIndex::new(defined + 1);
        let (called, referred) = uses(&module.bytes()[body.clone()]);
        for callee in called.into_iter().filter_map(node) {
            graph.add_edge(caller, callee, ());
        }
        for function in referred.into_iter().filter_map(node) {
            graph.add_edge(root, function, ());
        }
    }
    let dominators = simple_fast(&graph, root);
    let mut sizes = vec![0; info.bodies.len() + 1];
    // Each function after those through which it is reached, so that sums are whole when they are added.
    let mut order: Vec<(usize, NodeIndex)> = depths(&graph, root, &dominators);
    order.sort_unstable_by_key(|(depth, _)| std::cmp::Reverse(*depth));
    for (_, node) in order {
        if let Some(outer) = dominators.immediate_dominator(node) {
            sizes[node.index()] +=
                info.bodies[DefinedFuncIndex::from_usize(node.index() - 1)].len();
            sizes[outer.index()] += sizes[node.index()];
        }
    }
    sizes.split_off(1)
}

/// How many dominators each node has that can be reached.
fn depths(
    graph: &DiGraph<(), ()>,
    root: NodeIndex,
    dominators: &petgraph::algo::dominators::Dominators<NodeIndex>,
) -> Vec<(usize, NodeIndex)> {
    let mut depths: Vec<Option<usize>> = vec![None; graph.node_count()];
    depths[root.index()] = Some(0);
    let mut chain = Vec::new();
    for node in graph.node_indices() {
        // Upwards to the first one whose depth is known, and down again.
        let mut at = Some(node);
        while let Some(unknown) = at.filter(|at| depths[at.index()].is_none()) {
            chain.push(unknown);
            at = dominators.immediate_dominator(unknown);
        }
        let mut depth = at.and_then(|at| depths[at.index()]);
        for below in chain.drain(..).rev() {
            depth = depth.map(|depth| depth + 1);
            depths[below.index()] = depth;
        }
    }
    let known = graph.node_indices().zip(depths);
    known.filter_map(|(node, depth)| Some((depth?, node))).filter(|(_, n)| *n != root).collect()
}

/// Functions that can be called without being named by a call.
fn roots(module: &Module) -> Vec<FuncIndex> {
    let info = module.info();
    let exported = info.exports.iter().filter_map(|export| match export.item {
        ItemIndex::Func(index) => Some(index),
        _ => None,
    });
    let mut roots: Vec<FuncIndex> = exported.chain(info.start).collect();
    let references = |expression: &ConstExpr| {
        let references = expression.ops.iter().filter_map(|op| match op {
            ConstOp::RefFunc(index) => Some(*index),
            _ => None,
        });
        references.collect::<Vec<FuncIndex>>()
    };
    roots.extend(info.global_inits.iter().flat_map(references));
    roots.extend(info.table_inits.iter().flatten().flat_map(references));
    for segment in &info.elements {
        match &segment.items {
            ElementItems::Functions(functions) => roots.extend(functions),
            ElementItems::Expressions(all) => roots.extend(all.iter().flat_map(references)),
        }
    }
    roots
}

/// Functions that a body calls, and those that it makes references to.
fn uses(body: &[u8]) -> (Vec<FuncIndex>, Vec<FuncIndex>) {
    let (mut called, mut referred) = (Vec::new(), Vec::new());
    // The body is valid, so that reading it does not fail.
    if let Ok(operators) = FunctionBody::new(BinaryReader::new(body, 0)).get_operators_reader() {
        for operator in operators.into_iter().map_while(Result::ok) {
            match operator {
                Operator::Call { function_index } | Operator::ReturnCall { function_index } => {
                    called.push(FuncIndex::from_u32(function_index));
                }
                Operator::RefFunc { function_index } => {
                    referred.push(FuncIndex::from_u32(function_index))
                }
                _ => {}
            }
        }
    }
    called.sort_unstable();
    called.dedup();
    (called, referred)
}
