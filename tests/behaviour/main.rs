//! The behaviours of Wardian: named tables, each crossed with the ways in which code is compiled.

mod accesses;
mod allocators;
mod alone;
mod async_restores;
mod asynchronous;
mod attaching;
mod call_options;
mod callee_saved;
mod calls;
mod carried_threads;
mod checkpoints;
mod closing;
mod closing_codes;
mod closures;
mod coverage;
mod destructors;
mod errors;
mod exceptions;
#[cfg(feature = "torture")]
mod faults;
mod forks;
mod fuel;
mod function_references;
mod gc;
mod gc_accesses;
mod gc_store;
mod gc_torture;
mod gc_types;
mod host_exceptions;
mod host_values;
mod hostile;
mod idle_compilation;
mod image;
mod inlining;
mod inspection;
mod instance_pre;
mod instances;
mod isolation;
mod kept;
mod lazy_validation;
mod legacy_exceptions;
mod limits;
mod listeners;
mod log;
mod matrix;
mod memories;
mod module_profiles;
mod names;
mod nans;
#[cfg(unix)]
mod process_forks;
mod profiles;
mod programs;
mod raw_slots;
mod references;
mod refused_restores;
mod resolver;
mod reuse;
mod sampler;
mod samples;
mod snapshot_contents;
mod snapshots;
mod soak;
mod state;
mod stopping;
mod suspended_endings;
mod tenants;
mod thread_state;
mod threads;
mod tiers;
mod torture;
mod traces;
mod wasi_threads;
mod work_time;

/// All tables.
const TABLES: &[&[matrix::Behaviour]] = &[
    accesses::TABLE,
    allocators::TABLE,
    async_restores::TABLE,
    asynchronous::TABLE,
    attaching::TABLE,
    inlining::TABLE,
    module_profiles::TABLE,
    call_options::TABLE,
    calls::TABLE,
    checkpoints::TABLE,
    checkpoints::bytes::TABLE,
    checkpoints::listened::TABLE,
    checkpoints::references::TABLE,
    checkpoints::requests::TABLE,
    checkpoints::store::TABLE,
    checkpoints::mapped::TABLE,
    checkpoints::noted::TABLE,
    checkpoints::stored::TABLE,
    checkpoints::waits::TABLE,
    closing::TABLE,
    closing_codes::TABLE,
    closures::TABLE,
    coverage::TABLE,
    destructors::TABLE,
    errors::TABLE,
    exceptions::TABLE,
    forks::TABLE,
    fuel::TABLE,
    function_references::TABLE,
    gc::TABLE,
    gc_accesses::TABLE,
    gc_store::TABLE,
    gc_torture::TABLE,
    gc_types::TABLE,
    host_exceptions::TABLE,
    host_values::TABLE,
    hostile::TABLE,
    idle_compilation::TABLE,
    image::TABLE,
    inspection::TABLE,
    instance_pre::TABLE,
    instances::TABLE,
    isolation::TABLE,
    callee_saved::TABLE,
    kept::TABLE,
    lazy_validation::TABLE,
    legacy_exceptions::TABLE,
    limits::TABLE,
    listeners::TABLE,
    memories::TABLE,
    names::TABLE,
    nans::TABLE,
    #[cfg(unix)]
    process_forks::TABLE,
    profiles::TABLE,
    programs::TABLE,
    raw_slots::TABLE,
    references::TABLE,
    refused_restores::TABLE,
    resolver::TABLE,
    reuse::TABLE,
    state::TABLE,
    snapshot_contents::TABLE,
    snapshots::TABLE,
    sampler::TABLE,
    stopping::TABLE,
    suspended_endings::TABLE,
    tenants::TABLE,
    thread_state::TABLE,
    threads::TABLE,
    tiers::TABLE,
    traces::TABLE,
    carried_threads::TABLE,
    wasi_threads::TABLE,
];

fn main() -> std::process::ExitCode {
    let mut cases = Vec::new();
    for table in TABLES {
        matrix::cross(&mut cases, table);
    }
    if let Some(code) = alone::child(&cases) {
        return code;
    }
    #[cfg(feature = "torture")]
    let mut trials = match faults::child(&cases) {
        Some(code) => return code,
        None => faults::trials(cases),
    };
    #[cfg(not(feature = "torture"))]
    let mut trials: Vec<_> = cases.into_iter().map(matrix::Case::trial).collect();
    trials.extend(soak::trials());
    let arguments = libtest_mimic::Arguments::from_args();
    libtest_mimic::run(&arguments, trials).exit_code()
}
