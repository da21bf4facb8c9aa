//! A limit of time for each test, so that one that waits for ever fails with its name and what its threads do.
//!
//! A test harness waits for its tests without a limit, and whoever runs it sees neither which test it waits for nor
//! why: names are printed when tests have ended.

use std::collections::BTreeMap;
use std::process::Command;
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Calls `test`. If it has not returned after ten minutes, or as many seconds as `WARDIAN_TEST_LIMIT` says, the
/// threads of this process are described on standard error, and the process exits with code 101.
///
/// The usual limit is many times what the slowest test takes while other programs run. Tools under which
/// everything is slower need their own, as in `WARDIAN_TEST_LIMIT=7200 valgrind …`.
pub fn limited<R>(name: &str, test: impl FnOnce() -> R) -> R {
    let _open = Open::new(name);
    test()
}

/// A test that has begun and not ended, in the list of [`RUNNING`].
struct Open(u64);

/// Tests that have begun and not ended, by their order.
static RUNNING: Mutex<BTreeMap<u64, (String, Instant)>> = Mutex::new(BTreeMap::new());

/// Starts the thread that looks for tests past their limit, once.
static WATCH: LazyLock<()> = LazyLock::new(|| {
    std::thread::Builder::new()
        .name("time limit".into())
        .spawn(watch)
        .expect("a thread can be started");
});

impl Open {
    fn new(name: &str) -> Open {
        LazyLock::force(&WATCH);
        let mut running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
        let number = running.last_key_value().map_or(0, |(last, _)| last + 1);
        running.insert(number, (name.into(), Instant::now()));
        Open(number)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let ended = RUNNING.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.0);
        if let Some((name, began)) = ended
            && began.elapsed() > limit() / SLOW
        {
            eprintln!("test {name} took {} s", began.elapsed().as_secs());
        }
    }
}

/// A test that takes more than this part of its limit is named, so that it can be mended before a slower machine exceeds
/// the limit.
const SLOW: u32 = 10;

fn limit() -> Duration {
    static LIMIT: LazyLock<Duration> = LazyLock::new(|| {
        let given = std::env::var("WARDIAN_TEST_LIMIT").ok();
        Duration::from_secs(given.and_then(|seconds| seconds.parse().ok()).unwrap_or(600))
    });
    *LIMIT
}

fn watch() {
    loop {
        std::thread::sleep(Duration::from_secs(1));
        let running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
        let late: Vec<_> =
            running.values().filter(|(_, began)| began.elapsed() > limit()).collect();
        if late.is_empty() {
            continue;
        }
        for (name, began) in late {
            eprintln!("test {name} has not ended after {} s", began.elapsed().as_secs());
        }
        describe_threads();
        std::process::exit(101);
    }
}

/// What the threads of this process do: where they wait in the kernel, and their stacks where there is gdb.
fn describe_threads() {
    for task in std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten() {
        let read = |file| std::fs::read_to_string(task.path().join(file)).unwrap_or_default();
        let (name, waits, call) = (read("comm"), read("wchan"), read("syscall"));
        let number = task.file_name();
        eprintln!("{}: {} {waits} {}", number.display(), name.trim(), call.trim());
    }
    let this = std::process::id().to_string();
    let arguments = ["-p", &this, "-batch", "-ex", "thread apply all bt 25"];
    match Command::new("gdb").args(arguments).output() {
        Ok(output) => eprintln!("{}", String::from_utf8_lossy(&output.stdout)),
        Err(e) => eprintln!("gdb, which would show their stacks: {e}"),
    }
}
