//! Threads as programs use them. The first argument says what to do.
//!
//! Build: `rustc --edition 2024 -C opt-level=s -C strip=symbols -C panic=abort
//! --remap-path-prefix=$PWD=programs --target wasm32-wasip1-threads threads.rs -o threads.wasm`

use std::fs::File;
use std::io::{Read, Write};
use std::process::exit;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Barrier, Condvar, Mutex, mpsc};
use std::thread;
use std::time::Duration;

fn main() {
    match std::env::args().nth(1).as_deref() {
        Some("count") => count(),
        Some("files") => files(),
        Some("limit") => limit(),
        Some("exit") => {
            thread::spawn(|| exit(5));
            loop {
                thread::sleep(Duration::from_secs(1000));
            }
        }
        Some("panic") => {
            let failing = thread::Builder::new().name("wilting".into());
            let handle = failing.spawn(|| panic!("no water")).unwrap();
            let _ = handle.join();
        }
        Some("read") => {
            // A thread that waits for input must not hold up one that writes.
            thread::spawn(|| std::io::stdin().read_to_end(&mut Vec::new()));
            thread::sleep(Duration::from_millis(20));
            println!("written");
        }
        Some("forever") => {
            thread::spawn(|| loop {});
            let condition = Condvar::new();
            drop(condition.wait(Mutex::new(()).lock().unwrap()));
        }
        _ => exit(100),
    }
}

/// Prime numbers below 20000, counted by eight threads that share work, locks and channels.
fn count() {
    let next = Arc::new(AtomicU32::new(2));
    let found = Arc::new(Mutex::new(Vec::new()));
    let barrier = Arc::new(Barrier::new(8));
    let (sender, receiver) = mpsc::channel();
    let workers: Vec<_> = (0..8)
        .map(|_| {
            let (next, found) = (next.clone(), found.clone());
            let (barrier, sender) = (barrier.clone(), sender.clone());
            thread::spawn(move || {
                barrier.wait();
                let mut mine = 0;
                loop {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    if n >= 20000 {
                        break;
                    }
                    if (2..).take_while(|d| d * d <= n).all(|d| n % d != 0) {
                        mine += 1;
                        found.lock().unwrap().push(n);
                    }
                }
                sender.send(mine).unwrap();
                mine
            })
        })
        .collect();
    drop(sender);
    let joined: u32 = workers.into_iter().map(|w| w.join().unwrap()).sum();
    let sent: u32 = receiver.iter().sum();
    let sum: u64 = found.lock().unwrap().iter().map(|n| u64::from(*n)).sum();
    // More threads one after the other than there may be at once.
    let late = (0..100).map(|i| thread::spawn(move || i).join().unwrap()).sum::<u32>();
    println!("{joined} {sent} {sum} {late}");
}

/// A file that one thread opens, another writes and a third reads.
fn files() {
    let file = thread::spawn(|| File::create("/dir/shared").unwrap()).join().unwrap();
    let writer = thread::spawn(move || (&file).write_all(b"fern").unwrap());
    writer.join().unwrap();
    let text = thread::spawn(|| std::fs::read_to_string("/dir/shared").unwrap());
    println!("{}", text.join().unwrap());
}

/// How many threads there can be at once.
fn limit() {
    let stop = Arc::new((Mutex::new(false), Condvar::new()));
    let mut threads = Vec::new();
    let error = loop {
        let stop = stop.clone();
        let waiting = move || {
            let (stopped, changed) = &*stop;
            drop(changed.wait_while(stopped.lock().unwrap(), |stopped| !*stopped).unwrap());
        };
        match thread::Builder::new().stack_size(65536).spawn(waiting) {
            Ok(thread) => threads.push(thread),
            Err(error) => break error,
        }
    };
    println!("{} {:?}", threads.len(), error.kind());
    *stop.0.lock().unwrap() = true;
    stop.1.notify_all();
    threads.into_iter().for_each(|t| t.join().unwrap());
}
