//! The behaviours of Wardian: named tables, each crossed with the ways in which code is compiled.

mod allocators;
mod asynchronous;
mod calls;
mod errors;
mod hostile;
mod instances;
mod listeners;
mod log;
mod matrix;
mod memories;
mod programs;
mod references;
mod resolver;
mod sampler;
mod stopping;
mod threads;
mod torture;
mod wasi_threads;

fn main() -> std::process::ExitCode {
    let arguments = libtest_mimic::Arguments::from_args();
    let mut trials = Vec::new();
    for table in [
        allocators::TABLE,
        asynchronous::TABLE,
        calls::TABLE,
        errors::TABLE,
        hostile::TABLE,
        instances::TABLE,
        listeners::TABLE,
        memories::TABLE,
        programs::TABLE,
        references::TABLE,
        resolver::TABLE,
        sampler::TABLE,
        stopping::TABLE,
        threads::TABLE,
        wasi_threads::TABLE,
    ] {
        matrix::cross(&mut trials, table);
    }
    libtest_mimic::run(&arguments, trials).exit_code()
}
