// How instances are made: names, resolvers of imports, memories of the embedder's, and who is notified when they are closed.
#define _DEFAULT_SOURCE
#include "check.h"
#include <sys/mman.h>

static int finalized = 0;

static void finalize(void* env) {
  (void)env;
  finalized++;
}

typedef struct {
  int closed;
  uint32_t code;
  char name[32];
} closing_t;

static void closed(void* env, const char* name, uint32_t code) {
  closing_t* closing = env;
  closing->closed++;
  closing->code = code;
  snprintf(closing->name, sizeof closing->name, "%s", name == NULL ? "" : name);
}

static wasm_trap_t* answer(void* env, const wasm_val_vec_t* args, wasm_val_vec_t* results) {
  (void)args;
  results->data[0] = (wasm_val_t)WASM_I32_VAL(*(int*)env);
  return NULL;
}

// Makes functions of the module "numbers" on the fly, fails for "broken", and leaves the rest to the linker.
static wasm_extern_t* resolve(
    void* env, wasm_store_t* store, const char* module, const char* name, const wasm_externtype_t* type,
    wasm_trap_t** trap) {
  if (strcmp(module, "broken") == 0) {
    wasm_message_t message;
    wasm_name_new_from_string_nt(&message, "it is broken");
    *trap = wasm_trap_new(store, &message);
    wasm_byte_vec_delete(&message);
    return NULL;
  }
  if (strcmp(module, "numbers") != 0) return NULL;
  CHECK(wasm_externtype_kind(type) == WASM_EXTERN_FUNC && strcmp(name, "seven") == 0);
  const wasm_functype_t* wanted = wasm_externtype_as_functype_const(type);
  return wasm_func_as_extern(wasm_func_new_with_env(store, wanted, answer, env, NULL));
}

// Memories on the heap.
typedef struct {
  uint8_t* block;
  size_t size;
  int* freed;
} heap_t;

static uint8_t* aligned(uint8_t* block) { return (uint8_t*)(((uintptr_t)block + 15) & ~(uintptr_t)15); }

static bool grow(void* env, size_t size, uint8_t** base, size_t* capacity) {
  heap_t* heap = env;
  if (size > 4 * 65536) return false;
  uint8_t* block = calloc(1, size + 16);
  if (block == NULL) return false;
  memcpy(aligned(block), aligned(heap->block), heap->size);
  free(heap->block);
  heap->block = block;
  heap->size = size;
  *base = aligned(block);
  *capacity = size;
  return true;
}

static void release(void* env) {
  heap_t* heap = env;
  ++*heap->freed;
  free(heap->block);
  free(heap);
}

static bool allocate(
    void* env, const wasm_memorytype_t* type, size_t minimum, size_t maximum, wardian_linear_memory_t* out) {
  const wasm_limits_t* limits = wasm_memorytype_limits(type);
  CHECK((size_t)limits->min * 65536 == minimum && maximum >= minimum);
  if (minimum > 2 * 65536) return false;
  heap_t* heap = malloc(sizeof *heap);
  heap->block = calloc(1, minimum + 16);
  heap->size = minimum;
  heap->freed = env;
  *out = (wardian_linear_memory_t){.base = aligned(heap->block), .capacity = minimum, .environment = heap, .grow = grow, .free = release};
  return true;
}

// Memories with guard pages.
typedef struct {
  uint8_t* base;
  size_t size, reserved;
  int* freed;
} guarded_t;

static bool guarded_grow(void* env, size_t size, uint8_t** base, size_t* capacity) {
  guarded_t* memory = env;
  if (mprotect(memory->base, size, PROT_READ | PROT_WRITE) != 0) return false;
  memory->size = size;
  *base = memory->base;
  *capacity = size;
  return true;
}

