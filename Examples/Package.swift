// swift-tools-version: 6.0
import PackageDescription

let package = Package(
  name: "Examples",
  platforms: [.iOS(.v18), .macOS(.v15), .visionOS(.v2)],
  products: [
    .library(name: "DolphinChatModels", targets: ["DolphinChatModels"]),
    .executable(name: "extract-embeddings", targets: ["extract-embeddings"]),
  ],
  dependencies: [.package(name: "Dolphin", path: "..")],
  targets: [
    .target(
      name: "DolphinChatModels", dependencies: [.product(name: "DolphinRuntime", package: "Dolphin")],
      path: "DolphinChat/Models"),
    .testTarget(name: "DolphinChatModelsTests", dependencies: ["DolphinChatModels"], path: "DolphinChat/Tests"),
    .executableTarget(
      name: "extract-embeddings", dependencies: [.product(name: "DolphinRuntime", package: "Dolphin")],
      path: "ExtractEmbeddings"),
  ],
  swiftLanguageModes: [.v6]
)
