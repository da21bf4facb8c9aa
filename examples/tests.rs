//! Runs every example.

#[path = "branches.rs"]
mod branches;
#[path = "closing.rs"]
mod closing;
#[path = "durable.rs"]
mod durable;
#[path = "embed.rs"]
mod embed;
#[path = "file_memory.rs"]
mod file_memory;
#[path = "metrics.rs"]
mod guest_metrics;
#[path = "host_functions.rs"]
mod host_functions;
#[path = "import_resolver.rs"]
mod import_resolver;
#[path = "linked_modules.rs"]
mod linked_modules;
#[path = "listeners.rs"]
mod listeners;
#[path = "plugin_host.rs"]
mod plugin_host;
#[path = "pool.rs"]
mod pool;
#[path = "pooling_allocator.rs"]
mod pooling_allocator;
#[path = "profiler.rs"]
mod profiler;
#[path = "rollback.rs"]
mod rollback;
#[path = "sampler.rs"]
mod sampler;
#[path = "setjmp.rs"]
mod setjmp;
#[path = "snapshots.rs"]
mod snapshots;
#[path = "spans.rs"]
mod spans;
#[path = "stack_and_inspection.rs"]
mod stack_and_inspection;
#[path = "tokio_host.rs"]
mod tokio_host;
#[path = "tracing.rs"]
mod traces;
#[path = "wasi_streams.rs"]
mod wasi_streams;

#[test]
fn branches() {
    branches::main().unwrap();
}

#[test]
fn durable() {
    durable::kill_again_and_again(20, durable_command).unwrap();
}

#[test]
#[ignore = "takes longer"]
fn durable_with_many_ends() {
    durable::kill_again_and_again(200, durable_command).unwrap();
}

/// Where a process of the workflow finds its folder.
const DURABLE: &str = "WARDIAN_EXAMPLE_DURABLE";

/// This program, as a process that runs the workflow.
fn durable_command(folder: &std::path::Path) -> std::process::Command {
    let mut command = std::process::Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "durable_process", "--ignored"]).env(DURABLE, folder);
    command
}

#[test]
#[ignore = "a process of another test"]
fn durable_process() {
    if let Some(folder) = std::env::var_os(DURABLE) {
        durable::run_in(folder.as_ref()).unwrap();
    }
}

#[test]
fn rollback() {
    rollback::main().unwrap();
}

#[test]
fn embed() {
    embed::main().unwrap();
}

#[test]
fn host_functions() {
    host_functions::main().unwrap();
}

#[test]
fn import_resolver() {
    import_resolver::main().unwrap();
}

#[test]
fn linked_modules() {
    linked_modules::main().unwrap();
}

#[test]
fn profiler() {
    profiler::main().unwrap();
}

#[test]
fn sampler() {
    sampler::main().unwrap();
}

#[test]
fn wasi_streams() {
    wasi_streams::main().unwrap();
}

#[test]
fn tokio_host() {
    tokio_host::main().unwrap();
}

#[test]
fn plugin_host() {
    plugin_host::main().unwrap();
}

#[test]
fn pool() {
    pool::main().unwrap();
}

#[test]
fn pooling_allocator() {
    pooling_allocator::main().unwrap();
}

#[test]
fn file_memory() {
    file_memory::main().unwrap();
}

#[test]
fn setjmp() {
    setjmp::main().unwrap();
}

#[test]
fn listeners() {
    listeners::main().unwrap();
}

#[test]
fn stack_and_inspection() {
    stack_and_inspection::main().unwrap();
}

#[test]
fn snapshots() {
    snapshots::main().unwrap();
}

#[test]
fn closing() {
    closing::main().unwrap();
}

#[test]
fn traces() {
    traces::main().unwrap();
}

#[test]
fn spans() {
    spans::main().unwrap();
}

#[test]
fn guest_metrics() {
    guest_metrics::main().unwrap();
}
