//! The host functions: what they do follows from the input.

use super::ear::Ear;
use super::{SYNC, expected};
use crate::outcome::note;
use std::collections::BTreeSet;
use std::future::poll_fn;
use std::panic::resume_unwind;
use std::task::Poll;
use std::time::Duration;
use wardian::{
    AsContext, AsContextMut, CallOptions, Caller, Error, ErrorKind, Instance, Result, Val,
    cancel::CancelToken,
    listener::{Attachment, FunctionFilter},
    snapshot::Snapshot,
};

/// How deep guests and host functions call each other.
const DEPTH: usize = 3;
/// Host calls and restores in one call from outside.
const CALLS: usize = 100;
const RESTORES: usize = 12;

/// The payload of panics that are provoked.
pub(super) struct OnPurpose;

/// What host functions keep.
#[derive(Default)]
pub(super) struct World {
    script: Vec<u8>,
    at: usize,
    quiet: bool,
    ears: Vec<Ear>,
    attachments: Vec<Attachment>,
    /// With what the host function that took it returns.
    snapshots: Vec<(Snapshot, i32)>,
    tokens: Vec<CancelToken>,
    allowed: BTreeSet<&'static str>,
    depth: usize,
    calls: usize,
    restores: usize,
}

impl World {
    pub(super) fn new(data: &[u8]) -> World {
        World { script: data.to_vec(), at: 1, ..World::default() }
    }

    /// One in which host functions only return.
    pub(super) fn quiet(data: &[u8]) -> World {
        World { quiet: true, ..World::new(data) }
    }

    /// That of the next store.
    pub(super) fn next(&mut self) -> World {
        World { script: std::mem::take(&mut self.script), at: self.at, ..World::default() }
    }

    pub(super) fn is_over(&self) -> bool {
        self.at >= self.script.len()
    }

    pub(super) fn below(&mut self, limit: usize) -> usize {
        let byte = self.script.get(self.at).copied().unwrap_or(0);
        self.at += 1;
        usize::from(byte) % limit
    }

    pub(super) fn ear(&mut self) -> Ear {
        // Some serve several attachments.
        if self.ears.len() > 6 {
            let chosen = self.below(self.ears.len());
            return self.ears[chosen].clone();
        }
        self.ears.push(Ear::default());
        self.ears[self.ears.len() - 1].clone()
    }

    pub(super) fn ears(&self) -> Vec<Ear> {
        self.ears.clone()
    }

    pub(super) fn keep_token(&mut self, token: CancelToken) {
        self.tokens.push(token);
    }

    pub(super) fn allow(&mut self, what: &'static str) {
        self.allowed.insert(what);
    }

    pub(super) fn allows(&self, what: &str) -> bool {
        self.allowed.contains(what)
    }

    /// A call from outside begins. Old snapshots stay, which can no longer be restored.
    pub(super) fn begin(&mut self) {
        (self.depth, self.calls, self.restores) = (0, 0, 0);
        if self.snapshots.len() > 8 {
            self.snapshots.clear();
        }
    }

    /// Drops what refers to the store.
    pub(super) fn forget(&mut self) {
        self.attachments.clear();
        self.snapshots.clear();
        self.tokens.drain(..).for_each(|token| token.cancel());
    }
}

/// Attaches a listener, which may be attached already, to some functions.
pub(super) fn attach(mut store: impl AsContextMut<Data = World>, instance: Instance) {
    let mut context = store.as_context_mut();
    let world = context.data_mut();
    // One that is new: the same one attached twice would hear of each call twice.
    world.ears.push(Ear::default());
    let ear = world.ears[world.ears.len() - 1].clone();
    let (remainder, all) = (world.below(3) as u32, world.below(2) == 0);
    let filter = FunctionFilter::new(move |d| d.index().is_some_and(|i| all || i % 3 == remainder));
    let attachment = instance.attach(&mut context, filter.listen(ear));
    context.data_mut().attachments.push(attachment.expect("listeners can be attached"));
    note("attached");
}

/// Ends an attachment, in one of both ways.
pub(super) fn detach(mut store: impl AsContextMut<Data = World>) {
    let mut context = store.as_context_mut();
    let world = context.data_mut();
    if world.attachments.is_empty() {
        return;
    }
    let chosen = world.below(world.attachments.len());
    let attachment = world.attachments.swap_remove(chosen);
    if world.below(2) == 0 {
        attachment.detach(&mut context);
    } else {
        drop(attachment);
    }
    note("detached");
}

/// Does some things, then returns what it was given.
pub(super) fn act(mut caller: Caller<'_, World>, n: i32) -> Result<i32> {
    actions(&mut caller, n)?;
    Ok(n)
}

