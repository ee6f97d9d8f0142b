#!/bin/bash
# Type-checks what only Apple's systems compile, against declarations of what it uses of Apple's modules.
# check_apple_files.sh BUILD: the folder that `swift build --scratch-path` was given, with a finished build.
set -euo pipefail
cd "$(dirname "$0")/.."
build="$1"
modules="$build/apple"
mkdir -p "$modules"
flags=(-swift-version 6 -warnings-as-errors -I "$modules" -I "$build/debug/Modules"
  -Xcc "-fmodule-map-file=$build/debug/CDolphinRuntime.build/module.modulemap")
for stub in swift/Stubs/*.swift; do
  module="$(basename "$stub" .swift)"
  swiftc "${flags[@]}" -parse-as-library -module-name "$module" -emit-module \
    -emit-module-path "$modules/$module.swiftmodule" "$stub"
done
for target in DolphinRuntime DolphinBench; do
  swiftc "${flags[@]}" -package-name dolphin -parse-as-library -module-name "$target" -emit-module \
    -emit-module-path "$modules/$target.swiftmodule" swift/Sources/"$target"/*.swift
done
