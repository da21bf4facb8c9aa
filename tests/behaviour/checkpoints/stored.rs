//! How checkpoints are stored: what takes no room, chains, keys, streams, and in what two of them differ.

use super::root::root;
use super::{Host, interpreter, linker, rest, until};
use crate::matrix::{Behaviour, module};
use wardian::{
    Caller, Engine, Error, ErrorKind, Linker, Result, Store,
    checkpoint::{
        Checkpoint, CheckpointIndex, CheckpointOptions, CheckpointReader, ReadOptions,
        ResumeOptions,
    },
};

pub(crate) const TABLE: &[Behaviour] = &[
    ("what the module puts into a memory takes no room in a checkpoint", data),
    ("a checkpoint that is written at once is the same, and is read into a store", streams),
    ("a chain of checkpoints stores what has changed, and is joined", chain),
    ("parents that do not fit are refused", wrong_parents),
    ("a checkpoint with a key is read with the same one only", keys),
    ("a writer or reader that fails is an error", failing),
    ("forged chunks break nothing", forged_chunks),
    ("two checkpoints are compared", differences),
];

/// Data over the end of a chunk, and a second segment over the first one.
const DATA: &str = r#"(module (memory (export "m") 4)
  (data (i32.const 65530) "over the end") (data (i32.const 65534) "XYZ")
  (data $passive "later")
  (func (export "set") (param i32 i32) (i32.store8 (local.get 0) (local.get 1)))
  (func (export "grow") (drop (memory.grow (i32.const 1)))))"#;

struct Guest {
    store: Store<()>,
    instance: wardian::Instance,
}

impl Guest {
    fn new(engine: &Engine, text: &str) -> Guest {
        let mut store = Store::new(engine, ());
        let linker: Linker<()> = Linker::new(engine);
        let instance = linker.instantiate(&mut store, &module(engine, text)).unwrap();
        Guest { store, instance }
    }

    fn resumed(engine: &Engine, checkpoint: &Checkpoint) -> Result<Guest> {
        let mut store = Store::new(engine, ());
        let resumed = checkpoint.resume(&mut store, &Linker::new(engine), &ResumeOptions::new())?;
        Ok(Guest { instance: resumed.instances()[0], store })
    }

    fn read(engine: &Engine, reader: CheckpointReader<'_>) -> Result<Guest> {
        let mut store = Store::new(engine, ());
        let resumed = reader.resume(&mut store, &Linker::new(engine), &ResumeOptions::new())?;
        Ok(Guest { instance: resumed.instances()[0], store })
    }

    fn set(&mut self, at: i32, value: i32) {
        let set = self.instance.typed_func::<(i32, i32), ()>(&mut self.store, "set").unwrap();
        set.call(&mut self.store, (at, value)).unwrap();
    }

    fn grow(&mut self) {
        let grow = self.instance.typed_func::<(), ()>(&mut self.store, "grow").unwrap();
        grow.call(&mut self.store, ()).unwrap();
    }

    fn memory(&mut self) -> Vec<u8> {
        let memory = self.instance.get_memory(&mut self.store, "m").unwrap();
        memory.data(&self.store).to_vec()
    }

    fn take(&mut self, options: &CheckpointOptions) -> Checkpoint {
        let taken = self.store.checkpoint(options).unwrap();
        let read = ReadOptions::new();
        let again = Checkpoint::read_with(&taken.to_bytes().unwrap()[..], &read).unwrap();
        assert_eq!(taken.hash().unwrap(), again.hash().unwrap());
        taken
    }
}

/// How many bytes of the only memory are stored.
fn stored(checkpoint: &Checkpoint) -> u64 {
    checkpoint.memories().next().unwrap().1
}

