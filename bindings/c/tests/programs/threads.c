// Programs with threads, and checkpoints of them.
#define _DEFAULT_SOURCE
#include "check.h"
#include <pthread.h>
#include <unistd.h>

static int calls = 0;
static pthread_mutex_t adding = PTHREAD_MUTEX_INITIALIZER;

// Adds to a cell of the memory of who calls, on whatever thread.
static wasm_trap_t* say(void* env, const wasm_val_vec_t* args, wasm_val_vec_t* results) {
  (void)results;
  __atomic_add_fetch(&calls, 1, __ATOMIC_SEQ_CST);
  wasm_store_t* store = wardian_callback_store();
  CHECK(store != NULL);
  wasm_extern_t* export = wardian_callback_export(store, "memory");
  CHECK(export != NULL && wardian_callback_export(store, "nothing") == NULL);
  wasm_memory_t* memory = wasm_extern_as_memory(export);
  // It is shared, so its bytes are copied.
  CHECK(wasm_memory_data(memory) == NULL);
  pthread_mutex_lock(&adding);
  int32_t sum = 0;
  CHECK(wardian_memory_read(memory, 16, (uint8_t*)&sum, sizeof sum));
  sum += args->data[0].of.i32;
  CHECK(args->data[0].of.i32 == 0 || wardian_memory_write(memory, 16, (const uint8_t*)&sum, sizeof sum));
  CHECK(!wardian_memory_read(memory, 2 * 65536 - 1, (uint8_t*)&sum, sizeof sum));
  pthread_mutex_unlock(&adding);
  wasm_extern_delete(export);
  wasm_frame_vec_t frames;
  wardian_stack(store, &frames);
  CHECK(frames.size >= 1);
  wasm_frame_vec_delete(&frames);
  wasm_trap_t* trap = NULL;
  if (args->data[0].of.i32 < 0) {
    wasm_message_t message;
    wasm_name_new_from_string_nt(&message, "a thread has failed");
    trap = wasm_trap_new(store, &message);
    wasm_byte_vec_delete(&message);
  }
  wasm_store_delete(store);
  if (env != NULL) usleep(1000);
  return trap;
}

#define HEAD                                                                                          \
  "(module (import \"env\" \"memory\" (memory 1 2 shared))"                                           \
  " (import \"wasi\" \"thread-spawn\" (func $spawn (param i32) (result i32)))"                        \
  " (import \"wasi_snapshot_preview1\" \"proc_exit\" (func $exit (param i32)))"                       \
  " (import \"h\" \"say\" (func $say (param i32))) (export \"memory\" (memory 0))"                    \
  " (func $until (param $n i32) (local $now i32)"                                                     \
  "   (loop $again"                                                                                   \
  "     (if (i32.lt_u (local.tee $now (i32.atomic.load (i32.const 0))) (local.get $n)) (then"         \
  "       (drop (memory.atomic.wait32 (i32.const 0) (local.get $now) (i64.const -1))) (br $again)))))" \
  " (func $three (drop (call $spawn (i32.const 10))) (drop (call $spawn (i32.const 20)))"             \
  "   (drop (call $spawn (i32.const 30))))"                                                           \
  " (func $done (drop (i32.atomic.rmw.add (i32.const 0) (i32.const 1)))"                              \
  "   (drop (memory.atomic.notify (i32.const 0) (i32.const -1))))"
#define END " (func (export \"_start\") (call $three) (call $until (i32.const 3)) (call $exit (i32.atomic.load (i32.const 16)))))"

typedef struct {
  wasm_engine_t* engine;
  wasm_store_t* store;
  wardian_linker_t* linker;
  wasm_module_t* module;
  wardian_threads_t* threads;
} program_t;

static void links(program_t* program, const char* slow) {
  program->linker = wardian_linker_new(program->engine);
  wasm_functype_t* type = wasm_functype_new_1_0(wasm_valtype_new_i32());
  no_trap(wardian_linker_define_func(program->linker, program->store, "h", "say", type, say, (void*)slow, NULL));
  wasm_functype_delete(type);
  no_trap(wardian_linker_define_wasi(program->linker, program->store));
}

static program_t begin(wasm_engine_t* engine, const char* text, const char* slow) {
  program_t program = {engine, wasm_store_new(engine), NULL, NULL, NULL};
  links(&program, slow);
  program.module = module_of(program.store, text);
  wasm_trap_t* trap = NULL;
  program.threads = wardian_threads_new(program.linker, program.store, program.module, 8, &trap);
  no_trap(trap);
  return program;
}

static void end(program_t* program) {
  wardian_threads_delete(program->threads);
  if (program->module != NULL) wasm_module_delete(program->module);
  wardian_linker_delete(program->linker);
  wasm_store_delete(program->store);
}

