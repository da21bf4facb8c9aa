//! A guest that is written to a file when its container ends, and continues from it in the next one.

use crate::guest::Host;
use anyhow::{Context, anyhow, bail};
use std::fs::{self, File};
use std::io::{BufRead, BufReader, BufWriter, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use wardian::checkpoint::{
    AfterCheckpoint, CheckpointOptions, CheckpointReader, CheckpointRequest, ReadOptions,
    ResumeOptions, Resumed,
};
use wardian::{Error, Linker, Module, Store};
use wardian_wasi::{
    RestoreOptions, ResumedThreads, SaveOptions, WasiCtx, WasiCtxBuilder, WasiState,
    WasiThreadsBuilder, WasiThreadsCheckpoint, WasiThreadsHandle,
};

/// The name of WASI's state in a checkpoint.
const WASI: &str = "wasi";

/// By what a checkpoint is asked for.
#[derive(Clone)]
pub(crate) enum Request {
    One(CheckpointRequest),
    /// Of a program with threads.
    Threads(WasiThreadsHandle<Host>),
}

impl Request {
    /// Asks for a checkpoint, after which the guest ends. `failed` is called if there is none: the guest continues.
    ///
    /// The file is replaced as a whole when the new one is on the disk, so that it is never half of one.
    pub(crate) fn ask(&self, path: PathBuf, failed: impl FnOnce(anyhow::Error) + Send + 'static) {
        let new = new_name(&path);
        let file = File::create(&new).and_then(|file| Ok((file.try_clone()?, file)));
        let (writer, file) = match file.with_context(|| format!("cannot write {}", new.display())) {
            Ok(files) => files,
            Err(error) => return failed(error),
        };
        let ended = Ended(Some((file, new, path, failed)));
        let writer = BufWriter::new(writer);
        // The module is that of the image, which is there when the container starts again.
        let options = CheckpointOptions::new().embed_modules(false);
        match self {
            Request::One(guest) => {
                guest.request_to(options, writer, move |taken| ended.with(taken.map(drop)));
            }
            Request::Threads(group) => ask_group(group.clone(), options, writer, ended),
        }
    }
}

/// What is to be done when a checkpoint was written, or was not.
struct Ended<F: FnOnce(anyhow::Error)>(Option<(File, PathBuf, PathBuf, F)>);

impl<F: FnOnce(anyhow::Error)> Ended<F> {
    fn with(mut self, taken: wardian::Result<()>) -> AfterCheckpoint {
        let Some((file, new, path, failed)) = self.0.take() else { return AfterCheckpoint::Resume };
        match taken.map_err(anyhow::Error::new).and_then(|()| finish(&file, &new, &path)) {
            Ok(()) => AfterCheckpoint::End,
            Err(error) => {
                let _ = fs::remove_file(&new);
                failed(error.context(format!("cannot write the checkpoint {}", path.display())));
                AfterCheckpoint::Resume
            }
        }
    }
}

/// Asks for a checkpoint of a program with threads, from a thread of its own, since that waits for all of them.
fn ask_group<F>(
    group: WasiThreadsHandle<Host>,
    options: CheckpointOptions,
    writer: BufWriter<File>,
    ended: Ended<F>,
) where
    F: FnOnce(anyhow::Error) + Send + 'static,
{
    let once = Arc::new(Mutex::new(Some(ended)));
    let take =
        |once: &Mutex<Option<Ended<F>>>| once.lock().unwrap_or_else(|e| e.into_inner()).take();
    let asks = once.clone();
    let ask = move || {
        let of_group = asks.clone();
        let done = move || match take(&of_group) {
            Some(ended) => ended.with(Ok(())),
            None => AfterCheckpoint::Resume,
        };
        if let Err(error) = group.checkpoint_to(&options, writer, done)
            && let Some(ended) = take(&asks)
        {
            ended.with(Err(error));
        }
    };
    let thread = std::thread::Builder::new().name("checkpoint".into());
    if let Err(error) = thread.spawn(ask)
        && let Some(ended) = take(&once)
    {
        ended.with(Err(Error::host(error)));
    }
}

fn finish(mut file: &File, new: &Path, path: &Path) -> anyhow::Result<()> {
    file.flush()?;
    file.sync_all()?;
    fs::rename(new, path)?;
    // The name is on the disk when the folder is.
    let folder = path.parent().unwrap_or(Path::new("/"));
    Ok(File::open(folder)?.sync_all()?)
}

fn new_name(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    name.into()
}

/// From now on checkpoints of the store have the state of WASI.
pub(crate) fn carry_wasi(store: &mut Store<Host>) {
    store.host_state_with(|host| {
        // Threads that there are stand still then.
        let options = SaveOptions::new().with_threads(true);
        let state = host.wasi.save_with(&options).map_err(Error::host)?;
        Ok(vec![(WASI.to_owned(), state.to_bytes())])
    });
}

/// A checkpoint that was found when the container started.
pub(crate) struct Found {
    path: PathBuf,
    saved: Saved,
}

enum Saved {
    One(CheckpointReader<'static>),
    Threads(WasiThreadsCheckpoint<'static>),
}

impl Found {
    /// The beginning of the checkpoint, if there is one.
    ///
    /// # Errors
    ///
    /// It cannot be read.
    pub(crate) fn open(path: &Path) -> anyhow::Result<Option<Found>> {
        let open = || match File::open(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(anyhow::Error::new(error)),
            Ok(file) => {
                let mut file = BufReader::new(file);
                let options = ReadOptions::new();
                let saved = match wardian_wasi::is_threads_checkpoint(file.fill_buf()?) {
                    true => Saved::Threads(WasiThreadsCheckpoint::read(file, &options)?),
                    false => Saved::One(CheckpointReader::new(file, &options)?),
                };
                Ok(Some(Found { path: path.to_owned(), saved }))
            }
        };
        open().with_context(|| cannot_resume(path))
    }

    /// The guest's files and clocks as they were.
    ///
    /// # Errors
    ///
    /// The state is damaged, or a file cannot be opened again.
    pub(crate) fn wasi(&self, builder: WasiCtxBuilder) -> anyhow::Result<WasiCtx> {
        let main = match &self.saved {
            Saved::One(reader) => reader,
            Saved::Threads(group) => group.main(),
        };
        let restore = || {
            let bytes = main.host_state(WASI);
            let bytes = bytes.ok_or_else(|| anyhow!("it has no state of WASI"))?;
            let state = WasiState::from_bytes(bytes).context("its state of WASI is damaged")?;
            let wasi = builder.restore(&state, &RestoreOptions::new());
            wasi.context("the guest's files cannot be opened again")
        };
        restore().with_context(|| cannot_resume(&self.path))
    }

    /// Continues the guest in a new store; the outer result says whether it was.
    ///
    /// # Errors
    ///
    /// The checkpoint is damaged, or of another program than this module.
    pub(crate) fn resume(
        self,
        module: &Module,
        store: &mut Store<Host>,
        linker: &Linker<Host>,
    ) -> anyhow::Result<wardian::Result<()>> {
        let Saved::One(reader) = self.saved else { bail!(other_program(&self.path)) };
        let options = ResumeOptions::new().with_module(module);
        let resumed = reader.resume(&mut *store, linker, &options);
        let resumed = resumed.with_context(|| cannot_resume(&self.path))?;
        running(&resumed, &self.path)?;
        Ok(resumed.run(store).map(drop))
    }

    /// The same of a program with threads, which is described.
    ///
    /// # Errors
    ///
    /// As for [`Found::resume`].
    pub(crate) fn resume_threads(
        self,
        builder: WasiThreadsBuilder<Host>,
        store: &mut Store<Host>,
        linker: &Linker<Host>,
    ) -> anyhow::Result<ResumedThreads<Host>> {
        let Saved::Threads(group) = self.saved else { bail!(other_program(&self.path)) };
        let resumed = builder.resume(linker, store, group, &ResumeOptions::new());
        let resumed = resumed.with_context(|| cannot_resume(&self.path))?;
        running(resumed.main(), &self.path)?;
        Ok(resumed)
    }
}

fn other_program(path: &Path) -> String {
    format!("{}: it is of another program", cannot_resume(path))
}

fn running(resumed: &Resumed, path: &Path) -> anyhow::Result<()> {
    if !resumed.is_running() {
        bail!("{}: no guest was running", cannot_resume(path));
    }
    eprintln!("wardian: continues from the checkpoint {}", path.display());
    Ok(())
}

fn cannot_resume(path: &Path) -> String {
    format!(
        "cannot continue from the checkpoint {} (without the file the guest starts anew)",
        path.display()
    )
}

/// The guest has come to its own end: the next container starts anew.
pub(crate) fn remove(path: &Path) -> anyhow::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove the checkpoint {}", path.display()))
        }
        _ => Ok(()),
    }
}
