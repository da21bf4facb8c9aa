/* The plugin of plugin.rs in C, without a C library.
 *
 * Build (Debian: clang-14 lld-14):
 *   clang-14 --target=wasm32 -nostdlib -Os -Wl,--no-entry -Wl,--strip-all plugin.c -o plugin-c.wasm
 */
typedef unsigned long size;

__attribute__((import_module("host"), import_name("log"))) extern void host_log(const char *text, size len);
#define EXPORT(name) __attribute__((export_name(name)))

struct point {
    float x, y;
};

extern char __heap_base;
static size top;

/* Memory is given out upwards; what was given out last can be given back. */
EXPORT("reserve") char *reserve(size len) {
    if (top == 0)
        top = (size)&__heap_base;
    char *at = (char *)((top + 7) & ~7ul);
    size end = (size)at + len, have = __builtin_wasm_memory_size(0) << 16;
    if (end < top)
        return 0;
    if (end > have && __builtin_wasm_memory_grow(0, (end - have + 0xffff) >> 16) == (size)-1)
        return 0;
    top = end;
    return at;
}

EXPORT("release") void release(char *at, size len) {
    if (top == (size)at + len)
        top = (size)at;
}

static size append(char *to, size at, const char *text, size len) {
    for (size i = 0; i < len; i++)
        to[at + i] = text[i];
    return at + len;
}

/* A greeting for a name, as address and length in one number: the address is the upper half. */
EXPORT("greet") unsigned long long greet(const char *name, size len) {
    static const char before[] = "Hello, ", after[] = "! (from C)";
    size room = sizeof before + sizeof after - 2 + len;
    char *greeting = reserve(room);
    if (!greeting)
        return 0;
    size end = append(greeting, 0, before, sizeof before - 1);
    end = append(greeting, end, name, len);
    end = append(greeting, end, after, sizeof after - 1);
    host_log(greeting, end);
    return (unsigned long long)(size)greeting << 32 | end;
}

/* The position of the point that is nearest to another one; -1 if there are none. */
EXPORT("nearest") int nearest(const struct point *points, int count, float x, float y) {
    int best = -1;
    float least = 0;
    for (int i = 0; i < count; i++) {
        float dx = points[i].x - x, dy = points[i].y - y, distance = dx * dx + dy * dy;
        if (best < 0 || distance < least) {
            best = i;
            least = distance;
        }
    }
    return best;
}
