#!/bin/sh
# Builds guests.wasm from this crate: `build.sh`. Needs: rustup target add wasm32-unknown-unknown
# `build.sh scalar OUT.wasm [TARGET]` builds a module without SIMD, for engines that have none; another target
# will do, such as wasm32-wasip1.
set -eu
cd "$(dirname "$0")"
build="${CARGO_TARGET_DIR:-/tmp/target-bench-guests}"
features="+bulk-memory,+sign-ext,+mutable-globals,+nontrapping-fptoint"
if [ "${1:-}" = scalar ]; then
    out=$2 target=${3:-wasm32-unknown-unknown}
else
    out=guests.wasm target=wasm32-unknown-unknown features="+simd128,$features"
fi
RUSTFLAGS="-C target-feature=$features" CARGO_TARGET_DIR="$build" \
    cargo build --release --lib --target "$target"
cp "$build/$target/release/bench_guests.wasm" "$out"
ls -l "$out"
