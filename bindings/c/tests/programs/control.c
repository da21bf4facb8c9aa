// Limits, stops, WASI, checkpoints and forks.
#include "check.h"
#include <pthread.h>
#include <unistd.h>

static wasm_store_t* current;
static wasm_byte_vec_t saved = WASM_EMPTY_VEC;
static wasm_store_t* child = NULL;
static wardian_resumed_t* child_guest = NULL;

// Takes a checkpoint and a fork the first time, and answers with its argument.
static wasm_trap_t* ask(void* env, const wasm_val_vec_t* args, wasm_val_vec_t* results) {
  (void)env;
  if (saved.size == 0) {
    wasm_trap_t* trap = wardian_checkpoint(current, &saved);
    if (trap != NULL) return trap;
    child = wardian_fork(current, &child_guest, &trap);
    if (child == NULL) return trap;
  }
  results->data[0] = args->data[0];
  return NULL;
}

static void* cancel(void* token) {
  usleep(20000);
  wardian_cancel(token);
  return NULL;
}

static wasm_func_t* export(const wasm_instance_t* instance, const char* name) {
  wasm_extern_t* item = wardian_instance_export(instance, name);
  CHECK(item != NULL);
  return wasm_extern_as_func(item);
}

int main(int argc, char** argv) {
  CHECK(argc == 2);
  wasm_config_t* config = wasm_config_new();
  wardian_config_fuel(config, true);
  wardian_config_checkpoints(config, WARDIAN_CHECKPOINTS_CALLS);
  wasm_engine_t* engine = wasm_engine_new_with_config(config);
  current = wasm_store_new(engine);
  CHECK(wardian_store_set_fuel(current, 100000));
  wardian_linker_t* linker = wardian_linker_new(engine);
  wasm_functype_t* type = wasm_functype_new_1_1(wasm_valtype_new_i32(), wasm_valtype_new_i32());
  no_trap(wardian_linker_define_func(linker, current, "h", "ask", type, ask, NULL, NULL));
  CHECK(says(wardian_linker_define_func(linker, current, "h", "ask", type, ask, NULL, NULL), "ask"));
  wasm_functype_delete(type);
  no_trap(wardian_linker_define_wasi(linker, current));

  wasm_module_t* module = module_of(current,
    "(module (import \"h\" \"ask\" (func $ask (param i32) (result i32))) (memory (export \"m\") 4)"
    " (func (export \"run\") (param $n i32) (result i32)"
    "   (i32.store (i32.const 200000) (i32.const 1000))"
    "   (i32.add (call $ask (local.get $n)) (i32.add (local.get $n) (i32.load (i32.const 200000)))))"
    " (func (export \"spin\") (loop $l (br $l))) (func (export \"grow\") (result i32) (memory.grow (i32.const 1))))");
  wasm_trap_t* trap = NULL;
  wasm_instance_t* instance = wardian_linker_instantiate(linker, current, module, &trap);
  no_trap(trap);

  wasm_func_t* run = export(instance, "run");
  wasm_val_t args[] = {WASM_I32_VAL(7)}, out[] = {WASM_INIT_VAL};
  wasm_val_vec_t arg_vec = WASM_ARRAY_VEC(args), out_vec = WASM_ARRAY_VEC(out), none = WASM_EMPTY_VEC;
  no_trap(wasm_func_call(run, &arg_vec, &out_vec));
  CHECK(out[0].of.i32 == 1014);
  CHECK(saved.size > 0 && child != NULL && child_guest != NULL);
  uint64_t left = wardian_store_fuel(current);
  CHECK(left > 0 && left < 100000);

  // The fork continues with another answer, the checkpoint asks again.
  CHECK(wardian_resumed_is_running(child_guest));
  wasm_instance_t* forked = wardian_resumed_instance(child_guest, 0);
  wasm_val_t given[] = {WASM_I32_VAL(500)};
  wasm_val_vec_t given_vec = WASM_ARRAY_VEC(given), results;
  no_trap(wardian_resumed_run(child_guest, &given_vec, &results));
  CHECK(results.size == 1 && results.data[0].of.i32 == 1507);
  wasm_val_vec_delete(&results);
  // The memory that it has from its parent counts.
  wardian_store_limit_memory(child, 4 * MEMORY_PAGE_SIZE);
  wasm_func_t* child_grow = export(forked, "grow");
  no_trap(wasm_func_call(child_grow, &none, &out_vec));
  CHECK(out[0].of.i32 == -1);
  wasm_func_delete(child_grow);
  wasm_instance_delete(forked);
  wasm_store_delete(child);
  wasm_store_t* fresh = wasm_store_new(engine);
  wardian_resumed_t* resumed = wardian_resume(fresh, linker, &saved, &trap);
  no_trap(trap);
  wasm_instance_t* again = wardian_resumed_instance(resumed, 0);
  CHECK(again != NULL && wardian_resumed_instance(resumed, 1) == NULL);
  no_trap(wardian_resumed_run(resumed, NULL, &results));
  CHECK(results.size == 1 && results.data[0].of.i32 == 1014);
  wasm_val_vec_delete(&results);
  wasm_instance_delete(again);
  wasm_store_delete(fresh);
  saved.data[saved.size / 2] ^= 1;
  fresh = wasm_store_new(engine);
  CHECK(wardian_resume(fresh, linker, &saved, &trap) == NULL && trap != NULL);
  wasm_trap_delete(trap);
  wasm_store_delete(fresh);
  wasm_byte_vec_delete(&saved);

  wasm_func_t* grow = export(instance, "grow");
  wardian_store_limit_memory(current, 5 * MEMORY_PAGE_SIZE);
  no_trap(wasm_func_call(grow, &none, &out_vec));
  CHECK(out[0].of.i32 == 4);
  no_trap(wasm_func_call(grow, &none, &out_vec));
  CHECK(out[0].of.i32 == -1);
  wardian_store_limit_memory(current, SIZE_MAX);

  wasm_func_t* spin = export(instance, "spin");
  trap = wasm_func_call(spin, &none, &none);
  CHECK(wardian_trap_stop(trap) == WARDIAN_OUT_OF_FUEL);
  wasm_trap_delete(trap);
  CHECK(wardian_store_set_fuel(current, INT64_MAX));
  wardian_store_set_timeout(current, 10);
  trap = wasm_func_call(spin, &none, &none);
  CHECK(wardian_trap_stop(trap) == WARDIAN_STOPPED_BY_DEADLINE);
  wasm_trap_delete(trap);
  wardian_store_clear_stops(current);
  wardian_cancel_token_t* token = wardian_cancel_token_new(current);
  pthread_t thread;
  CHECK(pthread_create(&thread, NULL, cancel, token) == 0);
  trap = wasm_func_call(spin, &none, &none);
  CHECK(wardian_trap_stop(trap) == WARDIAN_STOPPED_BY_TOKEN);
  wasm_trap_delete(trap);
  pthread_join(thread, NULL);
  wardian_cancel_token_delete(token);
  wardian_store_clear_stops(current);

  // A program of WASI that writes to standard output and exits.
  wasm_module_t* program = module_of(current,
    "(module (import \"wasi_snapshot_preview1\" \"fd_write\" (func $write (param i32 i32 i32 i32) (result i32)))"
    " (import \"wasi_snapshot_preview1\" \"proc_exit\" (func $exit (param i32)))"
    " (memory (export \"memory\") 1) (data (i32.const 8) \"\\10\\00\\00\\00\\06\\00\\00\\00hello\\n\")"
    " (func (export \"_start\")"
    "   (call $exit (i32.add (i32.const 40) (call $write (i32.const 1) (i32.const 8) (i32.const 1) (i32.const 0))))))");
  wardian_wasi_t* wasi = wardian_wasi_new();
  CHECK(wardian_wasi_arg(wasi, "program") && wardian_wasi_env(wasi, "NAME", "value"));
  CHECK(!wardian_wasi_dir(wasi, "/does/not/exist", "/", false) && wardian_wasi_dir(wasi, argv[1], "/", true));
  CHECK(wardian_wasi_inherit_stdio(wasi));
  fflush(stdout);
  wardian_store_set_wasi(current, wasi);
  wasm_instance_t* started = wardian_linker_instantiate(linker, current, program, &trap);
  no_trap(trap);
  wasm_func_t* start = export(started, "_start");
  trap = wasm_func_call(start, &none, &none);
  uint32_t code = 0;
  CHECK(wardian_trap_exit_code(trap, &code) && code == 40);
  wasm_trap_delete(trap);

  wasm_func_t* functions[] = {run, grow, spin, start};
  for (int i = 0; i < 4; i++) wasm_func_delete(functions[i]);
  wasm_instance_delete(started);
  wasm_instance_delete(instance);
  wasm_module_delete(program);
  wasm_module_delete(module);
  wardian_linker_delete(linker);
  wasm_store_delete(current);
  wasm_engine_delete(engine);
  puts("control: ok");
  return 0;
}
