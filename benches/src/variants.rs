//! The guests of `cpu` again, in another way beside the usual one.

use crate::cpu::{GUESTS, KERNELS};
use crate::engines::{self, WARDIAN};
use crate::hooks::WITHOUT;
use crate::measure::{Contender, Row, measure};
use crate::options::{Options, Result};
use std::time::Duration;
use wardian::{
    Engine, ExternType, Instance, InstantiateOptions, Module, Store,
    allocator::{MemoryAllocatorFunc, VecMemory},
    checkpoint::Checkpoints,
    sampler::{Sampler, SamplerOptions},
};

/// Memories with guard pages.
pub(crate) const GUARDED: &str = "guard pages";

/// Memories that an allocator supplies, on the heap, where they may move: with checks.
pub(crate) fn checked(options: &Options) -> Result<Vec<Row>> {
    let allocator = || {
        MemoryAllocatorFunc::new(|request: &wardian::allocator::MemoryRequest<'_>| {
            Ok(VecMemory::boxed(request.minimum, request.maximum.min(1 << 30))?)
        })
    };
    let with = |store: &mut Store<()>, module: &Module| {
        let options = InstantiateOptions::new().with_memory_allocator(allocator());
        Ok((Instance::new_with(store, module, &[], &options)?, None))
    };
    beside(options, GUARDED, with)
}

/// Sampled a thousand times a second.
pub(crate) fn sampler(options: &Options) -> Result<Vec<Row>> {
    let with = |store: &mut Store<()>, module: &Module| {
        let instance = Instance::new(&mut *store, module, &[])?;
        let often = SamplerOptions::new().with_interval(Duration::from_millis(1));
        Ok((instance, Some(Sampler::start(store, often)?)))
    };
    beside(options, WITHOUT, with)
}

/// In engines whose compiled code can be captured: at calls, and also at loops.
pub(crate) fn capture(options: &Options) -> Result<Vec<Row>> {
    let with =
        |store: &mut Store<()>, module: &Module| Ok((Instance::new(store, module, &[])?, None));
    let mut rows = Vec::new();
    for (name, checkpoints) in
        [("calls", Checkpoints::Calls), ("calls and loops", Checkpoints::CallsAndLoops)]
    {
        let engine = engines::wardian_with(|config| {
            config.checkpoints(checkpoints);
        })?;
        for mut row in beside_in(options, WITHOUT, &engine, with)? {
            row.name = format!("{name}: {}", row.name);
            rows.push(row);
        }
    }
    Ok(rows)
}

/// In memories that were made to be forked.
pub(crate) fn forkable(options: &Options) -> Result<Vec<Row>> {
    let engine = engines::wardian_with(|config| {
        config.forkable_memories(true);
    })?;
    beside_in(options, WITHOUT, &engine, |store, module| {
        Ok((Instance::new(store, module, &[])?, None))
    })
}

fn beside(
    options: &Options,
    peer: &'static str,
    with: impl Fn(&mut Store<()>, &Module) -> Result<(Instance, Option<Sampler>)>,
) -> Result<Vec<Row>> {
    beside_in(options, peer, &engines::wardian()?, with)
}

/// The same in an engine of its own.
fn beside_in(
    options: &Options,
    peer: &'static str,
    own: &Engine,
    with: impl Fn(&mut Store<()>, &Module) -> Result<(Instance, Option<Sampler>)>,
) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for wasm in [GUESTS, &wat::parse_str(KERNELS)?] {
        let engine = engines::wardian()?;
        let module = Module::new(&engine, wasm)?;
        let mut a = Store::new(own, ());
        let (a_instance, sampler) = with(&mut a, &Module::new(own, wasm)?)?;
        let mut b = Store::new(&engine, ());
        let b_instance = Instance::new(&mut b, &module, &[])?;
        let names = module.exports().filter(|(_, ty)| matches!(ty, ExternType::Func(_)));
        for name in names.map(|(name, _)| name).filter(|n| options.wants(n)) {
            let f = a_instance.typed_func::<i32, i64>(&mut a, name)?;
            let g = b_instance.typed_func::<i32, i64>(&mut b, name)?;
            let contenders = vec![
                Contender::new(WARDIAN, |n| {
                    let sum = f.call(&mut a, i32::try_from(n)?)?;
                    // Whoever samples also reads.
                    sampler.as_ref().map(Sampler::drain);
                    Ok(sum)
                }),
                Contender::new(peer, |n| Ok(g.call(&mut b, i32::try_from(n)?)?)),
            ];
            rows.push(measure(options, name, contenders)?);
        }
    }
    Ok(rows)
}