fn data(engine: &Engine) {
    let mut guest = Guest::new(engine, DATA);
    let first = guest.memory();
    assert_eq!(&first[65530..65542], b"overXYZe end");
    let checkpoint = guest.take(&CheckpointOptions::new());
    assert_eq!(stored(&checkpoint), 0);
    assert_eq!(Guest::resumed(engine, &checkpoint).unwrap().memory(), first);
    // What is overwritten is stored, with zeroes too.
    for at in 65530..65545 {
        guest.set(at, 0);
    }
    let checkpoint = guest.take(&CheckpointOptions::new());
    assert_eq!(stored(&checkpoint), 0, "zeroes take no room");
    assert_eq!(Guest::resumed(engine, &checkpoint).unwrap().memory(), guest.memory());
    guest.set(65536, 1);
    let checkpoint = guest.take(&CheckpointOptions::new());
    assert!(stored(&checkpoint) > 0);
    assert_eq!(Guest::resumed(engine, &checkpoint).unwrap().memory(), guest.memory());
    // A memory of the embedder's has no module that says what it has.
    let importer = r#"(module (import "h" "m" (memory 4)) (data (i32.const 9) "data") (export "m" (memory 0)))"#;
    let give = |store: &mut Store<()>, filled: u8| {
        let memory = wardian::Memory::new(&mut *store, wardian::MemoryType::new(4, None)).unwrap();
        memory.data_mut(&mut *store).fill(filled);
        let mut linker: Linker<()> = Linker::new(engine);
        linker.define("h", "m", memory).unwrap();
        (linker, memory)
    };
    let mut store = Store::new(engine, ());
    let (linker, memory) = give(&mut store, 0);
    linker.instantiate(&mut store, &module(engine, importer)).unwrap();
    let expected = memory.data(&store).to_vec();
    let checkpoint = store.checkpoint(&CheckpointOptions::new()).unwrap();
    assert!(stored(&checkpoint) > 0);
    let mut store = Store::new(engine, ());
    let (linker, memory) = give(&mut store, 0xaa);
    checkpoint.resume(&mut store, &linker, &ResumeOptions::new()).unwrap();
    assert!(memory.data(&store) == expected);
}

fn streams(engine: &Engine) {
    for options in [CheckpointOptions::new(), CheckpointOptions::new().compress(false)] {
        let mut guest = Guest::new(engine, DATA);
        for k in 0..40 {
            guest.set(k * 6553, k);
        }
        let whole = guest.take(&options);
        let mut bytes = Vec::new();
        let index = guest.store.checkpoint_to(&options, &mut bytes).unwrap();
        assert_eq!(bytes, whole.to_bytes().unwrap());
        assert_eq!(*index.hash(), whole.hash().unwrap());
        let reader = CheckpointReader::new(&bytes[..], &ReadOptions::new()).unwrap();
        assert_eq!(reader.modules().count(), 1);
        assert_eq!(Guest::read(engine, reader).unwrap().memory(), guest.memory());
        // Whatever is damaged or missing is found before a guest could run.
        for at in (0..bytes.len()).step_by(bytes.len() / 150) {
            let mut other = bytes.clone();
            other[at] ^= 4;
            for bytes in [&other[..], &bytes[..at]] {
                let read = CheckpointReader::new(bytes, &ReadOptions::new());
                let error = read.and_then(|reader| Guest::read(engine, reader)).err();
                assert!(error.is_some(), "byte {at}");
            }
        }
    }
    // A guest that is in a call.
    let text = r#"(module (import "h" "tell" (func $tell (param i64) (result i64))) (memory 2)
      (func (export "run") (result i64) (i64.store (i32.const 70000) (i64.const 5))
        (i64.add (call $tell (i64.const 1)) (i64.load (i32.const 70000)))))"#;
    let from = interpreter(engine);
    let (_, checkpoint) = until(&from, &module(&from, text), 0).unwrap();
    let bytes = checkpoint.to_bytes().unwrap();
    let mut store = Store::new(engine, Host::default());
    let reader = CheckpointReader::new(&bytes[..], &ReadOptions::new()).unwrap();
    let resumed = reader.resume(&mut store, &linker(engine), &ResumeOptions::new()).unwrap();
    assert_eq!(resumed.run(&mut store).unwrap(), rest(engine, &checkpoint).1.unwrap());
    // From a host function.
    let mut linker: Linker<Vec<u8>> = Linker::new(&from);
    let save = |mut caller: Caller<'_, Vec<u8>>, x: i64| -> Result<i64> {
        let mut bytes = Vec::new();
        caller.checkpoint_to(&CheckpointOptions::new(), &mut bytes)?;
        *caller.data_mut() = bytes;
        Ok(x)
    };
    linker.func_wrap("h", "tell", save).unwrap();
    let mut store = Store::new(&from, Vec::new());
    let instance = linker.instantiate(&mut store, &module(&from, text)).unwrap();
    let run = instance.typed_func::<(), i64>(&mut store, "run").unwrap();
    assert_eq!(run.call(&mut store, ()).unwrap(), 6);
    assert_eq!(Checkpoint::from_bytes(store.data()).unwrap().frames().len(), 1);
}

