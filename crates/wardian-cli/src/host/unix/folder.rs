//! Where control sockets are: a folder that only its user can enter, with a socket for each process.

use anyhow::{Context, anyhow, bail};
use rustix::process::{Pid, Uid, geteuid};
use std::fs::{self, DirBuilder};
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

/// The ending of the names of sockets.
const ENDING: &str = "sock";

/// The socket of this process. Dropping it removes it.
pub(crate) struct Socket(PathBuf);

impl Drop for Socket {
    fn drop(&mut self) {
        // If it cannot be removed, the next command that opens one does it.
        let _ = fs::remove_file(&self.0);
    }
}

impl Socket {
    /// Makes the socket of this process.
    pub(crate) fn open() -> anyhow::Result<(Socket, UnixListener)> {
        let folder = candidates().remove(0);
        make(&folder).with_context(|| format!("the folder {} cannot be used", folder.display()))?;
        sweep(&folder);
        let path = path_in(&folder, std::process::id());
        // A process of another container may have the same number and the same folder.
        if UnixStream::connect(&path).is_ok() {
            bail!("{} is that of another process with the same number", path.display());
        }
        // It gets its name when it can be connected to, so that nobody takes it for one that was left behind.
        let made = tempfile::Builder::new()
            .prefix(".new-")
            .make_in(&folder, |path| UnixListener::bind(path));
        let made = made.with_context(|| {
            format!("{}: a socket's path must have less than 108 bytes", folder.display())
        })?;
        let listener = made.persist(&path).map_err(|error| error.error)?;
        Ok((Socket(path), listener))
    }
}

/// Connects to the socket of a process.
pub(crate) fn connect(pid: u32) -> anyhow::Result<UnixStream> {
    let candidates = candidates();
    for folder in candidates.iter().filter(|folder| is_private(folder).is_ok()) {
        let path = path_in(folder, pid);
        match UnixStream::connect(&path) {
            Ok(stream) => return Ok(stream),
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            // Nobody listens: a process with this number was killed.
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => {}
            Err(error) => {
                let context = format!("cannot connect to {}", path.display());
                return Err(anyhow::Error::new(error).context(context));
            }
        }
    }
    Err(unreachable(pid, &candidates))
}

/// Why there is no socket.
fn unreachable(pid: u32, candidates: &[PathBuf]) -> anyhow::Error {
    let raw = i32::try_from(pid).ok().and_then(Pid::from_raw);
    let Some(raw) = raw else { return anyhow!("there is no process {pid}") };
    let owner = fs::metadata(format!("/proc/{pid}")).map(|meta| meta.uid());
    let user = geteuid();
    match (rustix::process::test_kill_process(raw), owner) {
        (Err(rustix::io::Errno::SRCH), _) => anyhow!("there is no process {pid}"),
        (_, Ok(owner)) if owner != user.as_raw() => anyhow!(
            "process {pid} is that of user {owner}, and this is user {}: only its own user can ask it",
            user.as_raw()
        ),
        _ => {
            let folders: Vec<_> =
                candidates.iter().map(|folder| folder.display().to_string()).collect();
            anyhow!(
                "process {pid} has no control socket in {}: programs have one if they are run with --control",
                folders.join(" or ")
            )
        }
    }
}

fn path_in(folder: &Path, pid: u32) -> PathBuf {
    folder.join(format!("{pid}.{ENDING}"))
}

/// The folders where sockets may be; new ones are made in the first.
fn candidates() -> Vec<PathBuf> {
    let user = geteuid().as_raw();
    let runtime = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
    let runtime = runtime.filter(|folder| folder.is_absolute());
    let mut folders: Vec<_> = runtime.map(|folder| folder.join("wardian")).into_iter().collect();
    folders.push(std::env::temp_dir().join(format!("wardian-{user}")));
    // That of a session, for a command which has lost its environment, as with sudo.
    let session = PathBuf::from(format!("/run/user/{user}/wardian"));
    if !folders.contains(&session) {
        folders.push(session);
    }
    folders
}

fn make(folder: &Path) -> anyhow::Result<()> {
    match DirBuilder::new().mode(0o700).create(folder) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error.into()),
        _ => {}
    }
    is_private(folder)
}

/// Whether nobody else can have put something into the folder.
fn is_private(folder: &Path) -> anyhow::Result<()> {
    let meta = fs::symlink_metadata(folder)?;
    let user = geteuid();
    if !meta.is_dir() {
        bail!("it is no directory");
    }
    if Uid::from_raw(meta.uid()) != user {
        bail!("it belongs to user {}, and this is user {}", meta.uid(), user.as_raw());
    }
    if meta.mode() & 0o077 != 0 {
        let mode = meta.mode() & 0o7777;
        bail!("others have access to it (mode {mode:04o}): `chmod 700` it");
    }
    Ok(())
}

/// Removes the sockets of processes that were killed.
fn sweep(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        let is_socket = path.extension().is_some_and(|ending| ending == ENDING);
        let refused = |error: std::io::Error| error.kind() == ErrorKind::ConnectionRefused;
        if is_socket && UnixStream::connect(&path).is_err_and(refused) {
            let _ = fs::remove_file(&path);
        }
    }
}
