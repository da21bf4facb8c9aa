//! A guest that is written to a file when its container ends, and continues from it in the next one.

use crate::guest::Host;
use anyhow::{Context, anyhow, bail};
use std::fs::{self, File};
use std::io::{BufReader, BufWriter, ErrorKind, Write};
use std::path::{Path, PathBuf};
use wardian::checkpoint::{
    AfterCheckpoint, CheckpointOptions, CheckpointReader, CheckpointRequest, ReadOptions,
    ResumeOptions,
};
use wardian::{Error, Linker, Module, Store};
use wardian_wasi::{RestoreOptions, WasiCtx, WasiCtxBuilder, WasiState};

/// The name of WASI's state in a checkpoint.
const WASI: &str = "wasi";

/// Asks for a checkpoint, after which the guest ends. `failed` is called if there is none: the guest continues.
///
/// The file is replaced as a whole when the new one is on the disk, so that it is never half of one.
pub(crate) fn request(
    guest: &CheckpointRequest,
    path: PathBuf,
    failed: impl FnOnce(anyhow::Error) + Send + 'static,
) {
    let new = new_name(&path);
    let file = File::create(&new).and_then(|file| Ok((file.try_clone()?, file)));
    let (writer, file) = match file.with_context(|| format!("cannot write {}", new.display())) {
        Ok(files) => files,
        Err(error) => return failed(error),
    };
    // The module is that of the image, which is there when the container starts again.
    let options = CheckpointOptions::new().embed_modules(false);
    guest.request_to(options, BufWriter::new(writer), move |taken| {
        match taken.map_err(anyhow::Error::new).and_then(|_| finish(&file, &new, &path)) {
            Ok(()) => AfterCheckpoint::End,
            Err(error) => {
                let _ = fs::remove_file(&new);
                failed(error.context(format!("cannot write the checkpoint {}", path.display())));
                AfterCheckpoint::Resume
            }
        }
    });
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
        let state = host.wasi.save().map_err(Error::host)?;
        Ok(vec![(WASI.to_owned(), state.to_bytes())])
    });
}

/// A checkpoint that was found when the container started.
pub(crate) struct Found {
    path: PathBuf,
    reader: CheckpointReader<'static>,
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
                let reader = CheckpointReader::new(BufReader::new(file), &ReadOptions::new())?;
                Ok(Some(Found { path: path.to_owned(), reader }))
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
        let restore = || {
            let bytes = self.reader.host_state(WASI);
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
        let options = ResumeOptions::new().with_module(module);
        let resumed = self.reader.resume(&mut *store, linker, &options);
        let resumed = resumed.with_context(|| cannot_resume(&self.path))?;
        if !resumed.is_running() {
            bail!("{}: no guest was running", cannot_resume(&self.path));
        }
        eprintln!("wardian: continues from the checkpoint {}", self.path.display());
        Ok(resumed.run(store).map(drop))
    }
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
