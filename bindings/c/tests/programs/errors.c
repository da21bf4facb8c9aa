// What kind of error a trap is.
#include "check.h"

static wasm_store_t* store;
static wasm_engine_t* engine;
static wardian_linker_t* linker;

static wasm_func_t* nested;

// Fails with an error of its own, an exit, or the trap of a guest that it calls.
static wasm_trap_t* fail(void* env, const wasm_val_vec_t* args, wasm_val_vec_t* results) {
  (void)env, (void)results;
  wasm_val_vec_t none = WASM_EMPTY_VEC;
  if (args->data[0].of.i32 == 0) {
    wasm_message_t message;
    wasm_name_new_from_string_nt(&message, "the shelf is empty");
    wasm_trap_t* trap = wasm_trap_new(store, &message);
    wasm_byte_vec_delete(&message);
    return trap;
  }
  if (args->data[0].of.i32 == 1) return wardian_trap_exit(store, 9);
  return wasm_func_call(nested, &none, &none);
}

static wasm_func_t* export(const wasm_instance_t* instance, const char* name) {
  wasm_extern_t* item = wardian_instance_export(instance, name);
  CHECK(item != NULL);
  return wasm_extern_as_func(item);
}

static wasm_trap_t* call(wasm_instance_t* instance, const char* name, int argument) {
  wasm_func_t* func = export(instance, name);
  wasm_val_t args[] = {WASM_I32_VAL(argument)};
  wasm_val_vec_t given = WASM_ARRAY_VEC(args), none = WASM_EMPTY_VEC;
  wasm_trap_t* trap = wasm_func_call(func, argument < 0 ? &none : &given, &none);
  wasm_func_delete(func);
  return trap;
}

static void is(wasm_trap_t* trap, enum wardian_error_kind kind) {
  CHECK(trap != NULL);
  if (wardian_trap_kind(trap) != kind) fprintf(stderr, "it is %d, not %d\n", (int)wardian_trap_kind(trap), (int)kind);
  CHECK(wardian_trap_kind(trap) == kind);
  CHECK((wardian_trap_number(trap) != WARDIAN_NO_TRAP) == (kind == WARDIAN_ERROR_TRAP));
  CHECK((wardian_trap_code(trap) != NULL) == (kind == WARDIAN_ERROR_TRAP));
  CHECK((wardian_trap_stop(trap) != WARDIAN_NOT_STOPPED) == (kind == WARDIAN_ERROR_STOPPED));
  CHECK((wardian_trap_limit(trap) != WARDIAN_NO_LIMIT) == (kind == WARDIAN_ERROR_LIMIT));
  CHECK((wardian_trap_checkpoint(trap) != WARDIAN_NO_CHECKPOINT_PROBLEM) == (kind == WARDIAN_ERROR_CHECKPOINT));
  CHECK(wardian_trap_exit_code(trap, NULL) == (kind == WARDIAN_ERROR_EXIT || kind == WARDIAN_ERROR_CLOSED));
}

// Traps of guests, and of host functions that they call.
static void guests(void) {
  wasm_functype_t* type = wasm_functype_new_1_0(wasm_valtype_new_i32());
  no_trap(wardian_linker_define_func(linker, store, "h", "fail", type, fail, NULL, NULL));
  wasm_trap_t* trap = wardian_linker_define_func(linker, store, "h", "\xff", type, fail, NULL, NULL);
  is(trap, WARDIAN_ERROR_USAGE);
  wasm_trap_delete(trap);
  wasm_functype_delete(type);
  wasm_module_t* module = module_of(store,
    "(module (import \"h\" \"fail\" (func $fail (param i32))) (memory 1) (tag $e)"
    " (func (export \"fail\") (param i32) (call $fail (local.get 0)))"
    " (func (export \"load\") (param i32) (drop (i64.load offset=8 (local.get 0))))"
    " (func (export \"divide\") (param i32) (drop (i32.div_u (i32.const 1) (local.get 0))))"
    " (func (export \"throw\") (throw $e)) (func (export \"spin\") (loop (br 0))))");
  wasm_instance_t* instance = wardian_linker_instantiate(linker, store, module, &trap);
  no_trap(trap);
  nested = export(instance, "throw");

  trap = call(instance, "load", 65536);
  is(trap, WARDIAN_ERROR_TRAP);
  CHECK(wardian_trap_number(trap) == WARDIAN_TRAP_MEMORY_OUT_OF_BOUNDS);
  CHECK(strcmp(wardian_trap_code(trap), "out of bounds memory access") == 0);
  uint64_t address = 0, size = 0, memory = 0;
  CHECK(wardian_trap_memory_access(trap, &address, &size, &memory));
  CHECK(address == 65544 && size == 8 && memory == 65536);
  CHECK(wardian_trap_memory_access(trap, NULL, NULL, NULL));
  wasm_trap_delete(trap);
  trap = call(instance, "divide", 0);
  is(trap, WARDIAN_ERROR_TRAP);
  CHECK(wardian_trap_number(trap) == WARDIAN_TRAP_INTEGER_DIVISION_BY_ZERO);
  CHECK(!wardian_trap_memory_access(trap, &address, &size, &memory) && address == 65544);
  wasm_trap_delete(trap);

  trap = call(instance, "fail", 0);
  is(trap, WARDIAN_ERROR_HOST);
  CHECK(says(trap, "the shelf is empty"));
  trap = call(instance, "throw", -1);
  is(trap, WARDIAN_ERROR_EXCEPTION);
  wasm_trap_delete(trap);
  // It is passed on by a callback.
  trap = call(instance, "fail", 2);
  is(trap, WARDIAN_ERROR_EXCEPTION);
  wasm_trap_delete(trap);
  wasm_func_delete(nested);
  nested = export(instance, "spin");
  wardian_store_set_timeout(store, 20);
  trap = call(instance, "fail", 2);
  is(trap, WARDIAN_ERROR_STOPPED);
  CHECK(wardian_trap_stop(trap) == WARDIAN_STOPPED_BY_DEADLINE);
  wasm_trap_delete(trap);
  wardian_store_clear_stops(store);
  wasm_func_delete(nested);

  uint32_t code = 0;
  trap = call(instance, "fail", 1);
  is(trap, WARDIAN_ERROR_EXIT);
  CHECK(wardian_trap_exit_code(trap, &code) && code == 9);
  wasm_trap_delete(trap);
  CHECK(wardian_instance_close(instance, 9));
  trap = call(instance, "divide", 1);
  is(trap, WARDIAN_ERROR_CLOSED);
  CHECK(wardian_trap_exit_code(trap, &code) && code == 9);
  wasm_trap_delete(trap);
  wasm_instance_delete(instance);
  wasm_module_delete(module);
}

