// What the test programs have in common.
#ifndef CHECK_H
#define CHECK_H

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <wardian.h>

#define CHECK(condition)                                                        \
  do {                                                                          \
    if (!(condition)) {                                                         \
      fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);           \
      exit(1);                                                                  \
    }                                                                           \
  } while (0)

// Fails with the message of a trap, if there is one.
static inline void no_trap(wasm_trap_t* trap) {
  if (trap == NULL) return;
  wasm_message_t message;
  wasm_trap_message(trap, &message);
  fprintf(stderr, "trap: %s\n", message.data);
  exit(1);
}

// Whether the message of a trap contains a text; deletes the trap.
static inline bool says(wasm_trap_t* trap, const char* text) {
  CHECK(trap != NULL);
  wasm_message_t message;
  wasm_trap_message(trap, &message);
  CHECK(message.size > 0 && message.data[message.size - 1] == 0);
  bool found = strstr(message.data, text) != NULL;
  if (!found) fprintf(stderr, "it says: %s\n", message.data);
  wasm_byte_vec_delete(&message);
  wasm_trap_delete(trap);
  return found;
}

static inline wasm_module_t* module_of(wasm_store_t* store, const char* text) {
  wasm_byte_vec_t bytes;
  wasm_byte_vec_new(&bytes, strlen(text), text);
  wasm_trap_t* trap = NULL;
  wasm_module_t* module = wardian_module_new(store, &bytes, &trap);
  no_trap(trap);
  wasm_byte_vec_delete(&bytes);
  return module;
}

#endif
