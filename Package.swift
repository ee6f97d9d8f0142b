// swift-tools-version: 6.0
import PackageDescription

let package = Package(
  name: "Dolphin",
  platforms: [.iOS(.v18), .macOS(.v15), .visionOS(.v2)],
  products: [
    .library(name: "DolphinTokenizer", targets: ["DolphinTokenizer"]),
    .library(name: "DolphinRuntime", targets: ["DolphinRuntime"]),
    .library(name: "DolphinBench", targets: ["DolphinBench"]),
    .library(name: "DolphinVerify", targets: ["DolphinVerify"]),
    .executable(name: "dolphin", targets: ["dolphin"]),
  ],
  targets: [
    .target(name: "CDolphinRuntime", path: "swift/Sources/CDolphinRuntime"),
    .target(name: "DolphinTokenizer", path: "swift/Sources/DolphinTokenizer"),
    .target(
      name: "DolphinRuntime", dependencies: ["CDolphinRuntime", "DolphinTokenizer"],
      path: "swift/Sources/DolphinRuntime"),
    .target(name: "DolphinBench", dependencies: ["DolphinRuntime"], path: "swift/Sources/DolphinBench"),
    .target(name: "DolphinVerify", dependencies: ["DolphinRuntime"], path: "swift/Sources/DolphinVerify"),
    .executableTarget(
      name: "dolphin", dependencies: ["DolphinBench", "DolphinVerify"], path: "swift/Sources/dolphin"),
    .testTarget(
      name: "DolphinTokenizerTests", dependencies: ["DolphinTokenizer"], path: "swift/Tests/DolphinTokenizerTests",
      exclude: ["Resources"]),
    .testTarget(
      name: "DolphinRuntimeTests", dependencies: ["DolphinBench", "DolphinVerify"],
      path: "swift/Tests/DolphinRuntimeTests"),
  ],
  swiftLanguageModes: [.v6]
)
