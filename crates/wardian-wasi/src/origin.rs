//! Where descriptors come from: what a saved state needs to make them again.

use std::sync::Arc;

use cap_std::fs::Dir as HostDir;

use crate::guest::PATH_MAX;
use crate::state::guest_path;

/// A preopened directory. It outlives the guest's descriptor of it, as long as something that was opened
/// through it is open.
pub(crate) struct Home {
    /// The guest's name for it.
    pub(crate) name: String,
    /// How many directories before it have the same name.
    pub(crate) ordinal: u32,
    pub(crate) host: Arc<HostDir>,
    pub(crate) read_only: bool,
    /// Device and serial number; its `..` is itself.
    pub(crate) root: (u64, u64),
}

/// Where a descriptor comes from.
#[derive(Clone)]
pub(crate) enum Origin {
    /// A standard stream, by its first number.
    Stdio(u8),
    /// A directory that was there from the start.
    Preopen(Arc<Home>),
    /// A socket that was there from the start, by its place among them; a listening one, by its place among
    /// those that listen.
    Socket(u32),
    /// Opened by the guest.
    Opened(Opened),
    /// Accepted by the guest, from a listening socket.
    Accepted,
}

/// What the guest opened by a path.
#[derive(Clone)]
pub(crate) struct Opened {
    pub(crate) home: Arc<Home>,
    /// The path beneath `home` at that time, links and dots included. `None` if it was longer than
    /// [`PATH_MAX`].
    pub(crate) path: Option<Box<str>>,
}

impl Origin {
    /// What it is for people: for what the guest opened, its path.
    pub(crate) fn display_name(&self) -> String {
        match self {
            Origin::Stdio(number) => {
                let names = ["standard input", "standard output", "standard error"];
                names.get(usize::from(*number)).copied().unwrap_or("standard stream").into()
            }
            Origin::Preopen(home) => home.name.clone(),
            Origin::Socket(_) | Origin::Accepted => "socket".into(),
            Origin::Opened(Opened { home, path }) => {
                guest_path(&home.name, path.as_deref().unwrap_or("..."))
            }
        }
    }

    /// Where something comes from that is opened by `path` through what comes from here. Directories can
    /// only come from the first two.
    pub(crate) fn open(&self, path: &str) -> Origin {
        let (home, path) = match self {
            Origin::Preopen(home) => (home, Some(path.into())),
            Origin::Opened(Opened { home, path: Some(parent) }) => {
                let len = parent.len() + 1 + path.len();
                let join = || [&**parent, "/", path].concat().into_boxed_str();
                (home, (len as u64 <= PATH_MAX).then(join))
            }
            Origin::Opened(Opened { home, path: None }) => (home, None),
            other => return other.clone(),
        };
        Origin::Opened(Opened { home: Arc::clone(home), path })
    }
}
