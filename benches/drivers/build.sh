#!/bin/sh
# Builds drivers of engines in C from their sources: `build.sh wasm3 SOURCE OUT`, `build.sh wamr SOURCE OUT`.
# SOURCE is a checkout. Needs a C compiler, and CMake for WAMR, whose build fetches SIMDe: set SIMDE to a
# checkout of that where there is no network.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
engine=$1 source=$(cd "$2" && pwd) out=$3
: "${CC:=cc}"
build=$(mktemp -d)
trap 'rm -rf "$build"' EXIT
case $engine in
wasm3)
    # The flags of its own release build.
    $CC -O3 -flto -fomit-frame-pointer -fno-stack-check -fno-stack-protector -DNDEBUG \
        -I "$source/source" -I "$here" -o "$out" "$here/wasm3.c" "$source"/source/*.c -lm
    ;;
wamr)
    cmake -S "$source/product-mini/platforms/linux" -B "$build" -DCMAKE_BUILD_TYPE=Release \
        -DWAMR_BUILD_INTERP=1 -DWAMR_BUILD_FAST_INTERP=1 -DWAMR_BUILD_AOT=0 -DWAMR_BUILD_SIMD=1 \
        -DWAMR_BUILD_LIBC_WASI=0 ${SIMDE:+-DFETCHCONTENT_SOURCE_DIR_SIMDE="$SIMDE"}
    cmake --build "$build" --parallel --target vmlib
    $CC -O3 -I "$source/core/iwasm/include" -I "$here" -o "$out" "$here/wamr.c" \
        "$build/libiwasm.a" -lm -lpthread -ldl
    ;;
*)
    echo "usage: $0 wasm3|wamr SOURCE OUT" >&2
    exit 2
    ;;
esac