/// The same, having waited.
pub(super) async fn wait(mut caller: Caller<'_, World>, n: i32) -> Result<i32> {
    let mut left = caller.data_mut().below(3);
    poll_fn(|context| {
        if left == 0 {
            return Poll::Ready(());
        }
        left -= 1;
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
    actions(&mut caller, n)?;
    Ok(n)
}

fn actions(caller: &mut Caller<'_, World>, n: i32) -> Result<()> {
    let world = caller.data_mut();
    world.calls += 1;
    if world.quiet {
        return Ok(());
    }
    if world.calls > CALLS {
        return Err(Error::host("too many calls, on purpose"));
    }
    for _ in 0..world.below(3) {
        action(caller, n)?;
    }
    Ok(())
}

fn action(caller: &mut Caller<'_, World>, n: i32) -> Result<()> {
    let instance = caller.instance();
    match caller.data_mut().below(20) {
        0 | 1 => instance.into_iter().for_each(|i| attach(&mut *caller, i)),
        2 | 3 => detach(&mut *caller),
        4..=6 => snapshot(caller, n),
        7..=9 => restore(caller)?,
        10 => cancel(caller),
        11 => close(caller, instance),
        12 if caller.data_mut().below(4) == 0 => return Err(Error::host("failed on purpose")),
        13 if caller.data_mut().below(4) == 0 => resume_unwind(Box::new(OnPurpose)),
        14..=16 => nest(caller, instance)?,
        17 => meddle(caller, instance),
        _ => {}
    }
    Ok(())
}

fn snapshot(caller: &mut Caller<'_, World>, n: i32) {
    let state = caller.data_mut().below(2) == 0;
    let Some(mut snapshotter) = caller.get_snapshotter() else { return };
    let taken = if state { snapshotter.snapshot_with_state() } else { Ok(snapshotter.snapshot()) };
    let taken = taken.expect("no memory is shared");
    caller.data_mut().snapshots.push((taken, n));
    note(format!("snapshot with state {state}"));
}

fn restore(caller: &mut Caller<'_, World>) -> Result<()> {
    let world = caller.data_mut();
    if world.snapshots.is_empty() || world.restores == RESTORES {
        return Ok(());
    }
    world.restores += 1;
    let chosen = world.below(world.snapshots.len());
    let (snapshot, n) = world.snapshots[chosen].clone();
    // How deep it was taken is not known, but that guests end is: by the count of calls.
    let error = snapshot.restore(&mut *caller, &[Val::I32(n)]);
    let restored = matches!(error.kind(), ErrorKind::Restored);
    note(format!("restored {restored}"));
    // A host function that swallows it changes nothing.
    if restored && caller.data_mut().below(4) != 0 { Err(error) } else { Ok(()) }
}

fn cancel(caller: &mut Caller<'_, World>) {
    let world = caller.data_mut();
    if world.below(3) != 0 || world.tokens.is_empty() {
        return;
    }
    world.allow("cancelled");
    let chosen = world.below(world.tokens.len());
    let token = world.tokens[chosen].clone();
    std::thread::spawn(move || token.cancel()).join().expect("it does not panic");
}

fn close(caller: &mut Caller<'_, World>, instance: Option<Instance>) {
    let Some(instance) = instance.filter(|_| caller.data_mut().below(3) == 0) else { return };
    caller.data_mut().allow("closed");
    let closer = instance.closer(&mut *caller);
    if caller.data_mut().below(2) == 0 {
        closer.close_with_exit_code(3);
    } else {
        let other = std::thread::spawn(move || closer.close_with_exit_code(3));
        other.join().expect("it does not panic");
    }
}

/// Calls the guest that calls, and may swallow what goes wrong.
fn nest(caller: &mut Caller<'_, World>, instance: Option<Instance>) -> Result<()> {
    let Some(instance) = instance else { return Ok(()) };
    if caller.data().depth >= DEPTH {
        return Ok(());
    }
    let (name, n) = (SYNC[caller.data_mut().below(SYNC.len())], caller.data_mut().below(3) as i32);
    let f = instance.typed_func::<i32, i32>(&mut *caller, name).expect("it is exported");
    let mut options = CallOptions::new();
    if caller.data_mut().below(12) == 0 {
        options = options.with_timeout(Duration::ZERO);
        caller.data_mut().allow("deadline");
    }
    let depth = caller.data().depth;
    caller.data_mut().depth = depth + 1;
    let done = f.call_with(&mut *caller, &options, n);
    caller.data_mut().depth = depth;
    match done {
        Ok(result) => assert_eq!(result, expected(name, n), "inner {name}({n})"),
        Err(error) if caller.data_mut().below(2) == 0 => return Err(error),
        Err(_) => note("swallowed"),
    }
    Ok(())
}

/// Changes what the guest exports, in ways that it does not see.
fn meddle(caller: &mut Caller<'_, World>, instance: Option<Instance>) {
    let Some(instance) = instance else { return };
    let memory = instance.get_export(&mut *caller, "memory").and_then(|e| e.into_memory());
    let memory = memory.expect("it is exported");
    drop(memory.grow(&mut *caller, 1));
    memory.write(&mut *caller, 100, b"written").expect("in bounds");
    let frames = caller.backtrace().frames().len();
    assert!(frames > 0, "a host function that a guest calls has a caller");
    let _ = caller.as_context().id();
}
