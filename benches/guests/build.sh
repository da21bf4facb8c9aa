#!/bin/sh
# Builds guests.wasm from this crate. Needs: rustup target add wasm32-unknown-unknown
set -eu
cd "$(dirname "$0")"
target="${CARGO_TARGET_DIR:-/tmp/target-bench-guests}"
RUSTFLAGS="-C target-feature=+simd128,+bulk-memory,+sign-ext,+mutable-globals,+nontrapping-fptoint" \
    CARGO_TARGET_DIR="$target" cargo build --release --target wasm32-unknown-unknown
cp "$target/wasm32-unknown-unknown/release/bench_guests.wasm" guests.wasm
ls -l guests.wasm
