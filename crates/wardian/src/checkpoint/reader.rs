//! Reading a checkpoint into the store that it is resumed in.

use super::chain::{check_hash, incremental, places};
use super::format::{Reader, Source, Stored};
use super::immutable::{Cursor, Input, Shown};
use super::resume::FromLinker;
use super::{CheckpointModule, ImmutableFile, ModuleBytes, ReadOptions, ResumeOptions, Resumed};
use crate::Error;
use crate::host_def::data_type;
use crate::{Engine, Linker, Module, Result, Store};
use std::fmt;
use std::io::Read;
use wardian_runtime::checkpoint::Target;
use wardian_runtime::checkpoint::pages::Hash;
use wardian_runtime::checkpoint::state::MemoryNumber;
use wardian_types::IndexVec;

/// A checkpoint that is being read, with its parents if it has any: its memories are read straight into those of the
/// store in which it is resumed, a chunk at a time. [`super::Checkpoint`] has them in memory instead.
///
/// What the reader says about the checkpoint before it is resumed may be wrong: whether it is damaged, and with a key
/// who made it, is known when all is read. [`CheckpointReader::resume`] checks that; no guest runs before.
///
/// ```
/// use wardian::{
///     checkpoint::{CheckpointOptions, CheckpointReader, ReadOptions, ResumeOptions}, Engine, Error,
///     Instance, Linker, Module, Store,
/// };
/// let engine = Engine::default();
/// let module = Module::new(&engine, r#"(module (memory (export "m") 10))"#)?;
/// let mut store = Store::new(&engine, ());
/// let memory = Instance::new(&mut store, &module, &[])?.get_memory(&mut store, "m").expect("it is exported");
/// memory.write(&mut store, 100_000, b"hello")?;
/// let mut file = Vec::new();
/// store.checkpoint_to(&CheckpointOptions::new(), &mut file)?;
///
/// let reader = CheckpointReader::new(&file[..], &ReadOptions::new())?;
/// let mut store = Store::new(&engine, ());
/// let resumed = reader.resume(&mut store, &Linker::new(&engine), &ResumeOptions::new())?;
/// let memory = resumed.instances()[0].get_memory(&mut store, "m").expect("it is exported");
/// assert_eq!(&memory.data(&store)[100_000..100_005], b"hello");
/// # Ok::<(), Error>(())
/// ```
pub struct CheckpointReader<'r> {
    /// The checkpoint, its parent, and so on.
    chain: Vec<Reader<Input<'r>>>,
    /// Those of the checkpoint, with bytes that its parents have.
    modules: Vec<ModuleBytes>,
}

impl fmt::Debug for CheckpointReader<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CheckpointReader").field("files", &self.chain.len()).finish_non_exhaustive()
    }
}

impl<'r> CheckpointReader<'r> {
    /// Reads up to the memories.
    ///
    /// # Errors
    ///
    /// As for [`super::Checkpoint::read_with`], except of damages in what is not read yet.
    pub fn new(from: impl Read + 'r, options: &ReadOptions) -> Result<CheckpointReader<'r>> {
        CheckpointReader::begin(Input::Stream(Box::new(from)), options)
    }

    /// As [`CheckpointReader::new`], of a file that does not change. Memories that were stored to be mapped
    /// ([`CheckpointOptions::mappable`](super::CheckpointOptions::mappable)) show the file where they can, and pages are
    /// copied when the guest writes to them; so a guest runs at once however large its memories are.
    ///
    /// What is mapped is not compared with its hashes, also where the checkpoint has a key: that would be reading it.
    /// Everything else is. Since the file does not change, once is enough: [`CheckpointReader::verify`].
    ///
    /// ```
    /// use wardian::{
    ///     checkpoint::{CheckpointOptions, CheckpointReader, ImmutableFile, ReadOptions, ResumeOptions},
    ///     Engine, Error, Instance, Linker, Module, Store,
    /// };
    /// let engine = Engine::default();
    /// let module = Module::new(&engine, r#"(module (memory (export "m") 100))"#)?;
    /// let mut store = Store::new(&engine, ());
    /// let memory = Instance::new(&mut store, &module, &[])?.get_memory(&mut store, "m").expect("it is exported");
    /// memory.data_mut(&mut store).fill(7);
    /// let mut bytes = Vec::new();
    /// store.checkpoint_to(&CheckpointOptions::new().mappable(true), &mut bytes)?;
    ///
    /// # if cfg!(target_os = "linux") {
    /// let file = ImmutableFile::copy_of(&bytes[..])?;
    /// CheckpointReader::of_immutable(&file, &ReadOptions::new())?.verify()?;
    /// for _ in 0..3 {
    ///     let reader = CheckpointReader::of_immutable(&file, &ReadOptions::new())?;
    ///     let mut store = Store::new(&engine, ());
    ///     let options = ResumeOptions::new().with_module(&module);
    ///     let resumed = reader.resume(&mut store, &Linker::new(&engine), &options)?;
    ///     let memory = resumed.instances()[0].get_memory(&mut store, "m").expect("it is exported");
    ///     assert_eq!(memory.data(&store)[5_000_000], 7);
    ///     memory.data_mut(&mut store).fill(8);
    /// }
    /// # }
    /// # Ok::<(), Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As there.
    pub fn of_immutable(
        file: &ImmutableFile,
        options: &ReadOptions,
    ) -> Result<CheckpointReader<'r>> {
        CheckpointReader::begin(Input::File(Cursor::new(file.clone())), options)
    }

