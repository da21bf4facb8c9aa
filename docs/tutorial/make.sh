#!/usr/bin/env bash
# Makes the pictures and tables of the tutorial from real runs: docs/tutorial/make.sh [WARDIAN]
# Needs `rustup target add wasm32-wasip1`.
set -euo pipefail
cd "$(dirname "$0")"
wardian=$(realpath "${1:-../../target/release/wardian}")
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT

# 400,000 words, of which 15,000 are different.
awk 'BEGIN { srand(7); for (i = 0; i < 400000; i++) {
    n = int(15000 * rand() * rand()); printf "word%d%s", n, i % 12 == 11 ? "\n" : " " } }' > "$out/text"
for program in words words_fixed; do
    rustc --edition 2024 -O -C debuginfo=1 --target wasm32-wasip1 "$program.rs" -o "$out/$program.wasm"
done

"$wardian" profile --no-cache -o words.svg "$out/words.wasm" < "$out/text" > "$out/before"
"$wardian" profile --no-cache "$out/words.wasm" < "$out/text" 2> words.table > /dev/null
"$wardian" profile --no-cache -o words_fixed.svg "$out/words_fixed.wasm" < "$out/text" > "$out/after"
"$wardian" profile --no-cache "$out/words_fixed.wasm" < "$out/text" 2> words_fixed.table > /dev/null
"$wardian" trace --no-cache --host --summary "$out/words.wasm" < "$out/text" 2> words.calls > /dev/null
cmp "$out/before" "$out/after"
