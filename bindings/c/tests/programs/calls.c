// Calls in both directions, with every kind of value, traps from both sides, and what they say.
#include "check.h"

static wasm_store_t* store;

static wasm_trap_t* twice(void* env, const wasm_val_vec_t* args, wasm_val_vec_t* results) {
  CHECK(args->size == 4 && results->size == 2);
  CHECK(args->data[0].kind == WASM_I32 && args->data[1].kind == WASM_I64);
  ++*(int*)env;
  if (args->data[0].of.i32 == 13) {
    wasm_name_t text;
    wasm_name_new_from_string_nt(&text, "not thirteen");
    wasm_trap_t* trap = wasm_trap_new(store, &text);
    wasm_name_delete(&text);
    return trap;
  }
  results->data[0] = (wasm_val_t)WASM_I64_VAL(2 * (args->data[0].of.i32 + args->data[1].of.i64));
  results->data[1] = (wasm_val_t)WASM_F64_VAL(args->data[2].of.f32 + args->data[3].of.f64);
  return NULL;
}

static void finalized(void* env) {
  *(int*)env += 1000;
}

static const char* TEXT =
  "(module (import \"h\" \"twice\" (func $twice (param i32 i64 f32 f64) (result i64 f64)))"
  " (func (export \"run\") (param i32) (result i64 f64)"
  "   (call $twice (local.get 0) (i64.const 100) (f32.const 0.5) (f64.const 0.25)))"
  " (func $inner (unreachable)) (func (export \"fail\") (call $inner))"
  " (func (export \"same\") (param externref) (result externref) (local.get 0))"
  " (func (export \"self\") (result funcref) (ref.func 1)))";

