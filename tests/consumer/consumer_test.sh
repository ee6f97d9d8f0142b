#!/usr/bin/env bash
# consumer_test.sh SOURCE_DIR BUILD_DIR PROGRAM PYTHON
#
# Installs the SDK into an empty prefix, follows sdk/README.md with gcc and CMake and with clang and pkg-config, and
# docs/write-a-quantizer.md and sdk/examples/README.md as they stand; then runs the conformance kit on every plugin and
# converts a model with each.
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

# fenced FILE LANGUAGE: the blocks of that language in a Markdown file.
fenced() { awk -v fence='```' -v language="$2" '$0 == fence language { inside = 1; next } $0 == fence { inside = 0 } inside' "$1"; }

diff <(fenced "$source_dir/sdk/README.md" cpp) "$source_dir/sdk/examples/quant_int8_rows/quant_int8_rows.cpp" || fail "sdk/README.md shows another plugin than sdk/examples"
diff <(fenced "$source_dir/sdk/README.md" cmake) "$source_dir/sdk/examples/quant_int8_rows/CMakeLists.txt" || fail "sdk/README.md shows another CMakeLists.txt than sdk/examples"

cmake --install "$build_dir" --component sdk --prefix "$prefix" >"$work/install.log"
! grep -rq "$source_dir" "$prefix" || fail "the installed SDK names the source tree"

# build_with_cmake FOLDER: as the README says, warnings being errors.
build_with_cmake() {
  cp -r "$source_dir/sdk/examples/quant_int8_rows" "$work/$1"
  cmake -G Ninja -S "$work/$1" -B "$work/$1/build" -DCMAKE_PREFIX_PATH="$prefix" -DCMAKE_CXX_COMPILER=g++ \
    -DCMAKE_CXX_FLAGS="-Wall -Wextra -Wpedantic -Werror" >"$work/$1.log"
  cmake --build "$work/$1/build" >>"$work/$1.log" || { cat "$work/$1.log"; fail "the CMake build failed"; }
  mv "$work/$1/build/quant_int8_rows.so" "$work/$1/"
}

# build_with_pkg_config FOLDER: the README's one command, with the compiler that is here.
build_with_pkg_config() {
  local command
  cp -r "$source_dir/sdk/examples/quant_int8_rows" "$work/$1"
  command="$(grep -m 1 '^clang++ ' "$source_dir/sdk/README.md")"
  (cd "$work/$1" && PKG_CONFIG_PATH="$pkg_config_path" bash -euc "${command/clang++/clang++-14}")
}

# check_plugin FOLDER PLUGIN SCHEME [FLAG...]: one exported symbol, a contract kept, and a conversion that the judge accepts
# and the report names.
check_plugin() {
  local folder=$1 plugin=$2 scheme=$3 exported package="$work/$1.$2.mlpackage"
  exported="$(nm -D --defined-only "$work/$folder/$plugin.so" | awk '{print $3}')"
  [[ $exported == d2c_plugin ]] || fail "$folder: the plugin exports more than d2c_plugin: $exported"
  "$program" plugins test "$work/$folder/$plugin.so" >"$work/kit.log" || { cat "$work/kit.log"; fail "$folder: $plugin breaks the contract"; }
  "$program" convert --model "$model" -o "$package" --plugin-dir "$work/$folder" --set "quantize.plugin=$plugin" \
    --json "${@:4}" >"$work/$folder.json"
  accept "$folder" "$package" "$plugin"
  grep -q "$scheme" "$work/$folder.json" || fail "$folder: the report does not name the scheme"
}

# accept WHERE PACKAGE PLUGIN
accept() {
  "$python" "$source_dir/tests/judge/judge_mlpackage.py" --strict --quiet --expect-functions init,decode,encode "$2" ||
    fail "$1: the judge refuses the package"
  grep -q "$3" "$2"/Data/dolphin2coreml/provenance.json || fail "$1: the package does not name the plugin it was made with"
}

# follow_the_guide FOLDER: docs/write-a-quantizer.md from the first to the last command, with the compiler that is here.
follow_the_guide() {
  local guide="$source_dir/docs/write-a-quantizer.md" commands
  mkdir "$work/$1"
  fenced "$guide" cpp >"$work/$1/quant_even16.cpp"
  [[ $(grep -c . "$work/$1/quant_even16.cpp") -le 46 ]] || fail "the guide's quantizer has grown beyond forty lines"
  fenced "$guide" toml | sed "s|MODEL|$model|" >"$work/$1/even16.toml"
  commands="$(fenced "$guide" sh)"
  commands="${commands//dolphin2coreml/$program}"
  (cd "$work/$1" && PKG_CONFIG_PATH="$pkg_config_path" bash -euc "${commands/c++ /g++ -Wall -Wextra -Wpedantic -Werror }" >guide.log) ||
    { cat "$work/$1/guide.log"; fail "the guide's commands fail"; }
  accept "$1" "$work/$1/even16.mlpackage" quant_even16
}

# build_examples: as sdk/examples/README.md says.
build_examples() {
  mkdir "$work/examples"
  cmake -G Ninja -S "$source_dir/sdk/examples/quant_normal3" -B "$work/examples/build" -DCMAKE_PREFIX_PATH="$prefix" -DCMAKE_CXX_COMPILER=g++ \
    -DCMAKE_CXX_FLAGS="-Wall -Wextra -Wpedantic -Werror" >"$work/examples.log"
  cmake --build "$work/examples/build" >>"$work/examples.log" || { cat "$work/examples.log"; fail "quant_normal3 does not build"; }
  mv "$work/examples/build/quant_normal3.so" "$work/examples/"
  (cd "$source_dir/sdk/examples" && PKG_CONFIG_PATH="$pkg_config_path" bash -euc \
    "$(grep -m 1 '^cc ' README.md | sed "s|^cc |gcc -Wall -Wextra -Wpedantic -Werror |; s|-o |-o $work/examples/|")")
}

pkg_config_path="$(dirname "$(find "$prefix" -name d2c-sdk.pc)")"
build_with_cmake gcc
build_with_pkg_config clang
check_plugin gcc quant_int8_rows 'int8, one scale per row' --set quantize.limit=31
check_plugin clang quant_int8_rows 'int8, one scale per row' --set quantize.limit=31
diff -r "$work"/{gcc,clang}.quant_int8_rows.mlpackage/Data/com.apple.CoreML/weights ||
  fail "the two compilers gave different weights"
follow_the_guide guide
build_examples
check_plugin examples quant_normal3 'normal 3-bit, groups of 8'
check_plugin examples quant_sign_c 'signs, 1 bit'
echo "consumer_test: five plugins load, keep the contract, convert and pass"
