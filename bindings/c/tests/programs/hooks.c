// Stacks, listeners, snapshots, images and profiles.
#include "check.h"

static wasm_store_t* current;
static wardian_snapshot_t* mark_of = NULL;
static int finalized = 0;

typedef struct {
  int before, after, abort;
  uint64_t last_argument, last_result;
  char name[32];
  char reason[64];
} log_t;

static void name_of(wasm_name_t* name, char* out, size_t room) {
  size_t count = name->size < room - 1 ? name->size : room - 1;
  memcpy(out, name->data, count);
  out[count] = 0;
  wasm_name_delete(name);
}

static void before(void* env, const wardian_call_t* call, const uint64_t* arguments, size_t count) {
  log_t* log = env;
  log->before++;
  if (count > 0) log->last_argument = arguments[0];
  wasm_name_t name;
  wardian_call_name(call, &name);
  name_of(&name, log->name, sizeof log->name);
  CHECK(wardian_call_id(call) > 0 && wardian_call_func_index(call) >= 2);
}

static void after(void* env, const wardian_call_t* call, const uint64_t* results, size_t count) {
  log_t* log = env;
  log->after++;
  CHECK(!wardian_call_is_tail_call(call));
  if (count > 0) log->last_result = results[0];
}

static void aborted(void* env, const wardian_call_t* call, const char* reason) {
  (void)call;
  log_t* log = env;
  log->abort++;
  snprintf(log->reason, sizeof log->reason, "%s", reason);
}

static void finalize(void* env) {
  (void)env;
  finalized++;
}

// Like setjmp: gives zero, and after a jump what that was given.
static wasm_trap_t* mark(void* env, const wasm_val_vec_t* args, wasm_val_vec_t* results) {
  (void)args;
  bool* state = env;
  wasm_frame_vec_t frames;
  wardian_stack(current, &frames);
  CHECK(frames.size == 2 && wasm_frame_func_index(frames.data[0]) == 2);
  const char* expected[] = {"inner", "run"};
  for (int i = 0; i < 2; i++) {
    wasm_name_t name;
    char text[32];
    wardian_frame_name(frames.data[i], &name);
    name_of(&name, text, sizeof text);
    CHECK(strcmp(text, expected[i]) == 0);
  }
  wasm_frame_vec_delete(&frames);
  wasm_trap_t* trap = NULL;
  mark_of = wardian_snapshot_new(current, *state, &trap);
  if (mark_of == NULL) return trap;
  results->data[0] = (wasm_val_t)WASM_I32_VAL(0);
  return NULL;
}

static wasm_trap_t* jump(void* env, const wasm_val_vec_t* args, wasm_val_vec_t* results) {
  (void)env;
  (void)results;
  wasm_val_vec_t none = WASM_EMPTY_VEC;
  CHECK(says(wardian_snapshot_restore(mark_of, current, &none), "1 results are needed"));
  return wardian_snapshot_restore(mark_of, current, args);
}

static wasm_func_t* export(const wasm_instance_t* instance, const char* name) {
  wasm_extern_t* item = wardian_instance_export(instance, name);
  CHECK(item != NULL);
  return wasm_extern_as_func(item);
}

static int32_t number(wasm_func_t* func) {
  wasm_val_t out[] = {WASM_INIT_VAL};
  wasm_val_vec_t none = WASM_EMPTY_VEC, out_vec = WASM_ARRAY_VEC(out);
  no_trap(wasm_func_call(func, &none, &out_vec));
  return out[0].of.i32;
}

static wardian_attachment_t* attach(const wasm_instance_t* instance, const char* functions, log_t* log) {
  wardian_listener_t listener = {before, after, aborted, NULL};
  wasm_trap_t* trap = NULL;
  wardian_attachment_t* attachment = wardian_attach(instance, functions, &listener, log, finalize, &trap);
  no_trap(trap);
  CHECK(attachment != NULL);
  return attachment;
}

// What a listener has seen of references.
typedef struct {
  wasm_ref_t* seen[4];
  int count, kinds[4];
} references_t;

static void keep(references_t* log, const wardian_call_t* call) {
  wasm_val_t value;
  for (size_t i = 0; wardian_call_value(call, i, &value); i++) {
    log->kinds[log->count] = value.kind;
    if (value.kind >= WASM_EXTERNREF) {
      log->seen[log->count] = value.of.ref;
    } else {
      CHECK(value.kind == WASM_F64 && value.of.f64 == 1.5);
      log->seen[log->count] = NULL;
    }
    log->count++;
  }
}

