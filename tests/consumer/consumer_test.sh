#!/usr/bin/env bash
# consumer_test.sh SOURCE_DIR BUILD_DIR PROGRAM PYTHON
#
# Installs the SDK into an empty prefix, follows sdk/README.md with gcc and CMake and with clang and pkg-config, and
# converts a model with each of the two plugins.
set -euo pipefail
source_dir=$1 build_dir=$2 program=$3 python=$4

work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
prefix="$work/prefix"
model="$source_dir/tests/data/models/gqa_bf16"

fail() {
  printf 'consumer_test: %s\n' "$*" >&2
  exit 1
}

# block LANGUAGE: the fenced block of that language in the README.
block() { awk -v fence='```' -v language="$1" '$0 == fence language { inside = 1; next } $0 == fence { inside = 0 } inside' "$source_dir/sdk/README.md"; }

diff <(block cpp) "$source_dir/sdk/example/quant_int8_rows.cpp" || fail "sdk/README.md shows another plugin than sdk/example"
diff <(block cmake) "$source_dir/sdk/example/CMakeLists.txt" || fail "sdk/README.md shows another CMakeLists.txt than sdk/example"

cmake --install "$build_dir" --component sdk --prefix "$prefix" >"$work/install.log"
! grep -rq "$source_dir" "$prefix" || fail "the installed SDK names the source tree"

# build_with_cmake FOLDER: as the README says, warnings being errors.
build_with_cmake() {
  cp -r "$source_dir/sdk/example" "$work/$1"
  cmake -S "$work/$1" -B "$work/$1/build" -DCMAKE_PREFIX_PATH="$prefix" -DCMAKE_CXX_COMPILER=g++ \
    -DCMAKE_CXX_FLAGS="-Wall -Wextra -Wpedantic -Werror" >"$work/$1.log"
  cmake --build "$work/$1/build" >>"$work/$1.log" || { cat "$work/$1.log"; fail "the CMake build failed"; }
  mv "$work/$1/build/quant_int8_rows.so" "$work/$1/"
}

# build_with_pkg_config FOLDER: the README's one command, with the compiler that is here.
build_with_pkg_config() {
  local command
  cp -r "$source_dir/sdk/example" "$work/$1"
  command="$(grep -m 1 '^clang++ ' "$source_dir/sdk/README.md")"
  (cd "$work/$1" && PKG_CONFIG_PATH="$(dirname "$(find "$prefix" -name d2c-sdk.pc)")" bash -euc "${command/clang++/clang++-14}")
}

# check_plugin FOLDER: one exported symbol, and a conversion with it that the judge accepts and the report names.
check_plugin() {
  local exported package="$work/$1.mlpackage"
  exported="$(nm -D --defined-only "$work/$1/quant_int8_rows.so" | awk '{print $3}')"
  [[ $exported == d2c_plugin ]] || fail "$1: the plugin exports more than d2c_plugin: $exported"
  "$program" convert --model "$model" -o "$package" --plugin-dir "$work/$1" --set quantize.plugin=quant_int8_rows \
    --set quantize.limit=31 --json >"$work/$1.json"
  "$python" "$source_dir/tests/judge/judge_mlpackage.py" --strict --quiet --expect-functions init,decode,encode "$package" ||
    fail "$1: the judge refuses the package"
  grep -q 'int8, one scale per row' "$work/$1.json" || fail "$1: the report does not name the scheme"
  grep -q 'quant_int8_rows' "$package"/Data/dolphin2coreml/provenance.json ||
    fail "$1: the package does not name the plugin it was made with"
}

build_with_cmake gcc
build_with_pkg_config clang
check_plugin gcc
check_plugin clang
diff -r "$work/gcc.mlpackage/Data/com.apple.CoreML/weights" "$work/clang.mlpackage/Data/com.apple.CoreML/weights" ||
  fail "the two compilers gave different weights"
echo "consumer_test: both plugins load, convert and pass"