fn chain(engine: &Engine) {
    let mut guest = Guest::new(engine, DATA);
    let mut taken: Vec<(Checkpoint, Vec<u8>, Vec<u8>)> = Vec::new();
    let mut index: Option<CheckpointIndex> = None;
    for step in 0..5 {
        match step {
            0 => (0..4).for_each(|chunk| guest.set(chunk * 65536 + 7, 1)),
            1 => guest.set(2 * 65536, 9),
            // The chunk is as its module says again, and then zero.
            2 => guest.set(7, 0),
            3 => (65530..65545).chain([65543, 65536 + 7]).for_each(|at| guest.set(at, 0)),
            _ => {
                guest.grow();
                guest.set(4 * 65536 + 1, 3);
            }
        }
        let options = match &index {
            Some(index) => CheckpointOptions::new().since(index),
            None => CheckpointOptions::new(),
        };
        let checkpoint = guest.take(&options);
        assert_eq!(checkpoint.parent().is_some(), step > 0);
        // Written at once it is the same, and what it gives is as good.
        let mut bytes = Vec::new();
        let written = guest.store.checkpoint_to(&options, &mut bytes).unwrap();
        assert_eq!(bytes, checkpoint.to_bytes().unwrap());
        let known = checkpoint.index().unwrap();
        assert_eq!(known.hash(), written.hash());
        index = Some(if step % 2 == 0 { known } else { written });
        if step > 0 {
            assert!(checkpoint.modules().all(|module| module.bytes.is_none()));
            let error = Guest::resumed(engine, &checkpoint).err().unwrap();
            assert!(error.to_string().contains("changed since its parent"), "{error}");
            // One that was read does not know what it is compared with.
            assert!(Checkpoint::from_bytes(&bytes).unwrap().index().is_err());
        }
        taken.push((checkpoint, bytes, guest.memory()));
    }
    let sizes: Vec<_> = taken.iter().map(|(checkpoint, ..)| stored(checkpoint)).collect();
    assert!(sizes[0] > 3 * sizes[1] && sizes[1] > 0 && sizes[3] == 0, "{sizes:?}");
    for (at, (checkpoint, _, memory)) in taken.iter().enumerate() {
        let find = |hash: &[u8; 32]| -> Result<Checkpoint> {
            let found = taken.iter().find(|(known, ..)| known.hash().unwrap() == *hash);
            Checkpoint::from_bytes(&found.expect("it is asked for one of them").1)
        };
        let whole = checkpoint.clone().compact(find).unwrap();
        assert_eq!(whole.parent(), None);
        let whole = Checkpoint::from_bytes(&whole.to_bytes().unwrap()).unwrap();
        assert!(Guest::resumed(engine, &whole).unwrap().memory() == *memory, "checkpoint {at}");
        assert!(Guest::read(engine, readers(&taken, at).unwrap()).unwrap().memory() == *memory);
    }
}

/// A checkpoint of a list with those before it.
fn readers(taken: &[(Checkpoint, Vec<u8>, Vec<u8>)], at: usize) -> Result<CheckpointReader<'_>> {
    let open = |at: usize| CheckpointReader::new(&taken[at].1[..], &ReadOptions::new());
    let mut reader = open(at)?;
    for parent in (0..at).rev() {
        assert_eq!(*reader.parent().unwrap(), taken[parent].0.hash().unwrap());
        reader = reader.with_parent(open(parent)?)?;
    }
    assert_eq!(reader.parent(), None);
    Ok(reader)
}

