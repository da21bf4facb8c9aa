//! Short ways to ask a module.

use crate::world::{End, World};
use wardian_interp::Options;
use wardian_types::DefinedFuncIndex;

/// Runs a function of a module that needs nothing else.
pub(crate) fn run(wat: &str, name: &str, args: &[u64]) -> End {
    let mut world = World::new();
    world.add(wat, Options::default());
    world.call(0, name, args)
}

/// As `run`, of a function that is to return.
pub(crate) fn results(wat: &str, name: &str, args: &[u64]) -> Vec<u64> {
    match run(wat, name, args) {
        End::Returned(results) => results,
        end => panic!("{name} did not return: {end:?}"),
    }
}

/// Where operators of this name stand in a function: offsets in the code section, in order.
pub(crate) fn positions(world: &World, which: usize, defined: u32, name: &str) -> Vec<u32> {
    let module = &world.instances[which].module;
    let info = module.info();
    let range = info.bodies[DefinedFuncIndex::from_u32(defined)].clone();
    let reader = wasmparser::BinaryReader::new(&module.bytes()[range.clone()], range.start as u64);
    let body = wasmparser::FunctionBody::new(reader);
    let mut operators = body.get_operators_reader().unwrap();
    let mut found = Vec::new();
    while !operators.eof() {
        let at = operators.original_position() as u32 - info.code_section as u32;
        if format!("{:?}", operators.read().unwrap()).split(' ').next() == Some(name) {
            found.push(at);
        }
    }
    found
}
