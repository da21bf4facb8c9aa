// Wardian's own part of its C API. `wasm.h`, which this file includes, is the standard part.
//
// Ownership is written as there: what is `own` in a parameter is given up, what is `own` in a result has to be deleted.
// A store, with all that refers to it, is used by one thread at a time; what can be used by other threads says so.
// Functions that can fail return a trap, or take a place for one: null if they have not failed.

#ifndef WARDIAN_H
#define WARDIAN_H

#include "wasm.h"

#ifdef __cplusplus
extern "C" {
#endif

#define own

// Kinds of values beside those of wasm.h. Such values cannot be made in C: vectors read as zero.
enum {
  WARDIAN_V128 = 4,
  WARDIAN_ANYREF = 130,
  WARDIAN_EXNREF = 131,
};

// The version of the library, as "0.1.0". Static.
WASM_API_EXTERN const char* wardian_version(void);

// -------------------------------------------------------------------------------------------------
// Configuration

enum wardian_engine_kind {
  WARDIAN_TIERED,       // interpreted first, compiled in the background when hot (default)
  WARDIAN_COMPILED,     // compiled before a module is ready
  WARDIAN_INTERPRETED,  // never compiled
};

enum wardian_checkpoints {
  WARDIAN_CHECKPOINTS_OFF,              // interpreted guests only (default)
  WARDIAN_CHECKPOINTS_CALLS,            // compiled guests too, where they call functions
  WARDIAN_CHECKPOINTS_CALLS_AND_LOOPS,  // and at loops
};

WASM_API_EXTERN void wardian_config_engine(wasm_config_t*, enum wardian_engine_kind);
// Whether guests burn fuel.
WASM_API_EXTERN void wardian_config_fuel(wasm_config_t*, bool);
// The stack of guests, in bytes.
WASM_API_EXTERN void wardian_config_stack_size(wasm_config_t*, size_t);
WASM_API_EXTERN void wardian_config_checkpoints(wasm_config_t*, enum wardian_checkpoints);
// Memories whose first fork copies nothing. A process that forks must not use such stores in both processes.
WASM_API_EXTERN void wardian_config_forkable_memories(wasm_config_t*, bool);
// Whether functions are validated before they are first called: a call of one that is not valid ends with
// WARDIAN_ERROR_DECODE. A compiled engine validates all of them.
WASM_API_EXTERN void wardian_config_lazy_validation(wasm_config_t*, bool);

// -------------------------------------------------------------------------------------------------
// Modules

// As wasm_module_new, of the binary or the text format; says why where it fails.
WASM_API_EXTERN own wasm_module_t* wardian_module_new(
  wasm_store_t*, const wasm_byte_vec_t*, own wasm_trap_t** trap);

// -------------------------------------------------------------------------------------------------
// Stores

// Bytes that all memories of the store may have together.
WASM_API_EXTERN void wardian_store_limit_memory(wasm_store_t*, size_t bytes);
// Gives guests so much fuel. False if the engine counts none.
WASM_API_EXTERN bool wardian_store_set_fuel(wasm_store_t*, uint64_t fuel);
// The fuel that is left; zero if the engine counts none.
WASM_API_EXTERN uint64_t wardian_store_fuel(const wasm_store_t*);
// Stops guests in so many milliseconds from now. Does nothing in a callback.
WASM_API_EXTERN void wardian_store_set_timeout(wasm_store_t*, uint64_t milliseconds);
// Takes the timeout back, and a cancellation. Does nothing in a callback.
WASM_API_EXTERN void wardian_store_clear_stops(wasm_store_t*);

typedef struct wardian_cancel_token_t wardian_cancel_token_t;
// Null in a callback.
WASM_API_EXTERN own wardian_cancel_token_t* wardian_cancel_token_new(wasm_store_t*);
WASM_API_EXTERN void wardian_cancel_token_delete(own wardian_cancel_token_t*);
// Stops the guests of the store, from any thread.
WASM_API_EXTERN void wardian_cancel(const wardian_cancel_token_t*);

// -------------------------------------------------------------------------------------------------
// Traps

// What kind of error a trap is. Later versions may have more.
enum wardian_error_kind {
  WARDIAN_ERROR_HOST,        // of a callback: a trap of wasm_trap_new; or of a host function of WASI
  WARDIAN_ERROR_TRAP,        // the guest trapped: see wardian_trap_number
  WARDIAN_ERROR_EXIT,        // the guest has ended itself (proc_exit): see wardian_trap_exit_code
  WARDIAN_ERROR_CLOSED,      // its instance was closed: the code is got in the same way
  WARDIAN_ERROR_STOPPED,     // it was stopped from outside: see wardian_trap_stop
  WARDIAN_ERROR_EXCEPTION,   // an exception that no guest has caught
  WARDIAN_ERROR_DECODE,      // the bytes are no valid module
  WARDIAN_ERROR_COMPILE,     // a valid module cannot be compiled
  WARDIAN_ERROR_LINK,        // imports are missing, or of the wrong type: see wardian_trap_import
  WARDIAN_ERROR_LIMIT,       // see wardian_trap_limit
  WARDIAN_ERROR_CHECKPOINT,  // see wardian_trap_checkpoint
  WARDIAN_ERROR_USAGE,       // the API was used in a way that makes no sense
  WARDIAN_ERROR_HOST_STACK,  // guest and host called each other until the thread's stack was nearly used up
  WARDIAN_ERROR_INTERNAL,    // the library is at fault
  WARDIAN_ERROR_RESTORED,    // a snapshot is being restored: to be returned by the callback
};

// WebAssembly's traps.
enum wardian_trap_number {
  WARDIAN_NO_TRAP,
  WARDIAN_TRAP_UNREACHABLE,
  WARDIAN_TRAP_MEMORY_OUT_OF_BOUNDS,
  WARDIAN_TRAP_TABLE_OUT_OF_BOUNDS,
  WARDIAN_TRAP_INDIRECT_CALL_TO_NULL,
  WARDIAN_TRAP_UNDEFINED_ELEMENT,
  WARDIAN_TRAP_BAD_SIGNATURE,
  WARDIAN_TRAP_INTEGER_DIVISION_BY_ZERO,
  WARDIAN_TRAP_INTEGER_OVERFLOW,
  WARDIAN_TRAP_BAD_CONVERSION_TO_INTEGER,
  WARDIAN_TRAP_STACK_OVERFLOW,
  WARDIAN_TRAP_UNALIGNED_ATOMIC,
  WARDIAN_TRAP_ATOMIC_WAIT_NON_SHARED,
  WARDIAN_TRAP_NULL_REFERENCE,
  WARDIAN_TRAP_NULL_FUNCTION_REFERENCE,
  WARDIAN_TRAP_NULL_EXCEPTION_REFERENCE,
  WARDIAN_TRAP_NULL_STRUCT_REFERENCE,
  WARDIAN_TRAP_NULL_ARRAY_REFERENCE,
  WARDIAN_TRAP_NULL_I31_REFERENCE,
  WARDIAN_TRAP_ARRAY_OUT_OF_BOUNDS,
  WARDIAN_TRAP_CAST_FAILURE,
};

enum wardian_stop {
  WARDIAN_NOT_STOPPED,
  WARDIAN_STOPPED_BY_DEADLINE,
  WARDIAN_STOPPED_BY_TOKEN,
  WARDIAN_OUT_OF_FUEL,
  WARDIAN_STOPPED_FOR_CHECKPOINT,
};

// Whose limit was reached.
enum wardian_limit {
  WARDIAN_NO_LIMIT,
  WARDIAN_LIMIT_OF_STORE,
  WARDIAN_LIMIT_OF_ENGINE,
  WARDIAN_LIMIT_OF_ALLOCATOR,
  WARDIAN_LIMIT_OF_SYSTEM,
};

// What is wrong with a checkpoint or a fork.
enum wardian_checkpoint_problem {
  WARDIAN_NO_CHECKPOINT_PROBLEM,
  WARDIAN_CHECKPOINT_NOT_TAKEN,
  WARDIAN_STORE_NOT_FORKED,
  WARDIAN_CHECKPOINT_DAMAGED,
  WARDIAN_CHECKPOINT_OF_OTHER_VERSION,
  WARDIAN_CHECKPOINT_OF_OTHER_KEY,
  WARDIAN_CHECKPOINT_LACKS_PARTS,
  WARDIAN_CHECKPOINT_NOT_RESUMED,
};

// Traps that a callback returns keep their kind, and what is known of them, on their way out.
WASM_API_EXTERN enum wardian_error_kind wardian_trap_kind(const wasm_trap_t*);
// Which of WebAssembly's traps it is; WARDIAN_NO_TRAP if it is another error.
WASM_API_EXTERN enum wardian_trap_number wardian_trap_number(const wasm_trap_t*);
// The name of WebAssembly's trap, as "unreachable". Static; null if it is another error.
WASM_API_EXTERN const char* wardian_trap_code(const wasm_trap_t*);
// Of an access to a memory that was refused: the address, how many bytes, and the size of the memory. Places may be null.
// False if it is another error, or nobody knows; nothing is written then.
WASM_API_EXTERN bool wardian_trap_memory_access(
  const wasm_trap_t*, uint64_t* address, uint64_t* size, uint64_t* memory_size);
WASM_API_EXTERN enum wardian_stop wardian_trap_stop(const wasm_trap_t*);
WASM_API_EXTERN enum wardian_limit wardian_trap_limit(const wasm_trap_t*);
WASM_API_EXTERN enum wardian_checkpoint_problem wardian_trap_checkpoint(const wasm_trap_t*);
// The import at a position among those that are missing or do not fit: its two names, and what is wrong, without zeros at
// their ends. False past the last one; nothing is written then.
WASM_API_EXTERN bool wardian_trap_import(
  const wasm_trap_t*, size_t index, own wasm_name_t* module, own wasm_name_t* name, own wasm_message_t* problem);
// Whether the guest has ended itself (proc_exit) or was closed, and the code.
WASM_API_EXTERN bool wardian_trap_exit_code(const wasm_trap_t*, uint32_t* code);
// A trap for a callback to return, which ends the guest as if it had called proc_exit.
WASM_API_EXTERN own wasm_trap_t* wardian_trap_exit(wasm_store_t*, uint32_t code);

// -------------------------------------------------------------------------------------------------
// Sight: stacks, listeners, profiles

// In a callback: the calls of the guest, the innermost first. Empty elsewhere.
WASM_API_EXTERN void wardian_stack(const wasm_store_t*, own wasm_frame_vec_t* out);
// The name of the frame's function, demangled, or "func:" with its index. No zero at the end.
WASM_API_EXTERN void wardian_frame_name(const wasm_frame_t*, own wasm_name_t* out);

// A call, of use until the function that was notified of it returns.
typedef struct wardian_call_t wardian_call_t;
// A number that no other call of the store has.
WASM_API_EXTERN uint64_t wardian_call_id(const wardian_call_t*);
// The index of the function in its module, imports included; UINT32_MAX of a host function that is no import.
WASM_API_EXTERN uint32_t wardian_call_func_index(const wardian_call_t*);
// As wardian_frame_name.
WASM_API_EXTERN void wardian_call_name(const wardian_call_t*, own wasm_name_t* out);
// In `after`: whether the call ends by a tail call, and so has no results.
WASM_API_EXTERN bool wardian_call_is_tail_call(const wardian_call_t*);
// In `before` the argument at a position, in `after` the result, of any kind: functions, values of the embedder's, objects of
// guests. False past the last one, and in the other functions; nothing is written then.
WASM_API_EXTERN bool wardian_call_value(const wardian_call_t*, size_t index, own wasm_val_t* out);

// What is notified of calls; each may be null. For each `before` and `resumed` there is one `after` or `abort`. Values are
// 64-bit words: a v128 has two, all else one; i32 and f32 are in the low half; references are got by wardian_call_value. The
// store, and what refers to it, must not be used in these functions, but references may be compared, copied and kept, and
// their host info be read.
typedef struct wardian_listener_t {
  void (*before)(void* environment, const wardian_call_t*, const uint64_t* arguments, size_t count);
  void (*after)(void* environment, const wardian_call_t*, const uint64_t* results, size_t count);
  // The call does not return; the reason is a text that ends with a zero.
  void (*abort)(void* environment, const wardian_call_t*, const char* reason);
  // A snapshot was restored in which the call is open, though it had ended.
  void (*resumed)(void* environment, const wardian_call_t*);
} wardian_listener_t;

typedef struct wardian_attachment_t wardian_attachment_t;
// Attaches a listener, which is copied, to the functions of an instance that have a name that fits a pattern: `*` is any
// characters, `?` is one; names of imports and exports count too. The finalizer is called with the environment when the
// listener is not needed any more: some time after it is detached, and when the store goes at the latest. Null if it fails.
WASM_API_EXTERN own wardian_attachment_t* wardian_attach(
  const wasm_instance_t*, const char* functions, const wardian_listener_t*, void* environment,
  void (*finalizer)(void*), own wasm_trap_t** trap);
// The listener is notified of no further call; of those that are open it is notified of the end.
WASM_API_EXTERN void wardian_detach(own wardian_attachment_t*);

typedef struct wardian_profiler_t wardian_profiler_t;
// Takes a sample each so many microseconds of what the guests do that it watches.
WASM_API_EXTERN own wardian_profiler_t* wardian_profiler_new(uint64_t microseconds);
WASM_API_EXTERN void wardian_profiler_delete(own wardian_profiler_t*);
WASM_API_EXTERN own wasm_trap_t* wardian_profiler_watch(const wardian_profiler_t*, wasm_store_t*);
// What was seen so far, as a file of pprof.
WASM_API_EXTERN void wardian_profiler_pprof(const wardian_profiler_t*, own wasm_byte_vec_t* out);

// -------------------------------------------------------------------------------------------------
// Snapshots and images

typedef struct wardian_snapshot_t wardian_snapshot_t;
// In a callback: where the guest is, with `state` also its memories, tables and globals. Null if it fails.
WASM_API_EXTERN own wardian_snapshot_t* wardian_snapshot_new(
  wasm_store_t*, bool state, own wasm_trap_t** trap);
WASM_API_EXTERN void wardian_snapshot_delete(own wardian_snapshot_t*);
// In a callback: resumes the guest from the snapshot when the callback has returned the trap that this gives. The callback that
// took the snapshot then returns these results a second time. As often as wanted, while the call is open that it was taken in.
// Never null: if the snapshot cannot be restored the trap says why.
WASM_API_EXTERN own wasm_trap_t* wardian_snapshot_restore(
  const wardian_snapshot_t*, wasm_store_t*, const wasm_val_vec_t* results);

typedef struct wardian_image_t wardian_image_t;
// Keeps the memories, tables and globals of the store as they are, while no guest runs. Null if it fails.
WASM_API_EXTERN own wardian_image_t* wardian_image_new(wasm_store_t*, own wasm_trap_t** trap);
WASM_API_EXTERN void wardian_image_delete(own wardian_image_t*);
// Puts the store back to what it was.
WASM_API_EXTERN own wasm_trap_t* wardian_store_reset(wasm_store_t*, const wardian_image_t*);

// -------------------------------------------------------------------------------------------------
// Linkers and WASI

// Imports by name, for many instances and stores of one engine.
typedef struct wardian_linker_t wardian_linker_t;
WASM_API_EXTERN own wardian_linker_t* wardian_linker_new(wasm_engine_t*);
WASM_API_EXTERN void wardian_linker_delete(own wardian_linker_t*);
// Names end with a zero. The finalizer is called with the environment when the linker and all stores that use the
// function are gone, or at once if the name is defined already.
WASM_API_EXTERN own wasm_trap_t* wardian_linker_define_func(
  wardian_linker_t*, wasm_store_t*, const char* module, const char* name, const wasm_functype_t*,
  wasm_func_callback_with_env_t, void* environment, void (*finalizer)(void*));
// Something of a store, for instances of that store.
WASM_API_EXTERN own wasm_trap_t* wardian_linker_define(
  wardian_linker_t*, wasm_store_t*, const char* module, const char* name, const wasm_extern_t*);
// The functions of WASI, preview 1.
WASM_API_EXTERN own wasm_trap_t* wardian_linker_define_wasi(wardian_linker_t*, wasm_store_t*);
WASM_API_EXTERN own wasm_instance_t* wardian_linker_instantiate(
  const wardian_linker_t*, wasm_store_t*, const wasm_module_t*, own wasm_trap_t** trap);
// An export by its name, which ends with a zero; null if there is none.
WASM_API_EXTERN own wasm_extern_t* wardian_instance_export(const wasm_instance_t*, const char* name);

// How instances are made that need more than their imports. Each environment is used until the options and all instances
// that were made with them are gone; then the finalizer, if there is one, is called with it.
typedef struct wardian_instantiation_t wardian_instantiation_t;
WASM_API_EXTERN own wardian_instantiation_t* wardian_instantiation_new(void);
WASM_API_EXTERN void wardian_instantiation_delete(own wardian_instantiation_t*);
// False if the name is not UTF-8.
WASM_API_EXTERN bool wardian_instantiation_name(wardian_instantiation_t*, const char* name);
// Is called when the instance is closed, on the thread that closes it, with its name (null if it has none) and code; of
// several each is called. It must not use the store.
WASM_API_EXTERN void wardian_instantiation_on_close(
  wardian_instantiation_t*, void (*notify)(void* environment, const char* name, uint32_t exit_code),
  void* environment, void (*finalizer)(void*));
// Is asked for each import before the linker, with the type that is needed. It gives something of the store, which it may
// make now; or null: then the linker is asked, unless it has put a trap into its place, which ends the instantiation.
WASM_API_EXTERN void wardian_instantiation_resolver(
  wardian_instantiation_t*,
  own wasm_extern_t* (*resolve)(
    void* environment, wasm_store_t*, const char* module, const char* name, const wasm_externtype_t*,
    own wasm_trap_t** trap),
  void* environment, void (*finalizer)(void*));

// The bytes of a linear memory. Until `free` is called they belong to the guest: nobody else writes to them while it runs.
// All functions are called on a thread that uses the store. What is not set is zero.
typedef struct wardian_linear_memory_t {
  uint8_t* base;     // a multiple of 16; all bytes are zero
  size_t capacity;   // how many there are, at least those that were asked for
  void* environment;
  // Makes the memory this many bytes, more than ever before: it may move, and keeps its contents; new bytes are zero. On success
  // it writes both places. Null, or false: the guest's memory.grow fails, and nothing has changed.
  bool (*grow)(void* environment, size_t size, uint8_t** base, size_t* capacity);
  void (*free)(void* environment);
  // With guard pages: how much address space from the base on belongs to the memory. The base is at the start of a page and
  // never changes, the capacity is the size, and everything behind it is inaccessible, so that an access there is a fault.
  // If it is wardian_guarded_size() or more, guests access the memory without checks.
  size_t reserved;
  bool never_moves;  // whether the base never changes, without guard pages
  // With guard pages: makes the memory this many bytes, fewer than it has, for a snapshot or an image from before it grew. Null,
  // or false: that cannot be restored.
  bool (*shrink)(void* environment, size_t size);
} wardian_linear_memory_t;
// How much address space a memory needs so that no access is checked: a bit more than 4 GiB.
WASM_API_EXTERN size_t wardian_guarded_size(void);
// Supplies the memories that the module defines. It fills the place, or returns false: then the instance is not made. It must
// not use the store. Guests check each access to such a memory, unless it has guard pages.
WASM_API_EXTERN void wardian_instantiation_allocator(
  wardian_instantiation_t*,
  bool (*allocate)(
    void* environment, const wasm_memorytype_t*, size_t minimum, size_t maximum, wardian_linear_memory_t*),
  void* environment, void (*finalizer)(void*));

// Allocators that come with the library; one replaces the other.
enum wardian_memories {
  WARDIAN_GUARDED_MEMORIES,  // with guard pages: they never move, and no access is checked
  WARDIAN_HEAP_MEMORIES,     // move when they grow
  WARDIAN_FIXED_MEMORIES,    // have the addresses of their maximum from the start, and never move
};
WASM_API_EXTERN void wardian_instantiation_memories(wardian_instantiation_t*, enum wardian_memories);
// A memory shows a file, which is made if there is none; what the guest writes is in it. It is shown by one memory at a time,
// and nobody else may change it or make it shorter meanwhile. False if the path is not UTF-8.
WASM_API_EXTERN bool wardian_instantiation_file(wardian_instantiation_t*, const char* path);
// So many memories at once, of so many bytes at most, that are used again and again. It is kept by who uses it, and may be
// used by several threads.
typedef struct wardian_memory_pool_t wardian_memory_pool_t;
WASM_API_EXTERN own wardian_memory_pool_t* wardian_memory_pool_new(size_t slots, size_t slot_bytes);
WASM_API_EXTERN void wardian_memory_pool_delete(own wardian_memory_pool_t*);
WASM_API_EXTERN size_t wardian_memory_pool_in_use(const wardian_memory_pool_t*);
WASM_API_EXTERN void wardian_instantiation_pool(wardian_instantiation_t*, const wardian_memory_pool_t*);

WASM_API_EXTERN own wasm_instance_t* wardian_linker_instantiate_with(
  const wardian_linker_t*, wasm_store_t*, const wasm_module_t*, const wardian_instantiation_t*,
  own wasm_trap_t** trap);
// Closes an instance: those who asked for it are notified, its guests are stopped, and calls of it fail. False if it was
// closed before.
WASM_API_EXTERN bool wardian_instance_close(const wasm_instance_t*, uint32_t exit_code);

// Bytes of a memory by copies, also of one that threads share, of which wasm_memory_data gives null. False if they are not all
// in the memory: then nothing is copied.
WASM_API_EXTERN bool wardian_memory_read(const wasm_memory_t*, size_t offset, uint8_t* bytes, size_t count);
WASM_API_EXTERN bool wardian_memory_write(wasm_memory_t*, size_t offset, const uint8_t* bytes, size_t count);

// What a program of WASI sees. Without it: no arguments, no variables, no directories, and nothing to read or write.
typedef struct wardian_wasi_t wardian_wasi_t;
WASM_API_EXTERN own wardian_wasi_t* wardian_wasi_new(void);
WASM_API_EXTERN void wardian_wasi_delete(own wardian_wasi_t*);
// Each returns false if it was refused: a zero in the text, a directory that cannot be opened, no more descriptors.
WASM_API_EXTERN bool wardian_wasi_arg(wardian_wasi_t*, const char* arg);
WASM_API_EXTERN bool wardian_wasi_env(wardian_wasi_t*, const char* name, const char* value);
WASM_API_EXTERN bool wardian_wasi_inherit_stdio(wardian_wasi_t*);
WASM_API_EXTERN bool wardian_wasi_dir(wardian_wasi_t*, const char* host, const char* guest, bool read_only);
// Makes it that of a store, in place of what it had.
WASM_API_EXTERN void wardian_store_set_wasi(wasm_store_t*, own wardian_wasi_t*);

// -------------------------------------------------------------------------------------------------
// Checkpoints and forks

// Writes the store down, with its guest if it is called in a callback.
WASM_API_EXTERN own wasm_trap_t* wardian_checkpoint(wasm_store_t*, own wasm_byte_vec_t* out);

// A store that was restored or forked, with the guest that is to be resumed in it.
typedef struct wardian_resumed_t wardian_resumed_t;
WASM_API_EXTERN void wardian_resumed_delete(own wardian_resumed_t*);
// Makes a new store that of a checkpoint, which may come from anybody. Null if it fails; then the store is of no use.
WASM_API_EXTERN own wardian_resumed_t* wardian_resume(
  wasm_store_t*, const wardian_linker_t*, const wasm_byte_vec_t*, own wasm_trap_t** trap);
// A second store with the same state, with the guest if it is called in a callback: memories are shared until one of
// them writes to them. It has no limits, and nothing of WASI. Null if it fails.
WASM_API_EXTERN own wasm_store_t* wardian_fork(
  wasm_store_t*, own wardian_resumed_t** resumed, own wasm_trap_t** trap);
// Whether a guest was running.
WASM_API_EXTERN bool wardian_resumed_is_running(const wardian_resumed_t*);
// The instance at a position, in the order in which they were made; null past the last one.
WASM_API_EXTERN own wasm_instance_t* wardian_resumed_instance(const wardian_resumed_t*, size_t index);
// Resumes the guest until the call that was running returns, whose results are `out`, empty after a trap. The host
// function that it had called returns these results, or is called again if `given` is null.
WASM_API_EXTERN own wasm_trap_t* wardian_resumed_run(
  own wardian_resumed_t*, const wasm_val_vec_t* given, own wasm_val_vec_t* out);

// -------------------------------------------------------------------------------------------------
// Threads of guests

// A program for threads: it imports `wasi` `thread-spawn` and a shared memory, and exports `wasi_thread_start`. Its threads
// begin, and end, together. Each has a store of its own, with the limits, the fuel and the files that the main thread's store
// has when this is made.
//
// The linker's functions are called on the thread of who calls them, several at once: their environments have to bear that.
// In such a callback wardian_callback_store gives the store of the thread. It, and what refers to it, must not be used after
// the callback has returned.
typedef struct wardian_threads_t wardian_threads_t;
// The store is that of the main thread. So many threads may live at once beside it. A shared memory `env` `memory` is made if
// the linker has none. Null if it fails.
WASM_API_EXTERN own wardian_threads_t* wardian_threads_new(
  const wardian_linker_t*, wasm_store_t*, const wasm_module_t*, size_t max_threads, own wasm_trap_t** trap);
WASM_API_EXTERN void wardian_threads_delete(own wardian_threads_t*);
// Runs the program, once, and returns when all its threads have ended. The trap is what has ended it, also an exit with code
// 0; null if the main thread has returned.
WASM_API_EXTERN own wasm_trap_t* wardian_threads_run(const wardian_threads_t*);
// These are for other threads, while the program runs.
// Ends it, as if it had ended itself with this code.
WASM_API_EXTERN void wardian_threads_end(const wardian_threads_t*, uint32_t exit_code);
// How many threads there are now beside the main thread.
WASM_API_EXTERN size_t wardian_threads_live(const wardian_threads_t*);
// Writes the program to a file with all its threads, which stand still meanwhile. With `stop` it ends then, by a trap with
// WARDIAN_STOPPED_FOR_CHECKPOINT. False if it fails: then the message says why, with a zero at its end; else it is empty. The
// place may be null.
WASM_API_EXTERN bool wardian_threads_checkpoint(
  const wardian_threads_t*, const char* path, bool stop, own wasm_message_t* problem);
// Makes a new store that of the main thread of such a file, which may come from anybody. The program has the streams and
// directories that are given, none if that is null. Null if it fails; then the store is of no use.
WASM_API_EXTERN own wardian_threads_t* wardian_threads_resume(
  const wardian_linker_t*, wasm_store_t*, own wardian_wasi_t*, const char* path, size_t max_threads,
  own wasm_trap_t** trap);

// In a callback: the store that it may use, for callbacks that are called in several. Null elsewhere.
WASM_API_EXTERN own wasm_store_t* wardian_callback_store(void);
// In a callback: an export of the instance that calls, by its name, which ends with a zero. Null if there is none.
WASM_API_EXTERN own wasm_extern_t* wardian_callback_export(const wasm_store_t*, const char* name);

#undef own

#ifdef __cplusplus
}  // extern "C"
#endif

#endif  // WARDIAN_H
