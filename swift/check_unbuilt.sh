#!/bin/bash
# Type-checks what `swift build` does not see on Linux: files for Apple's systems, against declarations of what they use of
# Apple's modules, and the code in the documentation.
# check_unbuilt.sh BUILD: the folder that `swift build --scratch-path` was given, with a finished build.
set -euo pipefail
cd "$(dirname "$0")/.."
build="$1"
modules="$build/apple"
snippets="$build/snippets"
rm -rf "$snippets"
mkdir -p "$modules" "$snippets"
flags=(-swift-version 6 -warnings-as-errors -parse-as-library
  -Xcc "-fmodule-map-file=$build/debug/CDolphinRuntime.build/module.modulemap")

# Each block of Swift code of each article stands for itself.
for article in swift/Sources/*/*.docc/*.md; do
  awk -v name="$snippets/$(basename "$article" .md)" \
    '/^```swift$/ { file = name "-" ++count ".swift"; next } /^```$/ { file = "" } file { print > file }' "$article"
done
for snippet in "$snippets"/*.swift; do swiftc "${flags[@]}" -I "$build/debug/Modules" -typecheck "$snippet"; done

flags+=(-I "$modules" -I "$build/debug/Modules")
for stub in swift/Stubs/*.swift; do
  module="$(basename "$stub" .swift)"
  swiftc "${flags[@]}" -module-name "$module" -emit-module -emit-module-path "$modules/$module.swiftmodule" "$stub"
done
for target in DolphinRuntime DolphinBench; do
  swiftc "${flags[@]}" -package-name dolphin -module-name "$target" -emit-module \
    -emit-module-path "$modules/$target.swiftmodule" swift/Sources/"$target"/*.swift
done
