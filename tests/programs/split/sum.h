static inline __attribute__((always_inline)) int divided(int a, int b) {
    if (b == 0) {
        __builtin_trap(); // line 3
    }
    return a / b;
}