int main(void) {
  wasm_engine_t* engine = wasm_engine_new();
  store = wasm_store_new(engine);
  wasm_module_t* module = module_of(store, TEXT);

  int calls = 0;
  wasm_valtype_t* params[] = {
    wasm_valtype_new_i32(), wasm_valtype_new_i64(), wasm_valtype_new_f32(), wasm_valtype_new_f64()};
  wasm_valtype_t* results[] = {wasm_valtype_new_i64(), wasm_valtype_new_f64()};
  wasm_valtype_vec_t param_types, result_types;
  wasm_valtype_vec_new(&param_types, 4, params);
  wasm_valtype_vec_new(&result_types, 2, results);
  wasm_functype_t* type = wasm_functype_new(&param_types, &result_types);
  wasm_func_t* host = wasm_func_new_with_env(store, type, twice, &calls, finalized);
  CHECK(wasm_func_param_arity(host) == 4 && wasm_func_result_arity(host) == 2);
  wasm_functype_delete(type);

  wasm_extern_t* imports[] = {wasm_func_as_extern(host)};
  wasm_extern_vec_t import_vec = WASM_ARRAY_VEC(imports);
  wasm_trap_t* trap = NULL;
  wasm_instance_t* instance = wasm_instance_new(store, module, &import_vec, &trap);
  no_trap(trap);
  wasm_extern_vec_t exports;
  wasm_instance_exports(instance, &exports);
  CHECK(exports.size == 4);

  wasm_func_t* run = wasm_extern_as_func(exports.data[0]);
  CHECK(wasm_extern_as_memory(exports.data[0]) == NULL);
  wasm_val_t args[] = {WASM_I32_VAL(7)};
  wasm_val_t out[] = {WASM_INIT_VAL, WASM_INIT_VAL};
  wasm_val_vec_t arg_vec = WASM_ARRAY_VEC(args), out_vec = WASM_ARRAY_VEC(out);
  no_trap(wasm_func_call(run, &arg_vec, &out_vec));
  CHECK(out[0].kind == WASM_I64 && out[0].of.i64 == 214);
  CHECK(out[1].kind == WASM_F64 && out[1].of.f64 == 0.75);

  // The trap of the callback comes out of the call.
  args[0].of.i32 = 13;
  trap = wasm_func_call(run, &arg_vec, &out_vec);
  CHECK(wardian_trap_code(trap) == NULL);
  CHECK(says(trap, "not thirteen"));
  // Wrong numbers and kinds of values.
  wasm_val_vec_t none = WASM_EMPTY_VEC;
  CHECK(says(wasm_func_call(run, &none, &out_vec), "takes 1 arguments"));
  wasm_val_t wrong[] = {WASM_F32_VAL(1)};
  wasm_val_vec_t wrong_vec = WASM_ARRAY_VEC(wrong);
  CHECK(says(wasm_func_call(run, &wrong_vec, &out_vec), "kind 2"));
  CHECK(calls == 2);

  trap = wasm_func_call(wasm_extern_as_func(exports.data[1]), &none, &none);
  CHECK(strcmp(wardian_trap_code(trap), "unreachable") == 0 || wardian_trap_code(trap) != NULL);
  wasm_frame_vec_t frames;
  wasm_trap_trace(trap, &frames);
  CHECK(frames.size == 2);
  CHECK(wasm_frame_func_index(frames.data[0]) == 2 && wasm_frame_func_index(frames.data[1]) == 3);
  CHECK(wasm_instance_same(wasm_frame_instance(frames.data[0]), instance));
  CHECK(wasm_frame_module_offset(frames.data[0]) > wasm_frame_func_offset(frames.data[0]));
  wasm_frame_t* origin = wasm_trap_origin(trap);
  CHECK(wasm_frame_func_index(origin) == 2);
  wasm_frame_delete(origin);
  wasm_frame_vec_delete(&frames);
  CHECK(says(trap, "unreachable"));

  // References keep their identity, and what is attached to them.
  wasm_foreign_t* foreign = wasm_foreign_new(store);
  int attached = 0;
  wasm_foreign_set_host_info_with_finalizer(foreign, &attached, finalized);
  wasm_val_t refs[] = {WASM_REF_VAL(wasm_foreign_as_ref(foreign))};
  wasm_val_t back[] = {WASM_INIT_VAL};
  wasm_val_vec_t ref_vec = WASM_ARRAY_VEC(refs), back_vec = WASM_ARRAY_VEC(back);
  no_trap(wasm_func_call(wasm_extern_as_func(exports.data[2]), &ref_vec, &back_vec));
  CHECK(wasm_ref_same(back[0].of.ref, wasm_foreign_as_ref(foreign)));
  CHECK(wasm_ref_get_host_info(back[0].of.ref) == &attached);
  CHECK(wasm_ref_as_func(back[0].of.ref) == NULL);
  wasm_val_delete(&back[0]);
  wasm_foreign_delete(foreign);
  no_trap(wasm_func_call(wasm_extern_as_func(exports.data[3]), &none, &back_vec));
  CHECK(back[0].kind == WASM_FUNCREF);
  CHECK(wasm_func_same(wasm_ref_as_func(back[0].of.ref), run));
  wasm_val_delete(&back[0]);
  wasm_instance_set_host_info_with_finalizer(instance, &attached, finalized);

  // An import of another type.
  wasm_extern_t* wrong_imports[] = {exports.data[0]};
  wasm_extern_vec_t wrong_import_vec = WASM_ARRAY_VEC(wrong_imports);
  CHECK(wasm_instance_new(store, module, &wrong_import_vec, &trap) == NULL);
  CHECK(says(trap, "incompatible import type"));

  wasm_extern_vec_delete(&exports);
  wasm_instance_delete(instance);
  wasm_func_delete(host);
  wasm_module_delete(module);
  wasm_store_delete(store);
  wasm_engine_delete(engine);
  // The callback once, and what was attached: to the foreign object when the store went, and to the instance.
  CHECK(calls == 1002);
  CHECK(attached == 2000);
  puts("calls: ok");
  return 0;
}
