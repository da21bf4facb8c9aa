#include "sum.h"

__attribute__((noinline)) static int twice(int n) {
    return divided(2 * n, n - 5) * n; // line 4
}

int part(int n) {
    return twice(n) + twice(n + 1); // line 8
}
