// wasm3 as a driver: `wasm3 MODULE cpu|wall`.
#include "driver.h"
#include "wasm3.h"

// As the other engines have.
#define STACK (512 * 1024)

static IM3Runtime runtime;

static const char *call(const char *name, int32_t argument, int64_t *result) {
    IM3Function function;
    M3Result error = m3_FindFunction(&function, runtime, name);
    if (!error) error = m3_CallV(function, argument);
    if (!error) error = m3_GetResultsV(function, result);
    return error;
}

int main(int argc, char **argv) {
    if (argc != 3) fail("usage: wasm3 MODULE cpu|wall");
    uint32_t length;
    uint8_t *bytes = read_file(argv[1], &length);
    IM3Environment environment = m3_NewEnvironment();
    runtime = environment ? m3_NewRuntime(environment, STACK, NULL) : NULL;
    if (!runtime) fail("no memory");
    IM3Module module;
    M3Result error = m3_ParseModule(environment, &module, bytes, length);
    if (!error) error = m3_LoadModule(runtime, module);
    if (error) fail(error);
    return serve(argv[2], "wasm3 " M3_VERSION);
}