static void before_references(void* env, const wardian_call_t* call, const uint64_t* arguments, size_t count) {
  (void)arguments;
  CHECK(count == 3);
  keep(env, call);
}

static void after_references(void* env, const wardian_call_t* call, const uint64_t* results, size_t count) {
  (void)results;
  CHECK(count == 1);
  keep(env, call);
}

static void references(wasm_engine_t* engine) {
  wasm_store_t* store = wasm_store_new(engine);
  wardian_linker_t* linker = wardian_linker_new(engine);
  wasm_module_t* module = module_of(store,
    "(module (type $s (struct (field i32))) (func $f (export \"f\")) (elem declare func $f)"
    " (func $look (param externref f64 funcref) (result anyref) (struct.new $s (i32.const 1)))"
    " (func (export \"run\") (param externref) (result i32)"
    "   (ref.is_null (call $look (local.get 0) (f64.const 1.5) (ref.func $f)))))");
  wasm_trap_t* trap = NULL;
  wasm_instance_t* instance = wardian_linker_instantiate(linker, store, module, &trap);
  no_trap(trap);
  references_t log = {0};
  wardian_listener_t listener = {before_references, after_references, NULL, NULL};
  wardian_attachment_t* attachment = wardian_attach(instance, "look", &listener, &log, NULL, &trap);
  no_trap(trap);
  wasm_func_t* run = export(instance, "run");
  wasm_foreign_t* thing = wasm_foreign_new(store);
  wasm_val_t args[] = {{.kind = WASM_EXTERNREF, .of = {.ref = wasm_foreign_as_ref(thing)}}}, out[] = {WASM_INIT_VAL};
  wasm_val_vec_t arg_vec = WASM_ARRAY_VEC(args), out_vec = WASM_ARRAY_VEC(out);
  no_trap(wasm_func_call(run, &arg_vec, &out_vec));
  CHECK(log.count == 4 && log.kinds[0] == WASM_EXTERNREF && log.kinds[2] == WASM_FUNCREF && log.kinds[3] == WARDIAN_ANYREF);
  CHECK(wasm_ref_same(log.seen[0], wasm_foreign_as_ref(thing)));
  wasm_func_t* f = export(instance, "f");
  CHECK(wasm_ref_same(log.seen[2], wasm_func_as_ref(f)) && log.seen[3] != NULL);
  // What was kept can be used afterwards.
  wasm_val_vec_t none = WASM_EMPTY_VEC;
  no_trap(wasm_func_call(wasm_ref_as_func(log.seen[2]), &none, &none));
  for (int i = 0; i < 4; i++) {
    if (log.seen[i] != NULL) wasm_ref_delete(log.seen[i]);
  }
  wardian_detach(attachment);
  wasm_func_delete(f);
  wasm_func_delete(run);
  wasm_foreign_delete(thing);
  wasm_instance_delete(instance);
  wasm_module_delete(module);
  wardian_linker_delete(linker);
  wasm_store_delete(store);
}