fn wrong_parents(engine: &Engine) {
    let refused = |error: Error, expected: &str| {
        assert!(matches!(error.kind(), ErrorKind::Checkpoint(_)), "{error}");
        assert!(error.to_string().contains(expected), "{error}");
    };
    let mut guest = Guest::new(engine, DATA);
    guest.set(1, 1);
    let first = guest.take(&CheckpointOptions::new());
    guest.set(1, 2);
    let other = guest.take(&CheckpointOptions::new());
    let child = guest.take(&CheckpointOptions::new().since(&first.index().unwrap()));
    refused(child.clone().compact(|_| Ok(other.clone())).unwrap_err(), "was given");
    refused(child.clone().compact(|_| Ok(child.clone())).unwrap_err(), "was given");
    let error = child.clone().compact(|_| Err(Error::host("none is there"))).unwrap_err();
    assert!(error.to_string().contains("none is there"), "{error}");
    let bytes = |checkpoint: &Checkpoint| checkpoint.to_bytes().unwrap();
    let (first_bytes, other_bytes, child_bytes) = (bytes(&first), bytes(&other), bytes(&child));
    let open = |bytes| CheckpointReader::new(bytes, &ReadOptions::new()).unwrap();
    refused(Guest::read(engine, open(&child_bytes[..])).err().unwrap(), "since its parent");
    // The other one fits, and is found out when it has been read.
    let joined = open(&child_bytes[..]).with_parent(open(&other_bytes[..])).unwrap();
    refused(Guest::read(engine, joined).err().unwrap(), "was given");
    let with = |parent| open(&child_bytes[..]).with_parent(open(parent)).unwrap();
    refused(with(&other_bytes[..]).verify().unwrap_err(), "was given");
    refused(open(&child_bytes[..]).verify().unwrap_err(), "since its parent");
    with(&first_bytes[..]).verify().unwrap();
    refused(open(&first_bytes[..]).with_parent(open(&other_bytes[..])).unwrap_err(), "has none");
    // Of another module's memory nothing is taken, so the checkpoint has all.
    let mut stranger = Guest::new(engine, &DATA.replace("XYZ", "ABC"));
    stranger.set(1, 1);
    let alone = stranger.take(&CheckpointOptions::new().since(&first.index().unwrap()));
    let memory = stranger.memory();
    let joined = alone.compact(|_| Ok(first.clone())).unwrap();
    assert!(Guest::resumed(engine, &joined).unwrap().memory() == memory);
    // Nor of one that was larger.
    guest.grow();
    let large = guest.take(&CheckpointOptions::new());
    let mut small = Guest::new(engine, DATA);
    small.set(9, 9);
    let alone = small.take(&CheckpointOptions::new().since(&large.index().unwrap()));
    let joined = alone.compact(|_| Ok(large.clone())).unwrap();
    assert!(Guest::resumed(engine, &joined).unwrap().memory() == small.memory());
}

fn keys(engine: &Engine) {
    let key = [7; 32];
    let mut guest = Guest::new(engine, DATA);
    guest.set(5, 5);
    let options = CheckpointOptions::new().with_key(key);
    let first = guest.store.checkpoint(&options).unwrap();
    let mut bytes = Vec::new();
    let index = guest.store.checkpoint_to(&options, &mut bytes).unwrap();
    assert_eq!(bytes, first.to_bytes().unwrap());
    let plain = guest.take(&CheckpointOptions::new()).to_bytes().unwrap();
    let with = |key| ReadOptions::new().with_key(key);
    for (bytes, options, expected) in [
        (&bytes, ReadOptions::new(), Some("with a key")),
        (&bytes, with([8; 32]), Some("another key")),
        (&bytes, with(key), None),
        (&plain, with(key), Some("without a key")),
    ] {
        let read = Checkpoint::read_with(&bytes[..], &options);
        let reader = CheckpointReader::new(&bytes[..], &options);
        let streamed = reader.and_then(|reader| Guest::read(engine, reader)).err();
        let reader = CheckpointReader::new(&bytes[..], &options);
        let verified = reader.and_then(CheckpointReader::verify).err();
        for error in [read.err(), streamed, verified] {
            match (expected, error) {
                (Some(expected), Some(e)) => assert!(e.to_string().contains(expected), "{e}"),
                (None, None) => {}
                (_, error) => panic!("{expected:?}: {error:?}"),
            }
        }
    }
    // A forger who has no key cannot make the hash.
    let mut forged = bytes.clone();
    let end = forged.len() - 32;
    let hash = root(&forged).unwrap();
    forged[end..].copy_from_slice(&hash);
    assert!(Checkpoint::read_with(&forged[..], &with(key)).is_err());
    // Children have the key of their parents.
    assert!(guest.store.checkpoint(&CheckpointOptions::new().since(&index)).is_err());
    guest.set(6, 6);
    let child = guest.store.checkpoint(&options.since(&index)).unwrap();
    let child = Checkpoint::read_with(&child.to_bytes().unwrap()[..], &with(key)).unwrap();
    let whole = child.compact(|_| Ok(first.clone())).unwrap();
    let whole = Checkpoint::read_with(&whole.to_bytes().unwrap()[..], &with(key)).unwrap();
    assert!(Guest::resumed(engine, &whole).unwrap().memory() == guest.memory());
}

