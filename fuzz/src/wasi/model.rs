//! A file system in memory, and calls that must do the same to it and to the guest's directory.

use super::guest::Guest;
use crate::input::Input;
use std::collections::BTreeMap;
use std::path::Path;
use wardian_wasi::{RestoreOptions, WasiState, rights};

/// Files stay smaller than this.
const LARGEST: u64 = 8 << 10;
const ROOT: u64 = 3;
const CREAT: u64 = 1;
const DIRECTORY: u64 = 2;
const EXCL: u64 = 4;
const TRUNC: u64 = 8;
const APPEND: u64 = 1;

enum Node {
    File(Vec<u8>),
    Dir { entries: BTreeMap<String, usize>, removed: bool },
}

#[derive(Clone, Copy, Debug)]
struct Open {
    node: usize,
    at: u64,
    read: bool,
    write: bool,
    append: bool,
}

/// Nodes never go, so that open descriptors keep them.
pub(super) struct Model {
    nodes: Vec<Node>,
    open: BTreeMap<u64, Open>,
}

pub(super) fn run(guest: &mut Guest, input: &mut Input<'_>, folder: &Path) -> Model {
    let mut model = Model { nodes: vec![directory()], open: BTreeMap::new() };
    model.open.insert(ROOT, Open { node: 0, at: 0, read: true, write: true, append: false });
    while !input.is_empty() {
        guest.begin();
        if input.below(12) == 0 {
            carry(guest, folder);
        }
        model.step(guest, input);
    }
    model
}

/// The program's state is saved, and another takes its place.
fn carry(guest: &mut Guest, folder: &Path) {
    let bytes = guest.ctx.save().expect("there is nothing that cannot be carried").to_bytes();
    let state = WasiState::from_bytes(&bytes).expect("it was saved");
    let restored = super::builder(folder).restore(&state, &RestoreOptions::new());
    guest.ctx = restored.expect("it was saved just now");
}

fn directory() -> Node {
    Node::Dir { entries: BTreeMap::new(), removed: false }
}

/// Few names, so that they meet. The last component is always a name.
fn path(input: &mut Input<'_>) -> String {
    let mut path = String::new();
    for _ in 0..input.below(4) {
        path += input.pick(&["a/", "b/", "c/", "./", "../", "a/"]);
    }
    path + input.pick(&["a", "b", "c", "d"])
}

impl Model {
    fn step(&mut self, guest: &mut Guest, input: &mut Input<'_>) {
        match input.below(18) {
            0..=2 => self.open(guest, input),
            3 => self.close(guest, input),
            4 | 5 => self.write(guest, input),
            6 | 7 => self.read(guest, input),
            8 => self.seek(guest, input),
            9 => self.size(guest, input),
            10 => self.make_directory(guest, input),
            11 => self.remove(guest, input, "path_remove_directory"),
            12 => self.remove(guest, input, "path_unlink_file"),
            13 => self.rename(guest, input),
            14 => self.link(guest, input),
            15 => self.list(guest, input),
            16 => self.renumber(guest, input),
            _ => self.stat(guest, input),
        }
    }

    /// A descriptor, mostly of a kind.
    fn descriptor(&self, input: &mut Input<'_>, directories: bool) -> u64 {
        let fits = |open: &Open| self.is_dir(open.node) == directories;
        let fitting: Vec<u64> =
            self.open.iter().filter(|(_, open)| fits(open)).map(|(fd, _)| *fd).collect();
        if fitting.is_empty() || input.below(16) == 0 {
            // Not the directory that is not modelled.
            return if input.flag() { ROOT } else { 5 + u64::from(input.byte() % 12) };
        }
        fitting[input.below(fitting.len())]
    }

    fn is_dir(&self, node: usize) -> bool {
        matches!(self.nodes[node], Node::Dir { .. })
    }

    fn entries(&self, node: usize) -> Option<&BTreeMap<String, usize>> {
        match &self.nodes[node] {
            Node::Dir { entries, removed: false } => Some(entries),
            _ => None,
        }
    }

