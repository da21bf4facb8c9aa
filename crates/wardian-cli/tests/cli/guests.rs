//! Guests, as text.

/// Writes its arguments, then its environment, each NUL-terminated string on a line.
pub(crate) const SHOW: &str = r#"(module $show
  (import "wasi_snapshot_preview1" "args_sizes_get" (func $args_sizes (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "args_get" (func $args (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "environ_sizes_get" (func $env_sizes (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "environ_get" (func $env (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  ;; Writes `len` bytes at `at`, with each NUL made a newline.
  (func $put (param $at i32) (param $len i32) (local $i i32)
    (block $done
      (loop $next
        (br_if $done (i32.ge_u (local.get $i) (local.get $len)))
        (if (i32.eqz (i32.load8_u (i32.add (local.get $at) (local.get $i))))
          (then (i32.store8 (i32.add (local.get $at) (local.get $i)) (i32.const 10))))
        (local.set $i (i32.add (local.get $i) (i32.const 1)))
        (br $next)))
    (i32.store (i32.const 8) (local.get $at))
    (i32.store (i32.const 12) (local.get $len))
    (drop (call $write (i32.const 1) (i32.const 8) (i32.const 1) (i32.const 16))))
  (func (export "_start")
    (drop (call $args_sizes (i32.const 0) (i32.const 4)))
    (drop (call $args (i32.const 1024) (i32.const 4096)))
    (call $put (i32.const 4096) (i32.load (i32.const 4)))
    (drop (call $env_sizes (i32.const 0) (i32.const 4)))
    (drop (call $env (i32.const 1024) (i32.const 4096)))
    (call $put (i32.const 4096) (i32.load (i32.const 4)))))"#;

/// Makes the folder `made` in its first directory, and exits with the errno.
pub(crate) const MKDIR: &str = r#"(module
  (import "wasi_snapshot_preview1" "path_create_directory" (func $mkdir (param i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "made")
  (func (export "_start")
    (call $exit (call $mkdir (i32.const 3) (i32.const 0) (i32.const 4)))))"#;

/// Writes the name of its first directory.
pub(crate) const PREOPEN: &str = r#"(module
  (import "wasi_snapshot_preview1" "fd_prestat_get" (func $get (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_prestat_dir_name" (func $name (param i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "_start")
    (drop (call $get (i32.const 3) (i32.const 0)))
    (drop (call $name (i32.const 3) (i32.const 64) (i32.load (i32.const 4))))
    (i32.store (i32.const 0) (i32.const 64))
    (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 16)))))"#;

/// Accepts a connection on descriptor 3 and says hello to it.
pub(crate) const SERVE: &str = r#"(module
  (import "wasi_snapshot_preview1" "sock_accept" (func $accept (param i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "sock_send" (func $send (param i32 i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (memory (export "memory") 1)
  (data (i32.const 32) "hello")
  (data (i32.const 8) "\20\00\00\00\05\00\00\00")
  (func (export "_start")
    (if (call $accept (i32.const 3) (i32.const 0) (i32.const 0)) (then (call $exit (i32.const 1))))
    (call $exit
      (call $send (i32.load (i32.const 0)) (i32.const 8) (i32.const 1) (i32.const 0) (i32.const 16)))))"#;

/// Copies standard input to standard output until a write fails; exits with that errno.
pub(crate) const CAT: &str = r#"(module
  (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (memory (export "memory") 1)
  (func (export "_start") (local $error i32)
    (loop $next
      (i32.store (i32.const 0) (i32.const 1024))
      (i32.store (i32.const 4) (i32.const 4096))
      (drop (call $read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 4)))
      (if (i32.load (i32.const 4))
        (then
          (local.set $error (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))
          (if (local.get $error) (then (call $exit (local.get $error))))
          (br $next))))))"#;

/// Writes to standard output until that fails; exits with the errno.
pub(crate) const YES: &str = r#"(module
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "\08\00\00\00\02\00\00\00y\n")
  (func (export "_start") (local $error i32)
    (loop $next
      (local.set $error (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 16)))
      (br_if $next (i32.eqz (local.get $error))))
    (call $exit (local.get $error))))"#;

/// Sleeps for an hour.
pub(crate) const SLEEP: &str = r#"(module
  (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "_start")
    (i32.store (i32.const 16) (i32.const 1)) ;; the monotonic clock
    (i64.store (i32.const 24) (i64.const 3600000000000))
    (drop (call $poll (i32.const 0) (i32.const 256) (i32.const 1) (i32.const 512)))))"#;

pub(crate) const LOOP: &str = r#"(module $spin
  (func $forever (loop $again (br $again)))
  (func $main (export "_start") (call $forever)))"#;

pub(crate) const LOOP_IN_START: &str = r#"(module
  (func $start (loop $again (br $again)))
  (start $start)
  (func (export "_start")))"#;

pub(crate) const RECURSION: &str = r#"(module
  (func $deep (call $deep) (call $deep))
  (func (export "_start") (call $deep)))"#;

/// Grows its memory by 1 MiB until that fails; exits with the number of MiB.
pub(crate) const MEMORY_BOMB: &str = r#"(module
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (memory (export "memory") 16)
  (func (export "_start")
    (loop $more (br_if $more (i32.ne (memory.grow (i32.const 16)) (i32.const -1))))
    (call $exit (i32.shr_u (memory.size) (i32.const 4)))))"#;

pub(crate) const TRAP: &str = r#"(module
  (func $inner (unreachable))
  (func $_ZN3app5outer17h0123456789abcdefE (call $inner))
  (func $main (export "_start") (call $_ZN3app5outer17h0123456789abcdefE)))"#;

/// Exits with the code that is in its text.
pub(crate) fn exit(code: u32) -> String {
    format!(
        r#"(module
          (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
          (memory (export "memory") 1)
          (func (export "_start") (call $exit (i32.const {code}))))"#
    )
}

/// A reactor that counts.
pub(crate) const REACTOR: &str = r#"(module
  (global $n (mut i32) (i32.const 0))
  (func (export "_initialize") (global.set $n (i32.add (global.get $n) (i32.const 40))))
  (func (export "get") (result i32) (i32.add (global.get $n) (i32.const 2))))"#;

/// Functions of all types. `_start` traps, so that a test sees if it is called.
pub(crate) const FUNCTIONS: &str = r#"(module
  (memory (export "memory") 1)
  (func (export "_start") (unreachable))
  (func (export "nothing"))
  (func (export "add") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1)))
  (func (export "i64") (param i64) (result i64) (local.get 0))
  (func (export "f32") (param f32) (result f32) (local.get 0))
  (func (export "f64") (param f64) (result f64) (local.get 0))
  (func (export "v128") (param v128) (result v128) (local.get 0))
  (func (export "refs") (param funcref externref) (result funcref externref)
    (local.get 0) (local.get 1))
  (func (export "swap") (param i32 f64) (result f64 i32) (local.get 1) (local.get 0))
  (func $self (export "self") (result funcref) (ref.func $self))
  (func (export "div") (param i32 i32) (result i32) (i32.div_s (local.get 0) (local.get 1))))"#;
