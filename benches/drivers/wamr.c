// WAMR as a driver: `wamr MODULE cpu|wall`. Which of its interpreters runs was chosen when it was built.
#include "driver.h"
#include "wasm_export.h"

// As the other engines have.
#define STACK (512 * 1024)

static wasm_module_inst_t instance;
static wasm_exec_env_t environment;

static const char *call(const char *name, int32_t argument, int64_t *result) {
    wasm_function_inst_t function = wasm_runtime_lookup_function(instance, name);
    if (!function) return "there is no such function";
    // The result takes the place of the arguments, and is two words.
    uint32_t words[2] = {(uint32_t)argument, 0};
    if (!wasm_runtime_call_wasm(environment, function, 1, words)) {
        return wasm_runtime_get_exception(instance);
    }
    memcpy(result, words, sizeof *result);
    return NULL;
}

int main(int argc, char **argv) {
    if (argc != 3) fail("usage: wamr MODULE cpu|wall");
    if (!wasm_runtime_init()) fail("no runtime");
    uint32_t length;
    uint8_t *bytes = read_file(argv[1], &length);
    char error[128] = "";
    wasm_module_t module = wasm_runtime_load(bytes, length, error, sizeof error);
    if (!module) fail(error);
    instance = wasm_runtime_instantiate(module, STACK, 0, error, sizeof error);
    if (!instance) fail(error);
    environment = wasm_runtime_create_exec_env(instance, STACK);
    if (!environment) fail("no memory");
    uint32_t major, minor, patch;
    wasm_runtime_get_version(&major, &minor, &patch);
    char version[64];
    snprintf(version, sizeof version, "WAMR %u.%u.%u", major, minor, patch);
    return serve(argv[2], version);
}
