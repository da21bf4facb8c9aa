/* A calculator that recovers from errors with setjmp and longjmp, which the host provides.
 *
 * Build (Debian: clang-14 lld-14 wasi-libc libclang-rt-14-dev-wasm32):
 *   clang-14 --target=wasm32-wasi -Os -mmutable-globals -fno-builtin \
 *     -Wl,--strip-all -Wl,--export=__stack_pointer calc.c -o calc.wasm
 *
 * Each line of standard input is an expression, or `name = expression` with a name of one letter:
 *   + - * / % ( ) and try(EXPRESSION, OTHERWISE), which is OTHERWISE if EXPRESSION fails.
 */
#include <stdio.h>
#include <string.h>

/* The number by which the host finds its snapshot. */
typedef int jmp_buf[1];

__attribute__((import_module("env"), import_name("setjmp"), returns_twice))
extern int setjmp(jmp_buf buffer);
__attribute__((import_module("env"), import_name("longjmp"), noreturn))
extern void longjmp(jmp_buf buffer, int value);

enum { SYNTAX = 1, DIVISION, OVERFLOW, UNKNOWN, DEPTH };
static const char *const messages[] = {
    "", "that is no expression", "division by zero", "too large", "no such variable", "too deep",
};

/* Where the next error leads; each of them knows the one around it. */
struct handler {
    jmp_buf buffer;
    struct handler *outer;
};

static struct handler *handlers;
static const char *at;
static int depth, deepest;
static long variables[26];
static char known[26];

/* Leaves all functions up to the innermost handler. */
static void fail(int error) { longjmp(handlers->buffer, error); }

static void skip(void) { while (*at == ' ') at++; }
static int accept(char c) { skip(); return *at == c ? (at++, 1) : 0; }
static void expect(char c) { if (!accept(c)) fail(SYNTAX); }

static long expression(void);

/* A handler inside of others. What changes between setjmp and longjmp has to be volatile, as ever. */
static long attempt(void) {
    struct handler handler;
    const char *volatile begin = at;
    volatile int outer_depth = depth;
    volatile long value = 0;
    handler.outer = handlers;
    if (setjmp(handler.buffer) == 0) {
        handlers = &handler;
        value = expression();
        handlers = handler.outer;
        expect(',');
        /* The other expression is read, whatever it is worth. */
        struct handler ignore;
        ignore.outer = handlers;
        const char *volatile rest = at;
        if (setjmp(ignore.buffer) == 0) {
            handlers = &ignore;
            expression();
        } else {
            int open = 0;
            for (at = rest; *at && (open || *at != ')'); at++) open += (*at == '(') - (*at == ')');
        }
        handlers = ignore.outer;
    } else {
        /* Skips what failed. */
        int open = 0;
        handlers = handler.outer;
        depth = outer_depth;
        for (at = begin; *at && (open || *at != ','); at++) open += (*at == '(') - (*at == ')');
        expect(',');
        value = expression();
    }
    expect(')');
    return value;
}

static long factor(void) {
    /* Something on C's own stack, which lies in memory. */
    char digits[24];
    int n = 0;
    long value = 0;
    skip();
    if (accept('(')) {
        value = expression();
        expect(')');
        return value;
    }
    if (accept('-')) return -factor();
    if (strncmp(at, "try(", 4) == 0) {
        at += 4;
        return attempt();
    }
    if (*at >= 'a' && *at <= 'z') {
        int name = *at++ - 'a';
        if (!known[name]) fail(UNKNOWN);
        return variables[name];
    }
    while (*at >= '0' && *at <= '9') {
        if (n == 18) fail(OVERFLOW);
        digits[n++] = *at++;
    }
    if (n == 0) fail(SYNTAX);
    for (int i = 0; i < n; i++)
        if (__builtin_mul_overflow(value, 10, &value)
            || __builtin_add_overflow(value, digits[i] - '0', &value)) fail(OVERFLOW);
    return value;
}

static long term(void) {
    long value = factor();
    for (;;) {
        if (accept('*')) {
            if (__builtin_mul_overflow(value, factor(), &value)) fail(OVERFLOW);
        } else if (accept('/') || accept('%')) {
            char sign = at[-1];
            long by = factor();
            if (by == 0) fail(DIVISION);
            value = by == -1 ? (sign == '/' ? -value : 0) : sign == '/' ? value / by : value % by;
        } else {
            return value;
        }
    }
}

static long expression(void) {
    if (++depth > deepest) deepest = depth;
    if (depth > 200) fail(DEPTH);
    long value = term();
    for (;;) {
        if (accept('+')) {
            if (__builtin_add_overflow(value, term(), &value)) fail(OVERFLOW);
        } else if (accept('-')) {
            if (__builtin_sub_overflow(value, term(), &value)) fail(OVERFLOW);
        } else {
            depth--;
            return value;
        }
    }
}

int main(void) {
    static char line[1024];
    struct handler handler = { .outer = NULL };
    volatile int errors = 0;
    while (fgets(line, sizeof line, stdin)) {
        int target = -1;
        int error = setjmp(handler.buffer);
        if (error) {
            errors++;
            printf("error: %s\n", messages[error]);
            continue;
        }
        handlers = &handler;
        at = line;
        depth = 0;
        skip();
        if (*at >= 'a' && *at <= 'z' && strchr("= ", at[1]) && strchr(at, '=')) {
            target = *at++ - 'a';
            expect('=');
        }
        long value = expression();
        skip();
        if (*at != '\n' && *at != 0) fail(SYNTAX);
        if (target >= 0) {
            variables[target] = value;
            known[target] = 1;
        }
        printf("%ld\n", value);
    }
    printf("%d errors, %d deep\n", errors, deepest);
    return errors != 0;
}
