//! A writer whose writing is done elsewhere.

use std::io::{self, Write};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;

/// Buffers on their way to the thread, at most.
const WAITING: usize = 16;

/// Writes on a thread of its own, so that a guest that is traced does not wait for the disk, as long as
/// that keeps up. Each [`write`](Write::write) hands over a buffer, so it is to be given large ones, as
/// [`crate::TraceListener`] does; at most 16 of them are on their way at once.
///
/// After an error nothing more is written; later calls return it. [`flush`](Write::flush) waits until all is
/// written. When it is dropped the rest is written, too.
///
/// ```
/// use std::io::Write;
/// let buffer = wardian_observe::TraceBuffer::new(100);
/// let mut writer = wardian_observe::BackgroundWriter::new(buffer.clone())?;
/// writer.write_all(b"written elsewhere")?;
/// writer.flush()?;
/// assert_eq!(buffer.contents(), b"written elsewhere");
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct BackgroundWriter {
    /// None when it is being dropped.
    jobs: Option<SyncSender<Job>>,
    /// Buffers that were written.
    empty: Receiver<Vec<u8>>,
    thread: Option<JoinHandle<()>>,
    /// Why the thread ended.
    error: Arc<OnceLock<io::Error>>,
}

#[derive(Debug)]
enum Job {
    Write(Vec<u8>),
    /// Flushes, and says that this is done.
    Flush(SyncSender<()>),
}

impl BackgroundWriter {
    /// Starts the thread, which writes with this writer.
    ///
    /// # Errors
    ///
    /// The system has no thread to give.
    pub fn new(writer: impl Write + Send + 'static) -> io::Result<BackgroundWriter> {
        let (jobs, to_do) = sync_channel(WAITING);
        let (done, empty) = sync_channel(WAITING);
        let thread = std::thread::Builder::new().name("wardian-writer".into());
        let error = Arc::<OnceLock<io::Error>>::default();
        let failed = error.clone();
        let thread = thread.spawn(move || {
            if let Err(error) = work(writer, &to_do, &done) {
                // Nobody else sets it.
                let _ = failed.set(error);
            }
        })?;
        Ok(BackgroundWriter { jobs: Some(jobs), empty, thread: Some(thread), error })
    }

    fn send(&mut self, job: Job) -> io::Result<()> {
        let jobs = self.jobs.as_ref().ok_or(io::ErrorKind::BrokenPipe)?;
        jobs.send(job).map_err(|_| self.failure())
    }

    /// Why the thread does nothing more.
    fn failure(&mut self) -> io::Error {
        // It is ending, and has said why by then.
        if let Some(thread) = self.thread.take() {
            // A panic is reported below.
            let _ = thread.join();
        }
        match self.error.get() {
            Some(error) => io::Error::new(error.kind(), error.to_string()),
            None => io::Error::new(io::ErrorKind::BrokenPipe, "the writer panicked"),
        }
    }
}

fn work(
    mut writer: impl Write,
    jobs: &Receiver<Job>,
    done: &SyncSender<Vec<u8>>,
) -> io::Result<()> {
    for job in jobs {
        match job {
            Job::Write(mut bytes) => {
                writer.write_all(&bytes)?;
                bytes.clear();
                // If there are enough, one less is needed.
                let _ = done.try_send(bytes);
            }
            Job::Flush(answer) => {
                writer.flush()?;
                // Who asked may be gone.
                let _ = answer.send(());
            }
        }
    }
    Ok(())
}

impl Write for BackgroundWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut buffer = self.empty.try_recv().unwrap_or_default();
        buffer.extend_from_slice(bytes);
        self.send(Job::Write(buffer))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let (answer, answered) = sync_channel(1);
        self.send(Job::Flush(answer))?;
        answered.recv().map_err(|_| self.failure())
    }
}

impl Drop for BackgroundWriter {
    fn drop(&mut self) {
        drop(self.jobs.take());
        if let Some(thread) = self.thread.take() {
            // A panic was reported already.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::BackgroundWriter;
    use std::io::{self, Write};
    use std::sync::{Arc, Mutex};

    /// Takes so many bytes.
    struct Limited(Arc<Mutex<Vec<u8>>>, usize);

    impl Write for Limited {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let mut written = self.0.lock().unwrap();
            if written.len() + bytes.len() > self.1 {
                return Err(io::ErrorKind::StorageFull.into());
            }
            written.extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn all_is_written_in_order() {
        let written = Arc::<Mutex<Vec<u8>>>::default();
        let mut writer = BackgroundWriter::new(Limited(written.clone(), usize::MAX)).unwrap();
        for i in 0..1000u32 {
            writer.write_all(&i.to_le_bytes()).unwrap();
        }
        drop(writer);
        let expected: Vec<u8> = (0..1000u32).flat_map(u32::to_le_bytes).collect();
        assert_eq!(*written.lock().unwrap(), expected);
    }

    #[test]
    fn errors_are_told() {
        let written = Arc::<Mutex<Vec<u8>>>::default();
        let mut writer = BackgroundWriter::new(Limited(written.clone(), 10)).unwrap();
        writer.write_all(b"123456").unwrap();
        writer.flush().unwrap();
        writer.write_all(b"789abc").unwrap();
        assert_eq!(writer.flush().unwrap_err().kind(), io::ErrorKind::StorageFull);
        // It would have room, but not after a gap.
        assert_eq!(writer.write(b"x").unwrap_err().kind(), io::ErrorKind::StorageFull);
        drop(writer);
        assert_eq!(*written.lock().unwrap(), b"123456");
    }

    #[test]
    fn a_writer_that_panics_is_told_of() {
        struct Panics;
        impl Write for Panics {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                std::panic::resume_unwind(Box::new(()))
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let mut writer = BackgroundWriter::new(Panics).unwrap();
        let _ = writer.write_all(b"1");
        assert_eq!(writer.flush().unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    }
}