    fn entries_mut(&mut self, node: usize) -> &mut BTreeMap<String, usize> {
        match &mut self.nodes[node] {
            Node::Dir { entries, .. } => entries,
            Node::File(_) => unreachable!("it was found to be a directory"),
        }
    }

    /// The directory in which the last component of a path lies, and that component. None where there is
    /// no way, or it leads out.
    fn parent<'p>(&self, fd: u64, path: &'p str) -> Option<(usize, &'p str)> {
        let start = self.open.get(&fd)?.node;
        let (folders, name) = path.rsplit_once('/').unwrap_or(("", path));
        let mut way = vec![start];
        self.entries(start)?;
        for component in folders.split('/').filter(|c| !c.is_empty() && *c != ".") {
            if component == ".." {
                way.pop();
                way.last()?;
                continue;
            }
            let next = *self.entries(*way.last()?)?.get(component)?;
            self.entries(next)?;
            way.push(next);
        }
        Some((*way.last()?, name))
    }

    fn find(&self, fd: u64, path: &str) -> Option<usize> {
        let (parent, name) = self.parent(fd, path)?;
        self.entries(parent)?.get(name).copied()
    }

    fn open(&mut self, guest: &mut Guest, input: &mut Input<'_>) {
        let (fd, path) = (self.descriptor(input, true), path(input));
        let oflags =
            input.pick(&[0, 0, CREAT, CREAT, CREAT | EXCL, TRUNC, CREAT | TRUNC, DIRECTORY]);
        let (read, write) = input.pick(&[(true, true), (true, false), (false, true)]);
        // To cut a file off that is opened for reading is not asked for.
        let write = write || oflags & TRUNC != 0;
        let append = write && input.below(5) == 0;
        let mut base = rights::FILE & !(rights::FD_READ | rights::FD_WRITE);
        base |= if read { rights::FD_READ } else { 0 } | if write { rights::FD_WRITE } else { 0 };
        if oflags & DIRECTORY != 0 {
            base = rights::DIRECTORY;
        }
        let (at, out) = (guest.put(path.as_bytes()), guest.alloc(4));
        let flags = if append { APPEND } else { 0 };
        let length = path.len() as u64;
        let args = [fd, 0, at, length, oflags, base, rights::INHERITING, flags, out];
        let done = guest.call("path_open", &args);
        let found = self.find(fd, &path);
        let full = self.open.len() + 4 >= 40;
        let what = format!("path_open of {path} in {fd} with {oflags} found {found:?}");
        if full {
            assert!(!done || self.open.len() + 4 < 44, "{what}: too many are open");
            if !done {
                return;
            }
        }
        let node = match found {
            Some(node) if self.is_dir(node) => {
                // For reading it may be opened as one.
                if oflags & DIRECTORY != 0 {
                    assert!(done, "{what}");
                } else if write || oflags & (CREAT | TRUNC) != 0 {
                    assert!(!done, "{what}");
                }
                node
            }
            Some(node) => {
                assert_eq!(done, oflags & (EXCL | DIRECTORY) == 0, "{what}");
                node
            }
            None => {
                let parent = self.parent(fd, &path);
                assert_eq!(done, parent.is_some() && oflags & CREAT != 0, "{what}");
                if !done {
                    return;
                }
                let (parent, name) = parent.expect("it was made");
                self.nodes.push(Node::File(Vec::new()));
                let node = self.nodes.len() - 1;
                self.entries_mut(parent).insert(name.to_owned(), node);
                node
            }
        };
        if !done {
            return;
        }
        if let Node::File(bytes) = &mut self.nodes[node]
            && oflags & TRUNC != 0
        {
            bytes.clear();
        }
        let number = guest.number::<4>(out);
        let known = self.open.insert(number, Open { node, at: 0, read, write, append });
        assert!(known.is_none() && number > 4, "{number} was open");
    }

    fn close(&mut self, guest: &mut Guest, input: &mut Input<'_>) {
        let directories = input.below(4) == 0;
        let fd = self.descriptor(input, directories);
        // The root is kept, and the directory that is not modelled.
        if fd > 4 {
            assert_eq!(
                guest.call("fd_close", &[fd]),
                self.open.remove(&fd).is_some(),
                "close {fd}"
            );
        }
    }

    fn file(&mut self, fd: u64) -> Option<(Open, &mut Vec<u8>)> {
        let open = *self.open.get(&fd)?;
        match &mut self.nodes[open.node] {
            Node::File(bytes) => Some((open, bytes)),
            Node::Dir { .. } => None,
        }
    }

    fn write(&mut self, guest: &mut Guest, input: &mut Input<'_>) {
        let fd = self.descriptor(input, false);
        let length = input.below(200);
        let data = input.take(length).to_vec();
        let offset = input.flag().then(|| input.number() % LARGEST);
        let target = self.file(fd).filter(|(open, _)| open.write);
        if target
            .as_ref()
            .is_some_and(|(open, _)| open.append && offset.is_some() || open.at > LARGEST)
        {
            // Linux appends then, whatever the offset says; and files stay small.
            return;
        }
        let place = guest.put(&data);
        let (iovs, out) = (guest.iovs(place, data.len()), guest.alloc(4));
        let done = match offset {
            Some(offset) => guest.call("fd_pwrite", &[fd, iovs, 1, offset, out]),
            None => guest.call("fd_write", &[fd, iovs, 1, out]),
        };
        assert_eq!(done, target.is_some(), "write to {fd} at {offset:?}");
        let Some((open, bytes)) = target else { return };
        assert_eq!(guest.number::<4>(out), data.len() as u64, "written");
        let at = match offset {
            Some(offset) => offset,
            None if open.append => bytes.len() as u64,
            None => open.at,
        } as usize;
        if !data.is_empty() {
            bytes.resize(bytes.len().max(at + data.len()), 0);
            bytes[at..at + data.len()].copy_from_slice(&data);
        }
        if offset.is_none() && !data.is_empty() {
            self.open.get_mut(&fd).expect("it is open").at = (at + data.len()) as u64;
        }
    }

    fn read(&mut self, guest: &mut Guest, input: &mut Input<'_>) {
        let fd = self.descriptor(input, false);
        let (length, offset) = (input.below(300), input.flag().then(|| input.number() % LARGEST));
        let place = guest.alloc(length);
        let (iovs, out) = (guest.iovs(place, length), guest.alloc(4));
        let done = match offset {
            Some(offset) => guest.call("fd_pread", &[fd, iovs, 1, offset, out]),
            None => guest.call("fd_read", &[fd, iovs, 1, out]),
        };
        let target = self.file(fd).filter(|(open, _)| open.read);
        assert_eq!(done, target.is_some(), "read from {fd} at {offset:?}");
        let Some((open, bytes)) = target else { return };
        let at = (offset.unwrap_or(open.at) as usize).min(bytes.len());
        let expected = &bytes[at..(at + length).min(bytes.len())];
        let got = guest.bytes(place, guest.number::<4>(out) as usize);
        assert_eq!(got, expected, "read from {fd} at {at}");
        let count = got.len() as u64;
        if offset.is_none() {
            self.open.get_mut(&fd).expect("it is open").at += count;
        }
    }

    fn seek(&mut self, guest: &mut Guest, input: &mut Input<'_>) {
        let fd = self.descriptor(input, false);
        let Some((open, bytes)) = self.file(fd) else { return };
        let whence = input.below(3) as u64;
        let from = [0, open.at, bytes.len() as u64][whence as usize] as i64;
        let offset =
            (input.number() % LARGEST) as i64 - if input.flag() { LARGEST as i64 } else { 0 };
        let out = guest.alloc(8);
        let done = guest.call("fd_seek", &[fd, offset as u64, whence, out]);
        let to = from + offset;
        assert_eq!(done, to >= 0, "seek {fd} from {from} by {offset}");
        if done {
            assert_eq!(guest.number::<8>(out), to as u64, "where {fd} is");
            self.open.get_mut(&fd).expect("it is open").at = to as u64;
        }
        let at = self.open[&fd].at;
        assert!(guest.call("fd_tell", &[fd, out]) && guest.number::<8>(out) == at, "tell {fd}");
    }

    fn size(&mut self, guest: &mut Guest, input: &mut Input<'_>) {
        let fd = self.descriptor(input, false);
        let size = input.number() % LARGEST;
        let done = guest.call("fd_filestat_set_size", &[fd, size]);
        if let Some((_, bytes)) = self.file(fd).filter(|(open, _)| open.write) {
            assert!(done, "set the size of {fd}");
            bytes.resize(size as usize, 0);
        } else {
            assert!(!done, "the size of {fd}, which cannot be written, was set");
        }
    }

    fn make_directory(&mut self, guest: &mut Guest, input: &mut Input<'_>) {
        let (fd, path) = (self.descriptor(input, true), path(input));
        let at = guest.put(path.as_bytes());
        let done = guest.call("path_create_directory", &[fd, at, path.len() as u64]);
        let place = self.parent(fd, &path).filter(|_| self.find(fd, &path).is_none());
        assert_eq!(done, place.is_some(), "make {path} in {fd}");
        if let Some((parent, name)) = place {
            self.nodes.push(directory());
            let node = self.nodes.len() - 1;
            self.entries_mut(parent).insert(name.to_owned(), node);
        }
    }

    fn remove(&mut self, guest: &mut Guest, input: &mut Input<'_>, name: &str) {
        let (fd, path) = (self.descriptor(input, true), path(input));
        let at = guest.put(path.as_bytes());
        let done = guest.call(name, &[fd, at, path.len() as u64]);
        let wants_dir = name == "path_remove_directory";
        let fits = |node: &usize| match &self.nodes[*node] {
            Node::File(_) => !wants_dir,
            Node::Dir { entries, .. } => wants_dir && entries.is_empty(),
        };
        let found = self.find(fd, &path).filter(fits);
        assert_eq!(done, found.is_some(), "{name} {path} in {fd}");
        if let Some(node) = found {
            self.take_out(fd, &path);
            self.gone(node);
        }
    }

    fn take_out(&mut self, fd: u64, path: &str) {
        let (parent, name) = self.parent(fd, path).expect("it was found");
        self.entries_mut(parent).remove(name);
    }

    fn gone(&mut self, node: usize) {
        if let Node::Dir { removed, .. } = &mut self.nodes[node] {
            *removed = true;
        }
    }

    fn rename(&mut self, guest: &mut Guest, input: &mut Input<'_>) {
        let (fd, from) = (self.descriptor(input, true), path(input));
        let (to_fd, to) = (self.descriptor(input, true), path(input));
        let (at, to_at) = (guest.put(from.as_bytes()), guest.put(to.as_bytes()));
        let args = [fd, at, from.len() as u64, to_fd, to_at, to.len() as u64];
        let done = guest.call("path_rename", &args);
        let can = self.can_rename(fd, &from, to_fd, &to);
        assert_eq!(done, can, "rename {from} in {fd} to {to} in {to_fd}");
        let (source, target) = (self.find(fd, &from), self.find(to_fd, &to));
        if !done || source == target {
            return;
        }
        let source = source.expect("it was renamed");
        let (parent, name) = self.parent(to_fd, &to).expect("it was renamed");
        if let Some(target) = target {
            self.gone(target);
        }
        self.take_out(fd, &from);
        self.entries_mut(parent).insert(name.to_owned(), source);
    }

    fn can_rename(&self, fd: u64, from: &str, to_fd: u64, to: &str) -> bool {
        let (Some(source), Some((parent, _))) = (self.find(fd, from), self.parent(to_fd, to))
        else {
            return false;
        };
        let below = self.is_dir(source) && self.contains(source, parent);
        match self.find(to_fd, to) {
            Some(target) if target == source => true,
            _ if below => false,
            None => true,
            Some(target) => match (&self.nodes[source], &self.nodes[target]) {
                (Node::File(_), Node::File(_)) => true,
                (Node::Dir { .. }, Node::Dir { entries, .. }) => entries.is_empty(),
                _ => false,
            },
        }
    }

    /// Whether a directory is another or holds it.
    fn contains(&self, outer: usize, inner: usize) -> bool {
        let Some(entries) = self.entries(outer) else { return outer == inner };
        outer == inner || entries.values().any(|n| self.is_dir(*n) && self.contains(*n, inner))
    }

    fn link(&mut self, guest: &mut Guest, input: &mut Input<'_>) {
        let (fd, from) = (self.descriptor(input, true), path(input));
        let (to_fd, to) = (self.descriptor(input, true), path(input));
        let (at, to_at) = (guest.put(from.as_bytes()), guest.put(to.as_bytes()));
        let args = [fd, 0, at, from.len() as u64, to_fd, to_at, to.len() as u64];
        let done = guest.call("path_link", &args);
        let source = self.find(fd, &from).filter(|node| !self.is_dir(*node));
        let place = self.parent(to_fd, &to).filter(|_| self.find(to_fd, &to).is_none());
        assert_eq!(
            done,
            source.is_some() && place.is_some(),
            "link {from} in {fd} to {to} in {to_fd}"
        );
        if let (Some(source), Some((parent, name))) = (source, place) {
            self.entries_mut(parent).insert(name.to_owned(), source);
        }
    }

    fn list(&mut self, guest: &mut Guest, input: &mut Input<'_>) {
        let fd = self.descriptor(input, true);
        let (buffer, out) = (guest.alloc(4096), guest.alloc(4));
        let done = guest.call("fd_readdir", &[fd, buffer, 4096, 0, out]);
        let Some(open) = self.open.get(&fd) else { return };
        let Some(entries) = self.entries(open.node) else { return };
        assert!(done, "list {fd}");
        let (mut at, end) = (buffer, buffer + guest.number::<4>(out));
        let mut names = Vec::new();
        while at + 24 <= end {
            let length = guest.number::<4>(at + 16);
            names.push(String::from_utf8_lossy(guest.bytes(at + 24, length as usize)).into_owned());
            at += 24 + length;
        }
        names.retain(|name| name != "." && name != "..");
        names.sort();
        assert_eq!(names, entries.keys().cloned().collect::<Vec<_>>(), "the names in {fd}");
    }

    fn renumber(&mut self, guest: &mut Guest, input: &mut Input<'_>) {
        let (from, to) = (self.descriptor(input, false), self.descriptor(input, false));
        if from <= 4 || to <= 4 {
            return;
        }
        let done = guest.call("fd_renumber", &[from, to]);
        let known = self.open.contains_key(&from) && self.open.contains_key(&to);
        assert_eq!(done, known, "renumber {from} to {to}");
        if done {
            let open = self.open.remove(&from).expect("it is open");
            self.open.insert(to, open);
        }
    }

    fn stat(&mut self, guest: &mut Guest, input: &mut Input<'_>) {
        let (fd, path) = (self.descriptor(input, true), path(input));
        let (at, out) = (guest.put(path.as_bytes()), guest.alloc(64));
        let done = guest.call("path_filestat_get", &[fd, 0, at, path.len() as u64, out]);
        let found = self.find(fd, &path);
        assert_eq!(done, found.is_some(), "stat {path} in {fd}");
        if let Some(node) = found {
            let (kind, size) = (guest.number::<1>(out + 16), guest.number::<8>(out + 32));
            match &self.nodes[node] {
                Node::File(bytes) => assert_eq!((kind, size), (4, bytes.len() as u64), "{path}"),
                Node::Dir { .. } => assert_eq!(kind, 3, "{path}"),
            }
        }
    }

    /// Panics if the host's directory is not what the model says.
    pub(super) fn compare(&self, folder: &Path) {
        self.compare_node(0, folder);
    }

    fn compare_node(&self, node: usize, path: &Path) {
        match &self.nodes[node] {
            Node::File(bytes) => {
                assert!(std::fs::read(path).is_ok_and(|b| b == *bytes), "the contents of {path:?}");
            }
            Node::Dir { entries, .. } => {
                let found = std::fs::read_dir(path).expect("it is a directory").flatten();
                let mut names: Vec<_> =
                    found.map(|e| e.file_name().to_string_lossy().into_owned()).collect();
                names.sort();
                assert_eq!(names, entries.keys().cloned().collect::<Vec<_>>(), "in {path:?}");
                entries.iter().for_each(|(name, node)| self.compare_node(*node, &path.join(name)));
            }
        }
    }
}
