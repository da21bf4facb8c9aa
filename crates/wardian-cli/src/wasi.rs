//! What the guest gets of this machine.

use crate::args::RunArgs;
use crate::report;
use anyhow::{Context, anyhow};
use std::net::TcpListener;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use wardian::{
    Linker,
    limits::{ResourceLimiter, StoreLimits},
};
use wardian_wasi::{DirPerms, WasiCtx, WasiCtxBuilder};

/// The data of the guest's store; clones are for the stores of its other threads.
#[derive(Clone)]
pub(crate) struct Host {
    pub(crate) wasi: WasiCtx,
    pub(crate) limits: Limits,
    pub(crate) fuel: Option<Fuel>,
}

/// Fuel for all stores of a program together.
#[derive(Clone)]
pub(crate) struct Fuel(Arc<AtomicU64>);

impl Fuel {
    /// What a thread takes at once.
    const PORTION: u64 = 10_000;

    pub(crate) fn new(fuel: u64) -> Fuel {
        Fuel(Arc::new(AtomicU64::new(fuel)))
    }

    /// A portion, or what is left.
    pub(crate) fn take(&self) -> Option<u64> {
        let rest = |left: u64| Some(left.saturating_sub(Self::PORTION));
        let before = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, rest);
        before.ok().map(|left| left.min(Self::PORTION)).filter(|portion| *portion > 0)
    }
}

/// Limits for all stores of a program together.
#[derive(Clone)]
pub(crate) struct Limits(Arc<Mutex<StoreLimits>>);

impl Limits {
    pub(crate) fn new(limits: StoreLimits) -> Limits {
        Limits(Arc::new(Mutex::new(limits)))
    }

    fn lock(&self) -> MutexGuard<'_, StoreLimits> {
        self.0.lock().unwrap_or_else(|e| e.into_inner())
    }
}

impl ResourceLimiter for Limits {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wardian::Result<bool> {
        self.lock().memory_growing(current, desired, maximum)
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wardian::Result<bool> {
        self.lock().table_growing(current, desired, maximum)
    }

    fn memory_grow_failed(&mut self, current: usize, desired: usize) {
        self.lock().memory_grow_failed(current, desired);
    }

    fn memory_shrunk(&mut self, current: usize, left: usize) {
        self.lock().memory_shrunk(current, left);
    }

    fn table_grow_failed(&mut self, current: usize, desired: usize) {
        self.lock().table_grow_failed(current, desired);
    }

    fn table_shrunk(&mut self, current: usize, left: usize) {
        self.lock().table_shrunk(current, left);
    }
}

/// Defines the functions of WASI.
pub(crate) fn link(linker: &mut Linker<Host>) -> wardian::Result<()> {
    wardian_wasi::add_to_linker(linker, |host: &mut Host| &host.wasi)
}

/// Arguments, environment, streams, directories and sockets as the command line has them.
pub(crate) fn context(args: &RunArgs) -> anyhow::Result<WasiCtxBuilder> {
    let file = args.file();
    let name = file.file_name().unwrap_or(file.as_os_str());
    // A file may have any name; the guest gets the name with what is not Unicode replaced.
    let mut builder = WasiCtx::builder().inherit_stdio()?.arg(name.to_string_lossy())?;
    for arg in args.args() {
        let text = arg.to_str().ok_or_else(|| {
            anyhow!("the guest's argument {arg:?} is not Unicode, as WASI requires")
        })?;
        builder = builder.arg(text)?;
    }
    if args.env_inherit {
        let (with_env, left_out) = builder.inherit_env();
        builder = with_env;
        for name in left_out {
            report::warning(&format!(
                "the environment variable {name:?} is not Unicode, as WASI requires; the guest does \
                 not get it"
            ));
        }
    }
    for (name, value) in &args.env {
        builder = builder.env(name, value)?;
    }
    for dir in &args.dirs {
        let perms = if dir.read_only { DirPerms::ReadOnly } else { DirPerms::ReadWrite };
        builder = builder.preopen_dir(&dir.host, &dir.guest, perms)?;
    }
    for address in &args.listen {
        let context = || format!("cannot listen on {address} (it should be ADDRESS:PORT)");
        let listener = TcpListener::bind(address).with_context(context)?;
        let bound = listener.local_addr().with_context(context)?;
        if address.ends_with(":0") {
            report::note(&format!("listening on {bound}"));
        }
        builder = builder.listen_tcp(listener)?;
    }
    Ok(builder)
}
