//! The guest of the tests: does what its first argument says.

use std::io::{Read, Write};
use std::time::Duration;

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let text = |n: usize| args.get(n).map(String::as_str).unwrap_or_default();
    match text(1) {
        "args" => println!("{}", args.join("|")),
        "env" => std::env::vars().for_each(|(name, value)| println!("{name}={value}")),
        "cat" => {
            let mut all = String::new();
            std::io::stdin().read_to_string(&mut all).expect("standard input is text");
            print!("{all}");
            eprintln!("{} bytes", all.len());
        }
        "read" => match std::fs::read_to_string(text(2)) {
            Ok(all) => print!("{all}"),
            Err(error) => println!("cannot read: {error}"),
        },
        "write" => match std::fs::write(text(2), text(3)) {
            Ok(()) => println!("written"),
            Err(error) => println!("cannot write: {error}"),
        },
        "exit" => std::process::exit(text(2).parse().expect("a number")),
        "trap" => divide(1, text(3).len() as i32),
        "grow" => grow(text(2).parse().expect("a number")),
        "spin" => {
            say("spins");
            let mut n = 0u32;
            loop {
                n = std::hint::black_box(n.wrapping_add(1));
            }
        }
        "wait" => {
            say("waits");
            std::thread::sleep(Duration::from_secs(text(2).parse().expect("a number")));
            println!("has waited");
        }
        "count" => count(text(2).parse().expect("a number")),
        other => println!("there is no {other:?}"),
    }
}

/// A line that is written at once.
fn say(line: &str) {
    println!("{line}");
    std::io::stdout().flush().expect("standard output is open");
}

/// Counts in a local variable, which nothing but a checkpoint can carry into another process.
fn count(to: u32) {
    for n in 1..=to {
        say(&format!("count {n}"));
        std::thread::sleep(Duration::from_millis(100));
    }
    println!("done");
}

/// So many mebibytes, one after the other.
fn grow(mebibytes: usize) {
    let mut blocks: Vec<Vec<u8>> = Vec::new();
    for n in 0..mebibytes {
        let mut block = Vec::new();
        if block.try_reserve_exact(1 << 20).is_err() {
            println!("refused after {n} MiB");
            return;
        }
        block.resize(1 << 20, 1);
        blocks.push(block);
    }
    println!("has {} MiB", blocks.len());
}

#[inline(never)]
fn divide(by: i32, zero: i32) {
    println!("{}", std::hint::black_box(by) / unchecked(zero));
}

/// What the compiler cannot know to be zero; Rust's own check is what ends the guest.
#[inline(never)]
fn unchecked(zero: i32) -> i32 {
    std::hint::black_box(zero)
}