// Modules, imports, limits and checkpoints.
static void others(void) {
  wasm_byte_vec_t bytes;
  wasm_byte_vec_new(&bytes, 8, "\0asm\2\0\0\0");
  wasm_trap_t* trap = NULL;
  CHECK(wardian_module_new(store, &bytes, &trap) == NULL);
  is(trap, WARDIAN_ERROR_DECODE);
  wasm_trap_delete(trap);
  CHECK(wardian_resume(store, linker, &bytes, &trap) == NULL);
  is(trap, WARDIAN_ERROR_CHECKPOINT);
  CHECK(wardian_trap_checkpoint(trap) == WARDIAN_CHECKPOINT_DAMAGED);
  wasm_trap_delete(trap);
  wasm_byte_vec_delete(&bytes);

  wasm_module_t* partly = module_of(store,
    "(module (func (export \"good\")) (func (export \"bad\") i32.add drop))");
  wasm_instance_t* instance = wardian_linker_instantiate(linker, store, partly, &trap);
  no_trap(trap);
  no_trap(call(instance, "good", -1));
  trap = call(instance, "bad", -1);
  is(trap, WARDIAN_ERROR_DECODE);
  wasm_trap_delete(trap);
  no_trap(call(instance, "good", -1));
  wasm_instance_delete(instance);
  wasm_module_delete(partly);

  wasm_module_t* needs = module_of(store,
    "(module (import \"h\" \"fail\" (global i32)) (import \"x\" \"y\" (func)))");
  CHECK(wardian_linker_instantiate(linker, store, needs, &trap) == NULL);
  is(trap, WARDIAN_ERROR_LINK);
  wasm_name_t module, name;
  wasm_message_t problem;
  CHECK(wardian_trap_import(trap, 1, &module, &name, &problem));
  CHECK(module.size == 1 && module.data[0] == 'x' && name.size == 1 && name.data[0] == 'y' && problem.size > 0);
  wasm_name_delete(&module);
  wasm_name_delete(&name);
  wasm_byte_vec_delete(&problem);
  CHECK(!wardian_trap_import(trap, 2, &module, &name, &problem));
  wasm_trap_delete(trap);
  wasm_module_delete(needs);

  wardian_store_limit_memory(store, 65536);
  wasm_module_t* large = module_of(store, "(module (memory 3))");
  CHECK(wardian_linker_instantiate(linker, store, large, &trap) == NULL);
  is(trap, WARDIAN_ERROR_LIMIT);
  CHECK(wardian_trap_limit(trap) == WARDIAN_LIMIT_OF_STORE);
  wasm_trap_delete(trap);
  wasm_module_delete(large);
}

int main(void) {
  wasm_config_t* config = wasm_config_new();
  wardian_config_engine(config, WARDIAN_INTERPRETED);
  wardian_config_lazy_validation(config, true);
  engine = wasm_engine_new_with_config(config);
  store = wasm_store_new(engine);
  linker = wardian_linker_new(engine);
  guests();
  others();
  wardian_linker_delete(linker);
  wasm_store_delete(store);
  wasm_engine_delete(engine);
  puts("errors: ok");
  return 0;
}