/// Writes or reads so many bytes, and then fails.
struct Failing<R>(usize, R);

impl<R> Failing<R> {
    fn take(&mut self, len: usize) -> std::io::Result<usize> {
        let taken = self.0.min(len);
        self.0 -= taken;
        if taken == 0 && len > 0 {
            Err(std::io::Error::other("the cable is cut"))
        } else {
            Ok(taken)
        }
    }
}

impl std::io::Write for Failing<()> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.take(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<R: std::io::Read> std::io::Read for Failing<R> {
    fn read(&mut self, bytes: &mut [u8]) -> std::io::Result<usize> {
        let len = self.take(bytes.len())?;
        self.1.read(&mut bytes[..len])
    }
}

fn failing(engine: &Engine) {
    // So much that several threads pack it.
    let text = DATA.replace("\"m\") 4", "\"m\") 200");
    let mut guest = Guest::new(engine, &text);
    for chunk in 0..200 {
        guest.set(chunk * 65536, chunk + 1);
    }
    let options = CheckpointOptions::new().compress(false);
    let bytes = guest.take(&options).to_bytes().unwrap();
    for at in (0..bytes.len()).step_by(bytes.len() / 7) {
        let error = guest.store.checkpoint_to(&options, Failing(at, ())).unwrap_err();
        assert!(error.to_string().contains("cable"), "{error}");
        let read = CheckpointReader::new(Failing(at, &bytes[..]), &ReadOptions::new());
        let error = read.and_then(|reader| Guest::read(engine, reader)).err().unwrap();
        let text = error.to_string();
        assert!(text.contains("cable") || text.contains("no checkpoint"), "{error}");
    }
    // The store is in order.
    guest.set(0, 9);
    assert_eq!(guest.memory()[0], 9);
}

fn forged_chunks(engine: &Engine) {
    let mut guest = Guest::new(engine, DATA);
    guest.set(5, 5);
    let parent = guest.take(&CheckpointOptions::new());
    guest.set(3 * 65536, 5);
    guest.set(5, 0);
    let options = CheckpointOptions::new();
    let child = guest.take(&options.since(&parent.index().unwrap())).to_bytes().unwrap();
    let whole = guest.take(&CheckpointOptions::new()).to_bytes().unwrap();
    let plain = guest.take(&CheckpointOptions::new().compress(false)).to_bytes().unwrap();
    let (mut good, mut bad) = (0, 0);
    for bytes in [child, whole, plain] {
        // From the state on; of contents, which are many, few.
        let len = u64::from_le_bytes(bytes[13..21].try_into().unwrap()) as usize;
        let contents = bytes.len() > 10_000;
        let places = (21..bytes.len() - 32).filter(|at| !contents || *at < 21 + len + 600);
        for at in places {
            for change in [1, 4, 0xff] {
                let mut bytes = bytes.clone();
                bytes[at] ^= change;
                let end = bytes.len() - 32;
                if let Some(hash) = root(&bytes) {
                    bytes[end..].copy_from_slice(&hash);
                }
                let read = CheckpointReader::new(&bytes[..], &ReadOptions::new());
                let joined = read.and_then(|reader| match reader.parent() {
                    Some(_) => {
                        let bytes = parent.to_bytes()?;
                        let from = std::io::Cursor::new(bytes);
                        reader.with_parent(CheckpointReader::new(from, &ReadOptions::new())?)
                    }
                    None => Ok(reader),
                });
                let streamed = joined.and_then(|reader| Guest::read(engine, reader));
                let read = Checkpoint::from_bytes(&bytes)
                    .and_then(|checkpoint| checkpoint.compact(|_| Ok(parent.clone())))
                    .and_then(|checkpoint| Guest::resumed(engine, &checkpoint));
                match (streamed, read) {
                    (Ok(mut one), Ok(mut other)) => {
                        assert!(one.memory() == other.memory(), "byte {at}");
                        good += 1;
                    }
                    (Err(_), Err(_)) => bad += 1,
                    (Err(error), Ok(_)) => {
                        panic!("byte {at} ^ {change}: read, not streamed: {error}")
                    }
                    (Ok(_), Err(error)) => {
                        panic!("byte {at} ^ {change}: streamed, not read: {error}")
                    }
                }
            }
        }
    }
    assert!(good > 100 && bad > 500, "{good} {bad}");
}

fn differences(engine: &Engine) {
    let text = r#"(module (import "h" "tell" (func $tell (param i64) (result i64)))
      (memory 4) (table 9 funcref) (elem declare func $run $middle)
      (data (i32.const 0) "data")
      (global $g (mut i32) (i32.const 7)) (global $h (mut v128) (v128.const i64x2 0 0))
      (func $middle (param i64) (drop (call $tell (local.get 0))))
      (func $run (export "run")
        (call $middle (i64.const 1))
        (global.set $g (i32.const 0x2a))
        (i32.store8 (i32.const 4095) (i32.const 1)) (i32.store8 (i32.const 4096) (i32.const 1))
        (i32.store8 (i32.const 200000) (i32.const 1)) (i32.store8 (i32.const 2) (i32.const 0))
        (table.set (i32.const 3) (ref.func $run)) (drop (table.grow (ref.null func) (i32.const 2)))
        (drop (call $tell (i64.const 2)))
        (drop (memory.grow (i32.const 1)))
        (drop (call $tell (i64.const 3)))))"#;
    let from = interpreter(engine);
    let module = module(&from, text);
    let at = |call| until(&from, &module, call).unwrap().1;
    let (one, two, three) = (at(0), at(1), at(2));
    assert!(one.diff(&one, engine).unwrap().is_empty());
    let diff = one.diff(&two, engine).unwrap();
    assert!(!diff.instances && diff.objects.is_none() && diff.host_state.is_empty());
    let frames = |frames: &[wardian::checkpoint::CheckpointFrame]| -> Vec<u32> {
        frames.iter().map(|frame| frame.function).collect()
    };
    assert_eq!(diff.frames.common, 0);
    assert_eq!((frames(&diff.frames.before), frames(&diff.frames.after)), (vec![1, 2], vec![2]));
    let global = &diff.globals[..];
    assert_eq!(global.len(), 1);
    let shown = |value: Option<wardian::checkpoint::CheckpointValue>| value.unwrap().to_string();
    assert_eq!((shown(global[0].before), shown(global[0].after)), ("0x7".into(), "0x2a".into()));
    assert_eq!((global[0].item.instance, global[0].item.index), (0, 0));
    let memory = &diff.memories[..];
    assert_eq!((memory.len(), memory[0].bytes), (1, 4));
    assert_eq!(memory[0].ranges, [0..8192, 196_608..200_704]);
    assert_eq!((memory[0].before, memory[0].after), (4 << 16, 4 << 16));
    let table = &diff.tables[..];
    assert_eq!((table.len(), table[0].elements), (1, 1));
    assert_eq!((table[0].before, table[0].after), (9, 11));
    let diff = two.diff(&three, engine).unwrap();
    assert_eq!((diff.memories[0].before, diff.memories[0].after), (4 << 16, 5 << 16));
    assert!(diff.memories[0].ranges.is_empty() && diff.tables.is_empty());
    // Without the module it is not known what it puts there.
    let child = three.clone();
    let mut store = Store::new(engine, ());
    let index = child.index().unwrap();
    let options = CheckpointOptions::new().with_host_state("x", [1]);
    let empty = store.checkpoint(&options).unwrap();
    let all = empty.diff(&three, engine).unwrap();
    assert!(all.instances && all.memories[0].before == 0 && all.host_state == ["x"]);
    let child = store.checkpoint(&options.since(&index)).unwrap();
    assert!(child.diff(&three, engine).is_err());
}
