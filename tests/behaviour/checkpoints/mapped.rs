//! Checkpoints whose memories are mapped from a file that does not change.

use super::root::root;
use crate::matrix::{Behaviour, module};
use wardian::{
    Engine, Instance, Linker, Result, Store,
    checkpoint::{
        Checkpoint, CheckpointOptions, CheckpointReader, ImmutableFile, ReadOptions, ResumeOptions,
    },
};

/// Nothing can be mapped elsewhere.
#[cfg(target_os = "linux")]
pub(crate) const TABLE: &[Behaviour] = &[
    ("memories that are mapped are as those that were read", mapped),
    ("a chain is mapped, the parent below the child", chain),
    ("forged and cut off files that are mapped break nothing", forged),
    ("a file that changes while it is read is an error, and is not mapped", changing),
];
#[cfg(not(target_os = "linux"))]
pub(crate) const TABLE: &[Behaviour] = &[];

const GUEST: &str = r#"(module (memory (export "m") 40 100)
  (data (i32.const 65530) "over the end")
  (func (export "set") (param i32 i32) (i32.store8 (local.get 0) (local.get 1)))
  (func (export "get") (param i32) (result i32) (i32.load8_u (local.get 0)))
  (func (export "grow") (drop (memory.grow (i32.const 1)))))"#;

struct Guest {
    store: Store<()>,
    instance: Instance,
}

impl Guest {
    fn new(engine: &Engine) -> Guest {
        let mut store = Store::new(engine, ());
        let instance = Instance::new(&mut store, &module(engine, GUEST), &[]).unwrap();
        let mut guest = Guest { store, instance };
        // Noise, with chunks of zeroes between.
        let mut state = 1u32;
        for (at, byte) in guest.bytes().iter_mut().enumerate() {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            if (at >> 16) % 7 != 3 {
                *byte = (state >> 24) as u8;
            }
        }
        guest
    }

    fn read(engine: &Engine, reader: CheckpointReader<'_>) -> Result<Guest> {
        let mut store = Store::new(engine, ());
        let resumed = reader.resume(&mut store, &Linker::new(engine), &ResumeOptions::new())?;
        Ok(Guest { instance: resumed.instances()[0], store })
    }

    fn bytes(&mut self) -> &mut [u8] {
        let memory = self.instance.get_memory(&mut self.store, "m").unwrap();
        memory.data_mut(&mut self.store)
    }

    fn set(&mut self, at: i32, value: i32) {
        let set = self.instance.typed_func::<(i32, i32), ()>(&mut self.store, "set").unwrap();
        set.call(&mut self.store, (at, value)).unwrap();
    }

    fn written(&mut self, options: &CheckpointOptions) -> Vec<u8> {
        let taken = self.store.checkpoint(options).unwrap();
        let mut bytes = Vec::new();
        let index = self.store.checkpoint_to(options, &mut bytes).unwrap();
        assert!(bytes == taken.to_bytes().unwrap());
        assert_eq!(*index.hash(), taken.hash().unwrap());
        let read = Checkpoint::from_bytes(&bytes).unwrap();
        assert!(bytes == read.to_bytes().unwrap(), "it is written as it was");
        bytes
    }
}

fn open<'r>(bytes: &[u8]) -> Result<CheckpointReader<'r>> {
    CheckpointReader::of_immutable(&ImmutableFile::copy_of(bytes)?, &ReadOptions::new())
}

fn mapped(engine: &Engine) {
    let mut guest = Guest::new(engine);
    let bytes = guest.written(&CheckpointOptions::new().mappable(true));
    let expected = guest.bytes().to_vec();
    // Also as any other.
    let streamed = CheckpointReader::new(&bytes[..], &ReadOptions::new()).unwrap();
    assert!(Guest::read(engine, streamed).unwrap().bytes() == expected);
    let file = ImmutableFile::copy_of(&bytes[..]).unwrap();
    let reader = || CheckpointReader::of_immutable(&file, &ReadOptions::new()).unwrap();
    reader().verify().unwrap();
    let mut forkable = engine.config().clone();
    let forkable = Engine::new(forkable.forkable_memories(true)).unwrap();
    for engine in [engine, engine, &forkable] {
        let mut one = Guest::read(engine, reader()).unwrap();
        let mut other = Guest::read(engine, reader()).unwrap();
        assert!(one.bytes() == expected);
        // What one writes is its own.
        for at in [0, 5, 70_000, 40 * 65_536 - 1] {
            one.set(at, 77);
        }
        assert!(other.bytes() == expected);
        // It has images, forks and checkpoints as any other.
        let mut now = expected.clone();
        for at in [0, 5, 70_000, 40 * 65_536 - 1] {
            now[at] = 77;
        }
        assert!(one.bytes() == now);
        let image = one.store.image().unwrap();
        let fork = one.store.fork(()).unwrap();
        let mut fork = Guest { instance: fork.resumed.instances()[0], store: fork.store };
        one.set(9, 1);
        one.store.reset_to(&image).unwrap();
        assert!(one.bytes() == now && fork.bytes() == now);
        let parent = other.store.checkpoint(&CheckpointOptions::new().for_children(true)).unwrap();
        other.set(9, 9);
        let since = CheckpointOptions::new().since(&parent.index().unwrap());
        let child = other.store.checkpoint(&since).unwrap();
        assert!(child.memories().next().unwrap().1 <= 65_536);
        let whole = child.compact(|_| Ok(parent.clone())).unwrap();
        let whole = CheckpointReader::new(
            std::io::Cursor::new(whole.to_bytes().unwrap()),
            &ReadOptions::new(),
        );
        assert!(Guest::read(engine, whole.unwrap()).unwrap().bytes() == other.bytes());
    }
    // Compressed ones are read.
    let packed = guest.written(&CheckpointOptions::new());
    assert!(Guest::read(engine, open(&packed).unwrap()).unwrap().bytes() == expected);
}

