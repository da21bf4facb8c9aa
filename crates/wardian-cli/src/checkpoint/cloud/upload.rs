//! Writing an object in parts, of which nobody sees anything before the last one is there.

use super::{Object, runtime};
use anyhow::Result;
use object_store::{MultipartUpload, ObjectStoreExt, PutPayload};
use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::{Arc, Mutex, MutexGuard};
use tokio::task::JoinHandle;

/// Bytes of a part. Stores take 10,000 parts, all of the same size but the last one.
const PART: usize = 8 << 20;

/// Parts that are on their way at once.
const AHEAD: usize = 2;

/// An object that is being written. What was sent is given up unless it is finished.
pub(crate) struct NewObject(Arc<Mutex<Upload>>);

/// What writes to it.
struct Writer(Arc<Mutex<Upload>>);

struct Upload {
    object: Object,
    /// What was not sent.
    part: Vec<u8>,
    /// Once there is a second part.
    parts: Option<Box<dyn MultipartUpload>>,
    on_their_way: VecDeque<JoinHandle<object_store::Result<()>>>,
    len: u64,
    /// Why no more can be written.
    failed: Option<String>,
}

impl NewObject {
    pub(super) fn new(object: Object) -> NewObject {
        NewObject(Arc::new(Mutex::new(Upload {
            object,
            part: Vec::new(),
            parts: None,
            on_their_way: VecDeque::new(),
            len: 0,
            failed: None,
        })))
    }

    pub(in crate::checkpoint) fn writer(&self) -> Box<dyn Write + Send> {
        Box::new(Writer(self.0.clone()))
    }

    /// Bytes that were written.
    pub(in crate::checkpoint) fn len(&self) -> u64 {
        lock(&self.0).len
    }

    /// Makes what was written the object.
    pub(in crate::checkpoint) fn finish(self) -> Result<()> {
        lock(&self.0).finish()
    }
}

impl Drop for NewObject {
    fn drop(&mut self) {
        lock(&self.0).give_up();
    }
}

fn lock(upload: &Mutex<Upload>) -> MutexGuard<'_, Upload> {
    upload.lock().unwrap_or_else(|e| e.into_inner())
}

impl Write for Writer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut upload = lock(&self.0);
        if let Some(why) = &upload.failed {
            return Err(io::Error::other(why.clone()));
        }
        upload.write(bytes).map_err(|error| {
            let why = format!("{error:#}");
            upload.failed = Some(why.clone());
            io::Error::other(why)
        })
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Upload {
    fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        if self.part.len() == PART {
            self.send()?;
        }
        let len = bytes.len().min(PART - self.part.len());
        self.part.extend_from_slice(&bytes[..len]);
        self.len += len as u64;
        Ok(len)
    }

    /// Sends a part, when there is room for one on the way.
    fn send(&mut self) -> Result<()> {
        if self.parts.is_none() {
            let Object { store, path, .. } = &self.object;
            self.parts = Some(self.object.wait(store.put_multipart(path))?);
        }
        self.wait_for(AHEAD - 1)?;
        if let Some(parts) = &mut self.parts {
            let part = PutPayload::from(std::mem::take(&mut self.part));
            self.on_their_way.push_back(runtime()?.spawn(parts.put_part(part)));
        }
        Ok(())
    }

    /// Waits until no more parts are on their way than these.
    fn wait_for(&mut self, most: usize) -> Result<()> {
        while self.on_their_way.len() > most {
            let Some(part) = self.on_their_way.pop_front() else { break };
            self.object.wait(async { part.await? })?;
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<()> {
        if self.parts.is_none() {
            let Object { store, path, .. } = &self.object;
            let all = PutPayload::from(std::mem::take(&mut self.part));
            return self.object.wait(store.put(path, all)).map(drop);
        }
        self.send()?;
        self.wait_for(0)?;
        if let Some(parts) = &mut self.parts {
            self.object.wait(parts.complete())?;
        }
        // There is nothing to be given up any more.
        self.parts = None;
        Ok(())
    }

    /// Tells the store to forget the parts. If that fails, it keeps them for as long as it is set up to.
    fn give_up(&mut self) {
        self.on_their_way.drain(..).for_each(|part| part.abort());
        if let Some(mut parts) = self.parts.take() {
            let _ = self.object.wait(async move { parts.abort().await });
        }
    }
}
