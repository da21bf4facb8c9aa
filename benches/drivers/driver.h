// The protocol of drivers: see README.md, "Engines in other processes".
//
// A driver of an engine in C defines `call`, loads the module, and calls `serve`.
#ifndef DRIVER_H
#define DRIVER_H

#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

// Calls an export `(i32) -> i64`. Returns NULL and sets the result, or returns what went wrong.
static const char *call(const char *name, int32_t argument, int64_t *result);

static int64_t now(clockid_t clock) {
    struct timespec time;
    clock_gettime(clock, &time);
    return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

static void fail(const char *message) {
    fprintf(stderr, "%s\n", message);
    exit(1);
}

static uint8_t *read_file(const char *path, uint32_t *length) {
    FILE *file = fopen(path, "rb");
    if (!file || fseek(file, 0, SEEK_END)) fail("the module cannot be read");
    long size = ftell(file);
    rewind(file);
    uint8_t *bytes = size > 0 ? malloc((size_t)size) : NULL;
    if (!bytes || fread(bytes, 1, (size_t)size, file) != (size_t)size) fail("the module cannot be read");
    fclose(file);
    *length = (uint32_t)size;
    return bytes;
}

// Answers requests until there are no more.
static int serve(const char *clock_name, const char *version) {
    clockid_t clock = strcmp(clock_name, "wall") ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC;
    char line[256], name[200];
    int32_t argument;
    printf("ready %s\n", version);
    fflush(stdout);
    while (fgets(line, sizeof line, stdin)) {
        if (sscanf(line, "%199s %" SCNd32, name, &argument) != 2) fail("a request is `NAME NUMBER`");
        int64_t result = 0;
        int64_t start = now(clock);
        const char *error = call(name, argument, &result);
        int64_t took = now(clock) - start;
        if (error) {
            printf("error %s\n", error);
        } else {
            printf("%" PRId64 " %" PRId64 "\n", result, took);
        }
        fflush(stdout);
    }
    return 0;
}

#endif