int main(void) {
  wasm_config_t* config = wasm_config_new();
  wardian_config_engine(config, WARDIAN_COMPILED);
  wasm_engine_t* engine = wasm_engine_new_with_config(config);
  current = wasm_store_new(engine);
  wardian_linker_t* linker = wardian_linker_new(engine);
  wasm_functype_t* gives = wasm_functype_new_0_1(wasm_valtype_new_i32());
  wasm_functype_t* takes = wasm_functype_new_1_0(wasm_valtype_new_i32());
  bool state = false;
  no_trap(wardian_linker_define_func(linker, current, "h", "mark", gives, mark, &state, NULL));
  no_trap(wardian_linker_define_func(linker, current, "h", "jump", takes, jump, NULL, NULL));
  wasm_functype_delete(gives);
  wasm_functype_delete(takes);
  wasm_module_t* module = module_of(current,
    "(module (import \"h\" \"mark\" (func $mark (result i32))) (import \"h\" \"jump\" (func $jump (param i32)))"
    " (global $g (mut i32) (i32.const 0)) (memory 1)"
    " (func $inner (result i32) (local $n i32)"
    "   (local.set $n (call $mark)) (global.set $g (i32.add (global.get $g) (i32.const 1)))"
    "   (if (i32.lt_u (local.get $n) (i32.const 5)) (then (call $jump (i32.add (local.get $n) (i32.const 1)))))"
    "   (i32.add (i32.mul (global.get $g) (i32.const 100)) (local.get $n)))"
    " (func $run (export \"run\") (result i32) (call $inner))"
    " (func $twice (param i32) (result i32) (i32.mul (local.get 0) (i32.const 2)))"
    " (func (export \"get\") (result i32) (call $twice (global.get $g)))"
    " (func $bad (export \"bad\") unreachable)"
    " (func (export \"spin\") (loop $l (br $l))))");
  wasm_trap_t* trap = NULL;
  wasm_instance_t* instance = wardian_linker_instantiate(linker, current, module, &trap);
  no_trap(trap);

  // Outside of a callback there is no guest.
  CHECK(wardian_snapshot_new(current, true, &trap) == NULL && says(trap, "in a callback"));
  wasm_frame_vec_t frames;
  wardian_stack(current, &frames);
  CHECK(frames.size == 0);

  // Five jumps: the global counts all rounds, unless the state goes back as well.
  wardian_image_t* image = wardian_image_new(current, &trap);
  no_trap(trap);
  wasm_func_t* run = export(instance, "run");
  wasm_func_t* get = export(instance, "get");
  CHECK(number(run) == 605 && number(get) == 12);
  no_trap(wardian_store_reset(current, image));
  CHECK(number(get) == 0);
  wasm_val_t seven[] = {WASM_I32_VAL(7)};
  wasm_val_vec_t seven_vec = WASM_ARRAY_VEC(seven);
  CHECK(!says(wardian_snapshot_restore(mark_of, current, &seven_vec), "a snapshot is being restored"));
  wardian_snapshot_delete(mark_of);
  state = true;
  CHECK(number(run) == 105 && number(get) == 2);
  wardian_snapshot_delete(mark_of);
  no_trap(wardian_store_reset(current, image));
  CHECK(number(get) == 0 && number(run) == 105);
  wardian_snapshot_delete(mark_of);
  wardian_image_delete(image);

  // Listeners.
  log_t log = {0};
  wardian_attachment_t* attachment = attach(instance, "tw?ce", &log);
  CHECK(number(get) == 2);
  CHECK(log.before == 1 && log.after == 1 && log.abort == 0 && log.last_argument == 1 && log.last_result == 2);
  CHECK(strcmp(log.name, "twice") == 0);
  wardian_detach(attachment);
  CHECK(number(get) == 2 && log.before == 1 && finalized == 1);
  attachment = attach(instance, "*", &log);
  wasm_func_t* bad = export(instance, "bad");
  wasm_val_vec_t none = WASM_EMPTY_VEC;
  trap = wasm_func_call(bad, &none, &none);
  CHECK(trap != NULL && log.abort == 1 && strcmp(log.reason, "trap: unreachable") == 0);
  wasm_trap_delete(trap);

  // A profile: pprof's files are in gzip.
  wardian_profiler_t* profiler = wardian_profiler_new(1000);
  no_trap(wardian_profiler_watch(profiler, current));
  wardian_store_set_timeout(current, 100);
  wasm_func_t* spin = export(instance, "spin");
  trap = wasm_func_call(spin, &none, &none);
  CHECK(wardian_trap_stop(trap) == WARDIAN_STOPPED_BY_DEADLINE);
  wasm_trap_delete(trap);
  wasm_byte_vec_t pprof;
  wardian_profiler_pprof(profiler, &pprof);
  CHECK(pprof.size > 100 && (uint8_t)pprof.data[0] == 0x1f && (uint8_t)pprof.data[1] == 0x8b);
  wasm_byte_vec_delete(&pprof);
  wardian_profiler_delete(profiler);

  wasm_func_t* functions[] = {run, get, bad, spin};
  for (int i = 0; i < 4; i++) wasm_func_delete(functions[i]);
  wasm_instance_delete(instance);
  wasm_module_delete(module);
  wardian_linker_delete(linker);
  wasm_store_delete(current);
  // With the store its listeners go, also those that are attached.
  CHECK(finalized == 2);
  wardian_detach(attachment);
  references(engine);
  wasm_engine_delete(engine);
  puts("hooks: ok");
  return 0;
}
