//! What holds for the process as a whole, each in a child process of its own.
#![allow(unsafe_code, reason = "forks, and faults on purpose")]

use std::time::{Duration, Instant};
use wardian_vm::interrupt::{Interrupter, reason};
use wardian_vm::signals;

/// How a child ended.
#[derive(Debug, PartialEq)]
enum End {
    Exited(i32),
    Killed(i32),
    Hung,
}

/// Runs `work` in a child process, with its result as exit code; kills the child if that takes long.
fn in_child(work: impl FnOnce() -> i32) -> End {
    // SAFETY: the child runs `work` and exits; it takes no lock that another thread could hold but those of
    // the allocator, which the C library makes usable again.
    let child = unsafe { libc::fork() };
    if child == 0 {
        let code = work();
        // SAFETY: ends the child, without what the parent has registered for its own end.
        unsafe { libc::_exit(code) };
    }
    assert!(child > 0, "the system gives no process");
    let until = Instant::now() + Duration::from_secs(20);
    loop {
        let mut status = 0;
        // SAFETY: `status` is written.
        let waited = unsafe { libc::waitpid(child, &mut status, libc::WNOHANG) };
        if waited == child {
            return match libc::WIFSIGNALED(status) {
                true => End::Killed(libc::WTERMSIG(status)),
                false => End::Exited(libc::WEXITSTATUS(status)),
            };
        }
        if Instant::now() > until {
            // SAFETY: it is our child, and has not been waited for.
            unsafe {
                libc::kill(child, libc::SIGKILL);
                libc::waitpid(child, &mut status, 0);
            }
            return End::Hung;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn set_action(signal: i32, action: usize) {
    // SAFETY: the default action and ignoring are valid for any signal.
    unsafe {
        libc::signal(signal, action);
    }
}

fn fault() {
    // SAFETY: none: this ends the process, or is what is tested.
    unsafe { std::ptr::without_provenance_mut::<u8>(16).write_volatile(1) };
}

#[test]
fn faults_of_the_host_end_the_process() {
    for before in [libc::SIG_DFL, libc::SIG_IGN] {
        for signal in [libc::SIGSEGV, libc::SIGBUS] {
            let end = in_child(|| {
                set_action(signal, before);
                signals::install(signals::DEFAULT_INTERRUPT_SIGNAL);
                match signal {
                    libc::SIGSEGV => fault(),
                    // SAFETY: as above: an access behind the end of an empty file.
                    _ => unsafe {
                        let file = libc::memfd_create(c"empty".as_ptr(), 0);
                        let page = libc::mmap(
                            std::ptr::null_mut(),
                            4096,
                            libc::PROT_READ,
                            libc::MAP_SHARED,
                            file,
                            0,
                        );
                        page.cast::<u8>().read_volatile();
                    },
                }
                0
            });
            assert_eq!(end, End::Killed(signal), "before: {before}");
        }
    }
}

#[test]
fn signals_that_were_sent_do_what_they_did_before() {
    for (before, wanted) in
        [(libc::SIG_DFL, End::Killed(libc::SIGSEGV)), (libc::SIG_IGN, End::Exited(7))]
    {
        let end = in_child(|| {
            set_action(libc::SIGSEGV, before);
            signals::install(signals::DEFAULT_INTERRUPT_SIGNAL);
            // SAFETY: sends a signal to this process.
            unsafe { libc::raise(libc::SIGSEGV) };
            7
        });
        assert_eq!(end, wanted, "before: {before}");
    }
}

#[test]
fn files_beyond_their_limit_are_errors() {
    let end = in_child(|| {
        signals::install(signals::DEFAULT_INTERRUPT_SIGNAL);
        // SAFETY: limits this process, and writes to a file of its own.
        unsafe {
            let limit = libc::rlimit { rlim_cur: 100, rlim_max: 100 };
            libc::setrlimit(libc::RLIMIT_FSIZE, &limit);
            let file = libc::open(c"/tmp".as_ptr(), libc::O_TMPFILE | libc::O_RDWR, 0o600);
            if file < 0 {
                return 3;
            }
            let written = [0, 1].map(|_| libc::write(file, [0u8; 100].as_ptr().cast(), 100));
            i32::from(written != [100, -1])
        }
    });
    // Where no such file can be made there is nothing to be seen.
    assert!(end == End::Exited(0) || end == End::Exited(3), "{end:?}");
}

#[test]
fn deadlines_hold_after_a_fork() {
    let fires = |interrupter: &std::sync::Arc<Interrupter>| {
        let until = Instant::now() + Duration::from_secs(10);
        while interrupter.reasons() & reason::DEADLINE == 0 {
            if Instant::now() > until {
                return false;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        true
    };
    let soon = || Some(Instant::now() + Duration::from_millis(20));
    // The parent has a watchdog, and a deadline in its queue.
    let before = Interrupter::unattached();
    before.set_deadline(Some(Instant::now() + Duration::from_millis(200)));
    let end = in_child(|| {
        let interrupter = Interrupter::unattached();
        interrupter.set_deadline(soon());
        // Then grandchildren.
        let grandchild = in_child(|| {
            let interrupter = Interrupter::unattached();
            interrupter.set_deadline(soon());
            i32::from(!fires(&interrupter))
        });
        let all = fires(&interrupter) && fires(&before) && grandchild == End::Exited(0);
        i32::from(!all)
    });
    assert_eq!(end, End::Exited(0));
    assert!(fires(&before), "in the parent");
}

/// A process that was forked while a memory showed a file has a copy of the descriptor, as every process
/// has that another thread starts, until it executes its program.
#[test]
fn the_lock_of_a_file_belongs_to_the_process_that_opened_it() {
    let path = std::env::temp_dir().join(format!("wardian-lock-{}", std::process::id()));
    // SAFETY: nothing else uses the file.
    let open = || unsafe { wardian_vm::memory::FileMemory::open(&path, 65536, 65536) };
    for child_drops in [false, true] {
        let memory = open().unwrap();
        let mut pipe = [0; 2];
        // SAFETY: there is room for two descriptors.
        assert_eq!(unsafe { libc::pipe(pipe.as_mut_ptr()) }, 0);
        // SAFETY: the child drops the memory, reads, and exits.
        let child = unsafe { libc::fork() };
        if child == 0 {
            if child_drops {
                memory.free();
                // SAFETY: ends the child.
                unsafe { libc::_exit(0) };
            }
            // SAFETY: as above, once the parent has closed its end of the pipe.
            unsafe {
                libc::close(pipe[1]);
                libc::read(pipe[0], [0u8; 1].as_mut_ptr().cast(), 1);
                libc::_exit(0)
            };
        }
        let wait = || {
            // SAFETY: the child is ours, and has not been waited for.
            unsafe {
                libc::close(pipe[1]);
                libc::waitpid(child, std::ptr::null_mut(), 0);
                libc::close(pipe[0]);
            }
        };
        match child_drops {
            true => {
                wait();
                let second = open().map(|_| ()).map_err(|error| error.kind());
                assert_eq!(second, Err(std::io::ErrorKind::ResourceBusy), "the child unlocked it");
                memory.free();
            }
            false => {
                memory.free();
                let second = open().map(|memory| memory.free()).map_err(|error| error.to_string());
                wait();
                assert_eq!(second, Ok(()), "the child keeps it locked");
            }
        }
    }
    std::fs::remove_file(&path).unwrap();
}
