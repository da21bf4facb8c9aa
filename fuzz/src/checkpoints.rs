//! Checkpoints that somebody has changed, with a hash that fits: they are refused, or the guest continues in a state
//! that it could have had. Whatever it is, nothing breaks.

mod guests;
#[path = "../../tests/behaviour/checkpoints/root.rs"]
mod root;

use crate::input::Input;
use crate::outcome::{note, note_error};
use guests::{FIXTURES, Fixture, Host, linker, store};
use root::root;
use std::time::{Duration, Instant};
use wardian::{
    AsContextMut, Extern, FuncType, Val,
    checkpoint::{Checkpoint, ResumeOptions},
};

/// Bytes before the state: magic, version, the header of its section.
const START: usize = 21;
/// Bytes of the hash at the end.
const HASH: usize = 32;

pub(crate) fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let fixture = &FIXTURES[input.below(FIXTURES.len())];
    if fixture.checkpoints.is_empty() {
        return;
    }
    let mut bytes = fixture.checkpoints[input.below(fixture.checkpoints.len())].clone();
    let engine = input.below(fixture.modules.len());
    let given = input.below(3) == 0;
    for _ in 0..=input.below(4) {
        change(&mut bytes, &mut input);
    }
    if let Some(again) = resume(fixture, engine, &bytes, given) {
        let next = (engine + 1) % fixture.modules.len();
        note("a changed guest is written down again");
        resume(fixture, next, &again, false);
    }
}

/// Changes the state, mostly; lengths and the hash are made to fit.
fn change(bytes: &mut Vec<u8>, input: &mut Input<'_>) {
    let len = u64::from_le_bytes(bytes[13..START].try_into().expect("eight bytes")) as usize;
    let mut state = bytes[START..START + len].to_vec();
    let mut rest = bytes[START + len..bytes.len() - HASH].to_vec();
    let at = input.below(state.len().max(1));
    match input.below(8) {
        0 => state[at] ^= 1 << input.below(8),
        1 => state[at] = input.byte(),
        2 => state[at] = state[at].wrapping_add(1),
        3 => state.insert(at, input.byte()),
        4 => drop(state.remove(at)),
        5 => {
            // A value in the place of another.
            let (from, count) = (input.below(state.len()), 1 + input.below(6));
            let copy: Vec<u8> = state[from..].iter().copied().take(count).collect();
            let end = (at + copy.len()).min(state.len());
            state.splice(at..end, copy);
        }
        6 => {
            // A number of many bytes.
            let long = [0xff, 0xff, 0xff, 0xff, 0x0f];
            state.splice(at..=at, long);
        }
        _ => {
            let at = input.below(rest.len());
            rest[at] ^= 1 << input.below(8);
        }
    }
    let mut whole = bytes[..13].to_vec();
    whole.extend((state.len() as u64).to_le_bytes());
    whole.extend(state);
    whole.extend(rest);
    whole.extend([0; HASH]);
    if let Some(hash) = root(&whole) {
        let end = whole.len() - HASH;
        whole[end..].copy_from_slice(&hash);
    }
    // Without a state there is nothing to change further.
    if whole.len() > START + HASH + 16 && whole[13..START] != [0; 8] {
        *bytes = whole;
    }
}

/// Resumes it and uses the store; returns a checkpoint of what became of it.
fn resume(fixture: &Fixture, engine: usize, bytes: &[u8], given: bool) -> Option<Vec<u8>> {
    let checkpoint = match Checkpoint::from_bytes(bytes) {
        Ok(checkpoint) => checkpoint,
        Err(error) => {
            note_error("read", &error);
            return None;
        }
    };
    let module = &fixture.modules[engine];
    read_at_once(module, bytes);
    let mut store = store(module.engine(), Host { at: Some(1), ..Host::default() });
    let options = ResumeOptions::new().with_module(module);
    let resumed = match checkpoint.resume(&mut store, &linker(module), &options) {
        Ok(resumed) => resumed,
        Err(error) => {
            note_error("resume", &error);
            // It is of no use, but nothing breaks.
            store.gc();
            return None;
        }
    };
    let instances = resumed.instances().to_vec();
    store.set_fuel(3_000).expect("fuel is counted");
    // What waits may wait for ever.
    store.set_deadline(Some(Instant::now() + Duration::from_millis(20)));
    if resumed.is_running() {
        store.gc();
        let results = resumed.pending().map(|pending| zeros(&pending.ty));
        let done = match results {
            Some(results) if given => resumed.run_with(&mut store, &results),
            _ => resumed.run(&mut store),
        };
        match done {
            Ok(_) => note("it returns"),
            Err(error) => note_error("run", &error),
        }
    }
    store.gc();
    for instance in instances {
        for (_, export) in instance.exports(&mut store) {
            if let Extern::Func(func) = export {
                call(&mut store, func);
            }
        }
    }
    store.gc();
    let taken = store.data_mut().taken.take();
    taken.or_else(|| guests::idle(&mut store))
}

/// Reads it into a store, which is of the same use as the checkpoint.
fn read_at_once(module: &wardian::Module, bytes: &[u8]) {
    let options = ResumeOptions::new().with_module(module);
    let mut store = store(module.engine(), Host::default());
    let reader =
        wardian::checkpoint::CheckpointReader::new(bytes, &wardian::checkpoint::ReadOptions::new());
    let resumed = reader.and_then(|reader| reader.resume(&mut store, &linker(module), &options));
    if let Err(error) = resumed {
        note_error("read at once", &error);
    }
    store.gc();
}

fn call(store: &mut wardian::Store<Host>, func: wardian::Func) {
    store.set_fuel(2_000).expect("fuel is counted");
    let ty = func.ty(&*store);
    let params: Vec<Val> = ty.params().iter().map(|ty| Val::zero(*ty)).collect();
    let mut results = zeros(&ty);
    if let Err(error) = func.call(store.as_context_mut(), &params, &mut results) {
        note_error("call", &error);
    }
}

fn zeros(ty: &FuncType) -> Vec<Val> {
    ty.results().iter().map(|ty| Val::zero(*ty)).collect()
}