    fn begin(from: Input<'r>, options: &ReadOptions) -> Result<CheckpointReader<'r>> {
        let reader = Reader::begin(from, options.key.as_ref())?;
        Ok(CheckpointReader { modules: reader.modules.clone(), chain: vec![reader] })
    }

    /// The root hash of the checkpoint that is to be given to [`CheckpointReader::with_parent`] next, if one is needed.
    pub fn parent(&self) -> Option<&[u8; 32]> {
        self.chain.last().and_then(|last| last.state.parent.as_ref())
    }

    /// Adds the parent of the checkpoint, or of the parent that was added last.
    ///
    /// # Errors
    ///
    /// None is needed, or it does not fit. Whether it is the right one is known when it is read.
    pub fn with_parent(mut self, parent: CheckpointReader<'r>) -> Result<CheckpointReader<'r>> {
        if self.parent().is_none() {
            return Err(Error::damaged("a parent was given to one that has none"));
        }
        for reader in parent.chain {
            if let Some(child) = self.chain.last() {
                places(&child.state, &reader.state)?;
            }
            for (module, state) in self.modules.iter_mut().zip(&self.chain[0].state.modules) {
                let mut known = reader.state.modules.iter().zip(&reader.modules);
                if module.bytes.is_none()
                    && let Some((_, found)) = known.find(|(known, _)| known.hash == state.hash)
                {
                    *module = found.clone();
                }
            }
            self.chain.push(reader);
        }
        Ok(self)
    }

    /// See [`super::Checkpoint::host_state`].
    pub fn host_state(&self, name: &str) -> Option<&[u8]> {
        self.chain[0].state.host_state(name)
    }

    /// See [`super::Checkpoint::modules`].
    pub fn modules(&self) -> impl ExactSizeIterator<Item = CheckpointModule<'_>> {
        super::modules(&self.chain[0].state, &self.modules)
    }

    /// See [`super::Checkpoint::module`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn module(&self, engine: &Engine, position: usize) -> Result<Option<Module>> {
        super::module(&self.modules, engine, position)
    }

    /// Reads the rest and checks it, without keeping anything: whether the checkpoint and its parents are undamaged, and
    /// with a key who made them. For those who use what the reader says, such as the state of the host, before they resume
    /// the checkpoint by another reader.
    ///
    /// # Errors
    ///
    /// As for [`CheckpointReader::resume`].
    pub fn verify(mut self) -> Result<()> {
        if self.parent().is_some() {
            return Err(incremental());
        }
        let skip = |stored: &Stored, source: &mut Source<_>| source.packed(stored).map(drop);
        let found: Result<Vec<Hash>> =
            self.chain.iter_mut().map(|reader| reader.chunks(skip)).collect();
        self.check_parents(&found?)
    }

    /// As [`super::Checkpoint::resume`], while it reads the rest. The memories that the guest gets are written before it
    /// is known whether the checkpoint is undamaged; no guest runs before.
    ///
    /// # Errors
    ///
    /// As there; those of the reader; the checkpoint is damaged, was made with another key, or a parent is missing or
    /// another one.
    pub fn resume<T: 'static>(
        mut self,
        store: &mut Store<T>,
        linker: &Linker<T>,
        options: &ResumeOptions<T>,
    ) -> Result<Resumed> {
        if self.parent().is_some() {
            return Err(incremental());
        }
        // The state is needed until all is read.
        let state = self.chain[0].state.clone();
        let modules = super::resume::find_modules(&state, &self.modules, store.engine(), options)?;
        let fill = |targets: Vec<Target<'_>>| Ok(self.read_memories(targets)?);
        let restored = {
            let origin = FromLinker { linker, options, fill };
            store.0.restore(&state, &super::resume::inner(modules), data_type::<T>(), origin)?
        };
        Ok(Resumed::new(store, restored))
    }

    /// Reads the memories, those of the oldest parent first, each upon those before.
    fn read_memories(&mut self, mut targets: Vec<Target<'_>>) -> Result<()> {
        targets.iter_mut().try_for_each(Target::restore_base)?;
        // Where the memories of each reader go.
        let own = (0..targets.len()).map(|at| Some(MemoryNumber::from_usize(at)));
        let mut all: Vec<IndexVec<MemoryNumber, Option<MemoryNumber>>> = vec![own.collect()];
        for pair in self.chain.windows(2) {
            let next = places(&pair[0].state, &pair[1].state)?;
            let last = &all[all.len() - 1];
            all.push(next.into_iter().map(|place| place.and_then(|at| last[at])).collect());
        }
        let mut found = Vec::new();
        for (reader, places) in self.chain.iter_mut().zip(&all).rev() {
            let lens: Vec<_> = reader.state.memories.iter().map(|memory| memory.len).collect();
            let mut shown = Shown::default();
            let root = reader.chunks(|stored, source| {
                let Some(target) = places[stored.memory] else {
                    return source.packed(stored).map(drop);
                };
                let len = usize::try_from(lens[stored.memory.index()]).unwrap_or(usize::MAX);
                let known = targets[target.index()].len().min(len);
                if shown.add(stored, (target, known), source) {
                    return Ok(());
                }
                let target = &mut targets[target.index()];
                Ok(target.write(stored.index, known, |bytes| Ok(source.unpack(stored, bytes)?))?)
            })?;
            shown.show(&mut targets)?;
            found.push(root);
        }
        found.reverse();
        self.check_parents(&found)
    }

    /// Whether each parent is the one that its child names. `found` has the root hashes, that of the checkpoint first.
    fn check_parents(&self, found: &[Hash]) -> Result<()> {
        let mut wanted = None;
        for (reader, root) in self.chain.iter().zip(found) {
            if let Some(wanted) = wanted {
                check_hash(&wanted, root)?;
            }
            wanted = reader.state.parent;
        }
        Ok(())
    }
}
