// Types, globals, tables and memories; modules that are shared and serialized.
#include "check.h"

static const char* TEXT =
  "(module (import \"h\" \"m\" (memory 1)) (import \"h\" \"t\" (table 2 funcref))"
  " (import \"h\" \"g\" (global $g (mut i32))) (tag (export \"e\") (param i32))"
  " (func (export \"sum\") (result i32) (i32.add (global.get $g) (i32.load (i32.const 65532))))"
  " (func (export \"at\") (param i32) (result i32) (call_indirect (result i32) (local.get 0)))"
  " (global (export \"c\") i64 (i64.const 9)))";

static int32_t call(const wasm_func_t* func, wasm_val_vec_t* args) {
  wasm_val_t out[] = {WASM_INIT_VAL};
  wasm_val_vec_t out_vec = WASM_ARRAY_VEC(out);
  no_trap(wasm_func_call(func, args, &out_vec));
  return out[0].of.i32;
}

int main(void) {
  wasm_engine_t* engine = wasm_engine_new();
  wasm_store_t* store = wasm_store_new(engine);
  wasm_module_t* module = module_of(store, TEXT);

  wasm_importtype_vec_t imports;
  wasm_module_imports(module, &imports);
  CHECK(imports.size == 3);
  const wasm_name_t* name = wasm_importtype_name(imports.data[0]);
  CHECK(name->size == 1 && name->data[0] == 'm');
  const wasm_externtype_t* type = wasm_importtype_type(imports.data[0]);
  CHECK(wasm_externtype_kind(type) == WASM_EXTERN_MEMORY);
  const wasm_memorytype_t* memory_type = wasm_externtype_as_memorytype_const(type);
  CHECK(wasm_memorytype_limits(memory_type)->min == 1);
  CHECK(wasm_memorytype_limits(memory_type)->max == wasm_limits_max_default);
  CHECK(wasm_externtype_as_functype_const(type) == NULL);
  wasm_importtype_vec_t copied;
  wasm_importtype_vec_copy(&copied, &imports);
  wasm_importtype_vec_delete(&imports);
  const wasm_globaltype_t* global_type =
    wasm_externtype_as_globaltype_const(wasm_importtype_type(copied.data[2]));
  CHECK(wasm_globaltype_mutability(global_type) == WASM_VAR);
  CHECK(wasm_valtype_kind(wasm_globaltype_content(global_type)) == WASM_I32);
  wasm_importtype_vec_delete(&copied);
  wasm_exporttype_vec_t export_types;
  wasm_module_exports(module, &export_types);
  CHECK(export_types.size == 4);
  CHECK(wasm_externtype_kind(wasm_exporttype_type(export_types.data[0])) == WASM_EXTERN_TAG);
  wasm_exporttype_vec_delete(&export_types);

  wasm_limits_t limits = {1, 3};
  wasm_memorytype_t* mt = wasm_memorytype_new(&limits);
  wasm_memory_t* memory = wasm_memory_new(store, mt);
  wasm_memorytype_delete(mt);
  wasm_tabletype_t* tt = wasm_tabletype_new(wasm_valtype_new_funcref(), &limits);
  wasm_table_t* table = wasm_table_new(store, tt, NULL);
  wasm_tabletype_delete(tt);
  CHECK(wasm_table_grow(table, 1, NULL) && wasm_table_size(table) == 2 && !wasm_table_grow(table, 2, NULL));
  wasm_globaltype_t* gt = wasm_globaltype_new(wasm_valtype_new_i32(), WASM_VAR);
  wasm_val_t value = WASM_I32_VAL(5), wide = WASM_I64_VAL(5);
  CHECK(wasm_global_new(store, gt, &wide) == NULL);
  wasm_global_t* global = wasm_global_new(store, gt, &value);
  wasm_globaltype_delete(gt);

  wasm_extern_t* given[] = {
    wasm_memory_as_extern(memory), wasm_table_as_extern(table), wasm_global_as_extern(global)};
  wasm_extern_vec_t given_vec = WASM_ARRAY_VEC(given);
  wasm_trap_t* trap = NULL;
  wasm_instance_t* instance = wasm_instance_new(store, module, &given_vec, &trap);
  no_trap(trap);
  wasm_extern_vec_t exports;
  wasm_instance_exports(instance, &exports);
  wasm_func_t* sum = wasm_extern_as_func(exports.data[1]);
  wasm_func_t* at = wasm_extern_as_func(exports.data[2]);

  wasm_val_vec_t none = WASM_EMPTY_VEC;
  memcpy(wasm_memory_data(memory) + 65532, (int32_t[]){37}, 4);
  CHECK(call(sum, &none) == 42);
  value.of.i32 = 100;
  wasm_global_set(global, &value);
  wasm_global_set(global, &wide);
  wasm_global_get(global, &value);
  CHECK(value.of.i32 == 100 && call(sum, &none) == 137);
  wasm_val_t constant;
  wasm_global_get(wasm_extern_as_global(exports.data[3]), &constant);
  CHECK(constant.kind == WASM_I64 && constant.of.i64 == 9);

  CHECK(wasm_table_get(table, 1) == NULL && wasm_table_get(table, 9) == NULL);
  CHECK(wasm_table_set(table, 1, wasm_func_as_ref(sum)) && !wasm_table_set(table, 2, wasm_func_as_ref(sum)));
  wasm_val_t index[] = {WASM_I32_VAL(1)};
  wasm_val_vec_t index_vec = WASM_ARRAY_VEC(index);
  CHECK(call(at, &index_vec) == 137);
  wasm_ref_t* element = wasm_table_get(table, 1);
  CHECK(wasm_func_same(wasm_ref_as_func(element), sum));
  wasm_ref_delete(element);

  CHECK(wasm_memory_grow(memory, 2) && wasm_memory_size(memory) == 3 && !wasm_memory_grow(memory, 1));
  CHECK(wasm_memory_data_size(memory) == 3 * MEMORY_PAGE_SIZE);
  wasm_memorytype_t* grown = wasm_memory_type(memory);
  CHECK(wasm_memorytype_limits(grown)->min == 3 && wasm_memorytype_limits(grown)->max == 3);
  wasm_memorytype_delete(grown);

  // In another store, by sharing and by bytes.
  wasm_store_t* other = wasm_store_new(engine);
  wasm_shared_module_t* shared = wasm_module_share(module);
  wasm_module_t* obtained = wasm_module_obtain(other, shared);
  wasm_shared_module_delete(shared);
  CHECK(obtained != NULL && wasm_module_same(obtained, module));
  wasm_byte_vec_t bytes;
  wasm_module_serialize(module, &bytes);
  wasm_module_t* deserialized = wasm_module_deserialize(other, &bytes);
  CHECK(deserialized != NULL);
  bytes.data[0] ^= 1;
  CHECK(wasm_module_deserialize(other, &bytes) == NULL);
  CHECK(!wasm_module_validate(other, &bytes) && wasm_module_new(other, &bytes) == NULL);
  wasm_byte_vec_delete(&bytes);

  wasm_module_delete(deserialized);
  wasm_module_delete(obtained);
  wasm_store_delete(other);
  wasm_extern_vec_delete(&exports);
  wasm_instance_delete(instance);
  wasm_memory_delete(memory);
  wasm_table_delete(table);
  wasm_global_delete(global);
  wasm_module_delete(module);
  wasm_store_delete(store);
  wasm_engine_delete(engine);
  puts("items: ok");
  return 0;
}