static uint32_t exit_of(wasm_trap_t* trap) {
  uint32_t code = 0;
  CHECK(trap != NULL);
  CHECK(wardian_trap_exit_code(trap, &code));
  wasm_trap_delete(trap);
  return code;
}

static void* end_soon(void* threads) {
  while (wardian_threads_live(threads) < 3) usleep(1000);
  wardian_threads_end(threads, 9);
  return NULL;
}

static const char* path;

static void* carry(void* threads) {
  while (__atomic_load_n(&calls, __ATOMIC_SEQ_CST) == 0) usleep(1000);
  wasm_message_t problem;
  if (!wardian_threads_checkpoint(threads, path, false, &problem)) fprintf(stderr, "%s\n", problem.data);
  CHECK(problem.size == 0);
  CHECK(!wardian_threads_checkpoint(threads, "/does/not/exist/there", false, &problem) && problem.size > 0);
  wasm_byte_vec_delete(&problem);
  CHECK(wardian_threads_checkpoint(threads, path, true, NULL));
  return NULL;
}

int main(int argc, char** argv) {
  CHECK(argc == 2 && wardian_callback_store() == NULL);
  static char place[512];
  snprintf(place, sizeof place, "%s/program", argv[1]);
  path = place;
  wasm_config_t* config = wasm_config_new();
  wardian_config_engine(config, WARDIAN_INTERPRETED);
  wasm_engine_t* engine = wasm_engine_new_with_config(config);

  program_t program = begin(engine,
    HEAD " (func (export \"wasi_thread_start\") (param i32 i32) (call $say (local.get 1)) (call $done))" END, NULL);
  CHECK(exit_of(wardian_threads_run(program.threads)) == 60 && calls == 3);
  CHECK(wardian_threads_live(program.threads) == 0);
  CHECK(says(wardian_threads_run(program.threads), "has run already"));
  end(&program);

  program = begin(engine,
    HEAD " (func (export \"wasi_thread_start\") (param i32 i32) (call $say (i32.sub (i32.const 0) (local.get 1))))" END, NULL);
  CHECK(says(wardian_threads_run(program.threads), "a thread has failed"));
  end(&program);

  pthread_t thread;
  program = begin(engine, HEAD " (func (export \"wasi_thread_start\") (param i32 i32) (loop (br 0)))" END, NULL);
  CHECK(pthread_create(&thread, NULL, end_soon, program.threads) == 0);
  CHECK(exit_of(wardian_threads_run(program.threads)) == 9);
  pthread_join(thread, NULL);
  end(&program);

  // A program is carried.
  calls = 0;
  program = begin(engine,
    HEAD " (func (export \"wasi_thread_start\") (param i32 i32) (local $i i32)"
    "   (loop $l (drop (i32.atomic.rmw.add (i32.const 16) (i32.const 1))) (call $say (i32.const 0))"
    "     (br_if $l (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 60))))"
    "   (call $done))" END, "slow");
  CHECK(pthread_create(&thread, NULL, carry, program.threads) == 0);
  wasm_trap_t* trap = wardian_threads_run(program.threads);
  CHECK(wardian_trap_stop(trap) == WARDIAN_STOPPED_FOR_CHECKPOINT);
  wasm_trap_delete(trap);
  pthread_join(thread, NULL);
  CHECK(calls > 0 && calls < 180);
  end(&program);
  program = (program_t){engine, wasm_store_new(engine), NULL, NULL, NULL};
  links(&program, NULL);
  program.threads = wardian_threads_resume(program.linker, program.store, wardian_wasi_new(), path, 8, &trap);
  no_trap(trap);
  CHECK(exit_of(wardian_threads_run(program.threads)) == 180);
  end(&program);

  // What is no such program.
  wasm_store_t* store = wasm_store_new(engine);
  wardian_linker_t* linker = wardian_linker_new(engine);
  wasm_module_t* module = module_of(store, "(module)");
  CHECK(wardian_threads_new(linker, store, module, 8, &trap) == NULL && says(trap, "no program for threads"));
  wasm_module_delete(module);
  CHECK(wardian_threads_resume(linker, store, NULL, "/dev/null", 8, &trap) == NULL && trap != NULL);
  wasm_trap_delete(trap);
  module = module_of(store, HEAD " (func (export \"wasi_thread_start\") (param i32 i32))" END);
  wardian_store_limit_memory(store, 1000);
  CHECK(wardian_threads_new(linker, store, module, 8, &trap) == NULL);
  CHECK(wardian_trap_limit(trap) == WARDIAN_LIMIT_OF_STORE);
  wasm_trap_delete(trap);
  wasm_module_delete(module);
  wardian_linker_delete(linker);
  wasm_store_delete(store);
  wasm_engine_delete(engine);
  puts("threads: ok");
  return 0;
}