static bool guarded_shrink(void* env, size_t size) {
  guarded_t* memory = env;
  // New pages, which are zero.
  void* rest = mmap(memory->base + size, memory->size - size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
  if (rest == MAP_FAILED) return false;
  memory->size = size;
  return true;
}

static void guarded_free(void* env) {
  guarded_t* memory = env;
  ++*memory->freed;
  munmap(memory->base, memory->reserved);
  free(memory);
}

static bool guarded(
    void* env, const wasm_memorytype_t* type, size_t minimum, size_t maximum, wardian_linear_memory_t* out) {
  (void)type, (void)maximum;
  guarded_t* memory = malloc(sizeof *memory);
  memory->size = minimum;
  memory->reserved = wardian_guarded_size();
  memory->freed = env;
  memory->base = mmap(NULL, memory->reserved, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  CHECK(memory->base != MAP_FAILED);
  CHECK(mprotect(memory->base, minimum, PROT_READ | PROT_WRITE) == 0);
  *out = (wardian_linear_memory_t){
    .base = memory->base, .capacity = minimum, .environment = memory, .grow = guarded_grow, .free = guarded_free,
    .reserved = memory->reserved, .shrink = guarded_shrink};
  return true;
}

static int32_t call(const wasm_instance_t* instance, const char* name, int32_t argument) {
  wasm_extern_t* export = wardian_instance_export(instance, name);
  wasm_val_t values[] = {WASM_I32_VAL(argument)};
  wasm_val_t given[] = {WASM_INIT_VAL};
  wasm_val_vec_t args = WASM_ARRAY_VEC(values), results = WASM_ARRAY_VEC(given);
  no_trap(wasm_func_call(wasm_extern_as_func(export), &args, &results));
  wasm_extern_delete(export);
  return given[0].of.i32;
}

static void resolvers_and_closing(wasm_engine_t* engine, wasm_store_t* store) {
  wasm_module_t* module = module_of(store,
    "(module (import \"numbers\" \"seven\" (func $seven (result i32)))"
    "  (import \"host\" \"more\" (global $more i32))"
    "  (func (export \"sum\") (param i32) (result i32)"
    "    (i32.add (local.get 0) (i32.add (call $seven) (global.get $more)))))");
  wardian_linker_t* linker = wardian_linker_new(engine);
  wasm_globaltype_t* type = wasm_globaltype_new(wasm_valtype_new_i32(), WASM_CONST);
  wasm_val_t hundred = WASM_I32_VAL(100);
  wasm_global_t* more = wasm_global_new(store, type, &hundred);
  no_trap(wardian_linker_define(linker, store, "host", "more", wasm_global_as_extern(more)));

  static int seven = 7;
  static closing_t closing;
  closing = (closing_t){0, 0, ""};
  wardian_instantiation_t* options = wardian_instantiation_new();
  CHECK(wardian_instantiation_name(options, "first"));
  CHECK(!wardian_instantiation_name(options, "\xff"));
  wardian_instantiation_resolver(options, resolve, &seven, finalize);
  wardian_instantiation_on_close(options, closed, &closing, finalize);
  wasm_trap_t* trap = NULL;
  wasm_instance_t* instance = wardian_linker_instantiate_with(linker, store, module, options, &trap);
  no_trap(trap);
  CHECK(call(instance, "sum", 1000) == 1107);

  wasm_module_t* broken = module_of(store, "(module (import \"broken\" \"f\" (func)))");
  CHECK(wardian_linker_instantiate_with(linker, store, broken, options, &trap) == NULL);
  CHECK(says(trap, "it is broken"));
  wasm_module_t* unknown = module_of(store, "(module (import \"host\" \"less\" (func)))");
  CHECK(wardian_linker_instantiate_with(linker, store, unknown, options, &trap) == NULL);
  CHECK(says(trap, "less"));

  CHECK(closing.closed == 0);
  CHECK(wardian_instance_close(instance, 5) && !wardian_instance_close(instance, 6));
  CHECK(closing.closed == 1 && closing.code == 5 && strcmp(closing.name, "first") == 0);
  wasm_extern_t* export = wardian_instance_export(instance, "sum");
  wasm_val_t values[] = {WASM_I32_VAL(0)};
  wasm_val_t given[] = {WASM_INIT_VAL};
  wasm_val_vec_t args = WASM_ARRAY_VEC(values), results = WASM_ARRAY_VEC(given);
  CHECK(says(wasm_func_call(wasm_extern_as_func(export), &args, &results), "closed"));
  wasm_extern_delete(export);

  wasm_instance_delete(instance);
  wasm_module_delete(module);
  wasm_module_delete(broken);
  wasm_module_delete(unknown);
  wasm_global_delete(more);
  wasm_globaltype_delete(type);
  wardian_linker_delete(linker);
  wardian_instantiation_delete(options);
}

static void allocators(wasm_engine_t* engine, wasm_store_t* store, int* freed) {
  const char* text =
    "(module (memory (export \"memory\") 1)"
    "  (func (export \"grow\") (param i32) (result i32) (memory.grow (local.get 0)))"
    "  (func (export \"put\") (param i32) (result i32)"
    "    (i32.store (local.get 0) (i32.const 77)) (i32.load (local.get 0))))";
  wasm_module_t* module = module_of(store, text);
  wardian_linker_t* linker = wardian_linker_new(engine);
  wardian_instantiation_t* options = wardian_instantiation_new();
  wardian_instantiation_allocator(options, allocate, freed, finalize);
  wasm_trap_t* trap = NULL;
  wasm_instance_t* instance = wardian_linker_instantiate_with(linker, store, module, options, &trap);
  no_trap(trap);
  CHECK(call(instance, "put", 65532) == 77);
  CHECK(call(instance, "grow", 2) == 1);
  CHECK(call(instance, "put", 3 * 65536 - 4) == 77);
  CHECK(call(instance, "grow", 2) == -1);
  wasm_extern_t* export = wardian_instance_export(instance, "memory");
  wasm_memory_t* memory = wasm_extern_as_memory(export);
  CHECK(wasm_memory_size(memory) == 3 && wasm_memory_data(memory)[65532] == 77);
  wasm_extern_delete(export);

  wasm_module_t* large = module_of(store, "(module (memory 3))");
  CHECK(wardian_linker_instantiate_with(linker, store, large, options, &trap) == NULL);
  CHECK(says(trap, "the allocator has refused a memory of 196608 bytes"));

  wasm_instance_delete(instance);
  wasm_module_delete(module);
  wasm_module_delete(large);
  wardian_linker_delete(linker);
  wardian_instantiation_delete(options);
}

static void guard_pages(wasm_engine_t* engine, wasm_store_t* store, int* freed) {
  wasm_module_t* module = module_of(store,
    "(module (memory (export \"memory\") 1 3)"
    "  (func (export \"grow\") (param i32) (result i32) (memory.grow (local.get 0)))"
    "  (func (export \"put\") (param i32) (result i32)"
    "    (i32.store (local.get 0) (i32.const 77)) (i32.load (local.get 0)))"
    "  (func (export \"get\") (param i32) (result i32) (i32.load (local.get 0))))");
  wardian_linker_t* linker = wardian_linker_new(engine);
  wardian_instantiation_t* options = wardian_instantiation_new();
  wardian_instantiation_allocator(options, guarded, freed, finalize);
  wasm_trap_t* trap = NULL;
  wasm_instance_t* instance = wardian_linker_instantiate_with(linker, store, module, options, &trap);
  no_trap(trap);
  CHECK(call(instance, "put", 65532) == 77);
  wardian_image_t* image = wardian_image_new(store, &trap);
  no_trap(trap);
  CHECK(call(instance, "grow", 2) == 1 && call(instance, "put", 3 * 65536 - 4) == 77);
  // Of compiled code it is a fault, which valgrind reports as an error.
  if (getenv("IN_VALGRIND") == NULL) {
    wasm_extern_t* export = wardian_instance_export(instance, "put");
    wasm_val_t values[] = {WASM_I32_VAL(3 * 65536 - 3)};
    wasm_val_t given[] = {WASM_INIT_VAL};
    wasm_val_vec_t args = WASM_ARRAY_VEC(values), results = WASM_ARRAY_VEC(given);
    trap = wasm_func_call(wasm_extern_as_func(export), &args, &results);
    CHECK(wardian_trap_number(trap) == WARDIAN_TRAP_MEMORY_OUT_OF_BOUNDS);
    wasm_trap_delete(trap);
    wasm_extern_delete(export);
  }
  // Back to one page, and from there on again, with zeroes.
  no_trap(wardian_store_reset(store, image));
  CHECK(call(instance, "get", 65532) == 77 && call(instance, "grow", 1) == 1 && call(instance, "get", 65536) == 0);
  wardian_image_delete(image);
  wasm_instance_delete(instance);
  wasm_module_delete(module);
  wardian_linker_delete(linker);
  wardian_instantiation_delete(options);
}

// Allocators that come with the library.
static void built_in(wasm_engine_t* engine, const char* folder) {
  char path[512];
  snprintf(path, sizeof path, "%s/memory", folder);
  remove(path);
  wardian_memory_pool_t* pool = wardian_memory_pool_new(1, 2 * 65536);
  int expected[] = {0, 0, 0, 0, 0, 77};
  for (int i = 0; i < 6; i++) {
    wasm_store_t* store = wasm_store_new(engine);
    wasm_module_t* module = module_of(store,
      "(module (memory 1 2) (func (export \"next\") (param i32) (result i32)"
      "    (i32.load (i32.const 65532)) (i32.store (i32.const 65532) (local.get 0)) (drop (memory.grow (i32.const 1)))))");
    wardian_linker_t* linker = wardian_linker_new(engine);
    wardian_instantiation_t* options = wardian_instantiation_new();
    if (i < 3) {
      wardian_instantiation_memories(options, (enum wardian_memories)i);
    } else if (i == 3) {
      wardian_instantiation_pool(options, pool);
    } else {
      CHECK(wardian_instantiation_file(options, path) && !wardian_instantiation_file(options, "\xff"));
    }
    wasm_trap_t* trap = NULL;
    wasm_instance_t* instance = wardian_linker_instantiate_with(linker, store, module, options, &trap);
    no_trap(trap);
    CHECK(call(instance, "next", 77) == expected[i]);
    if (i == 3) {
      CHECK(wardian_memory_pool_in_use(pool) == 1);
      CHECK(wardian_linker_instantiate_with(linker, store, module, options, &trap) == NULL);
      CHECK(wardian_trap_limit(trap) == WARDIAN_LIMIT_OF_ALLOCATOR);
      wasm_trap_delete(trap);
    }
    wasm_instance_delete(instance);
    wasm_module_delete(module);
    wardian_linker_delete(linker);
    wardian_instantiation_delete(options);
    wasm_store_delete(store);
  }
  CHECK(wardian_memory_pool_in_use(pool) == 0);
  wardian_memory_pool_delete(pool);
}

int main(int argc, char** argv) {
  const char* folder = argc > 1 ? argv[1] : "/tmp";
  enum wardian_engine_kind kinds[] = {WARDIAN_INTERPRETED, WARDIAN_COMPILED};
  for (int i = 0; i < 2; i++) {
    wasm_config_t* config = wasm_config_new();
    wardian_config_engine(config, kinds[i]);
    wasm_engine_t* engine = wasm_engine_new_with_config(config);
    wasm_store_t* store = wasm_store_new(engine);
    int freed = 0;
    finalized = 0;
    resolvers_and_closing(engine, store);
    allocators(engine, store, &freed);
    guard_pages(engine, store, &freed);
    wasm_store_delete(store);
    CHECK(freed == 2 && finalized == 4);
    built_in(engine, folder);
    wasm_engine_delete(engine);
  }
  printf("instances: ok\n");
  return 0;
}
