// A program whose debug information is in files of its own: `run(7)` traps in `main.c`, `run(5)` in `part.c`, both in
// a function of `sum.h` that is inlined. In `v4` and `v5` it is, by versions of DWARF, as compiled by
//
//     for f in main part; do
//         clang-14 --target=wasm32 -O1 -gdwarf-$V -gsplit-dwarf -fdebug-compilation-dir=. -c $f.c -o v$V/$f.o
//     done
//     cd v$V; wasm-ld-14 --no-entry main.o part.o -o split.wasm; llvm-dwp main.dwo part.dwo -o split.dwp
#include "sum.h"

extern int part(int n);

__attribute__((export_name("run"))) int run(int n) {
    int checked = divided(n, n - 7); // line 13
    return checked + part(n);
}