fn chain(engine: &Engine) {
    let mut guest = Guest::new(engine);
    let options = CheckpointOptions::new().mappable(true).for_children(true);
    let parent = guest.store.checkpoint(&options).unwrap();
    guest.set(5 << 16, 1);
    guest.bytes()[6 << 16..7 << 16].fill(0);
    let grow = guest.instance.typed_func::<(), ()>(&mut guest.store, "grow").unwrap();
    grow.call(&mut guest.store, ()).unwrap();
    guest.set((40 << 16) + 3, 4);
    let child = options.since(&parent.index().unwrap());
    let child = guest.written(&child);
    let (parent, expected) = (parent.to_bytes().unwrap(), guest.bytes().to_vec());
    for (one, other) in [(true, true), (true, false), (false, true)] {
        let reader = |is_mapped, bytes| match is_mapped {
            true => open(bytes).unwrap(),
            false => CheckpointReader::new(bytes, &ReadOptions::new()).unwrap(),
        };
        let joined = reader(one, &child[..]).with_parent(reader(other, &parent[..])).unwrap();
        assert!(Guest::read(engine, joined).unwrap().bytes() == expected);
    }
}

fn forged(engine: &Engine) {
    let mut guest = Guest::new(engine);
    let bytes = guest.written(&CheckpointOptions::new().mappable(true));
    let expected = guest.bytes().to_vec();
    for end in (0..bytes.len()).step_by(bytes.len() / 50) {
        let read = open(&bytes[..end]).and_then(|reader| Guest::read(engine, reader));
        assert!(read.is_err(), "{end} bytes");
    }
    // The header of the only section with chunks, after the state and the module.
    let len = |at: usize| u64::from_le_bytes(bytes[at..][..8].try_into().unwrap()) as usize;
    let module = 21 + len(13);
    let section = module + 9 + len(module + 1);
    assert_eq!(bytes[section], 4);
    let (mut good, mut bad) = (0, 0);
    for at in (section..section + 17 + 45 * 35 + 10).step_by(23) {
        for change in [1, 0xff] {
            let mut forged = bytes.clone();
            forged[at] ^= change;
            let end = forged.len() - 32;
            if let Some(hash) = root(&forged) {
                forged[end..].copy_from_slice(&hash);
            }
            let mapped = open(&forged).and_then(|reader| Guest::read(engine, reader));
            let streamed = CheckpointReader::new(&forged[..], &ReadOptions::new());
            let streamed = streamed.and_then(|reader| Guest::read(engine, reader));
            match (mapped, streamed) {
                (Ok(mut one), Ok(mut other)) => {
                    assert!(one.bytes() == other.bytes(), "byte {at}");
                    good += 1;
                }
                // Of what is mapped the hash is not compared.
                (Ok(mut one), Err(_)) => good += usize::from(one.bytes().len() == expected.len()),
                (Err(_), Err(_)) => bad += 1,
                (Err(error), Ok(_)) => panic!("byte {at}: {error}"),
            }
        }
    }
    assert!(good > 10 && bad > 10, "{good} {bad}");
    // A bit of what is mapped: only who verifies it finds out.
    let mut forged = bytes.clone();
    let last = forged.len() - 100;
    forged[last] ^= 1;
    assert!(Guest::read(engine, open(&forged).unwrap()).is_ok());
    assert!(open(&forged).unwrap().verify().is_err());
}

fn changing(engine: &Engine) {
    let mut guest = Guest::new(engine);
    let bytes = guest.written(&CheckpointOptions::new().mappable(true));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.chk");
    let write = || std::fs::write(&path, &bytes).unwrap();
    let file = || std::fs::File::options().read(true).write(true).open(&path).unwrap();
    write();
    // Nobody vouches for a file on a disk.
    assert!(ImmutableFile::sealed(file()).is_err());
    for (what, change) in [
        ("cut off", Box::new(|| file().set_len(1 << 20).unwrap()) as Box<dyn Fn()>),
        ("empty", Box::new(|| file().set_len(0).unwrap())),
        ("changed", Box::new(|| std::fs::write(&path, vec![1; bytes.len()]).unwrap())),
    ] {
        write();
        // Begun before, resumed afterwards.
        let reader = CheckpointReader::new(file(), &ReadOptions::new()).unwrap();
        let copy = ImmutableFile::copy_of(file()).unwrap();
        let mapped = CheckpointReader::of_immutable(&copy, &ReadOptions::new()).unwrap();
        change();
        assert!(Guest::read(engine, reader).is_err(), "{what}");
        let mut resumed = Guest::read(engine, mapped).unwrap();
        change();
        assert!(resumed.bytes() == guest.bytes(), "{what}");
    }
}
