import Foundation
import Testing

@testable import DolphinRuntime

private let environment = ProcessInfo.processInfo.environment
private let repository = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
  .deletingLastPathComponent().deletingLastPathComponent()

/// The converter and the runtime library of a build of this repository; `./dev test` names them.
private let canConvert = environment["D2C_PROGRAM"] != nil && environment["D2C_RUNTIME"] != nil

/// A package made from a model of tests/data/models, removed with this object.
private final class ConvertedPackage {
  let url: URL
  private let folder: URL

  init(_ model: String) throws {
    folder = FileManager.default.temporaryDirectory.appendingPathComponent("dolphin-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    url = folder.appendingPathComponent("Model.mlpackage")
    let process = Process()
    process.executableURL = URL(fileURLWithPath: environment["D2C_PROGRAM"] ?? "")
    let settings = ["quantize.plugin=\"none\"", "graph.precision=\"fp32\"", "graph.context=64", "graph.prefill=16"]
    process.arguments =
      ["convert", "--model", repository.appendingPathComponent("tests/data/models/\(model)").path, "-o", url.path]
      + settings.flatMap { ["--set", $0] }
    process.standardError = FileHandle.nullDevice
    process.standardOutput = FileHandle.nullDevice
    try process.run()
    process.waitUntilExit()
    try #require(process.terminationStatus == 0)
  }

  deinit { try? FileManager.default.removeItem(at: folder) }
}

/// The tensors of a safetensors file, read as far as these tests need it.
private struct Golden {
  private let header: [String: [String: Any]]
  private let data: Data

  init(_ name: String) throws {
    let url = repository.appendingPathComponent("tests/data/models/goldens/\(name).safetensors")
    let all = try Data(contentsOf: url)
    let size = all.prefix(8).reversed().reduce(0) { $0 << 8 | Int($1) }
    let json = try JSONSerialization.jsonObject(with: all[8..<8 + size])
    header = try #require(json as? [String: [String: Any]])
    data = Data(all[(8 + size)...])
  }

  func values<Value: BitwiseCopyable>(_ name: String, as type: Value.Type) throws -> [Value] {
    let range = try #require(header[name]?["data_offsets"] as? [Int])
    return data[range[0]..<range[1]].withUnsafeBytes { bytes in
      (0..<bytes.count / MemoryLayout<Value>.size).map {
        bytes.loadUnaligned(fromByteOffset: $0 * MemoryLayout<Value>.size, as: type)
      }
    }
  }
}

private func largestDifference(_ a: [Float], _ b: some Collection<Float>) -> Float {
  a.count == b.count ? zip(a, b).reduce(0) { max($0, abs($1.0 - $1.1)) } : .infinity
}

@Suite(.enabled(if: canConvert)) struct TheCPUBackend {
  @Test(arguments: ["gqa_bf16", "rope_llama3_bf16"]) func givesTheReferenceLogits(model: String) async throws {
    let package = try ConvertedPackage(model)
    let golden = try Golden(model)
    let prompt = try golden.values("prompt_ids", as: Int64.self).map { Int32($0) }
    let forced = try golden.values("decode_ids", as: Int64.self).map { Int32($0) }
    let prefill = try golden.values("prefill_logits", as: Float.self)
    let decode = try golden.values("decode_logits", as: Float.self)
    let width = prefill.count / prompt.count

    var feeder = try await TokenFeeder(CPUBackend(package: package.url))
    #expect(largestDifference(try await feeder.feed(prompt), prefill.suffix(width)) < 2e-4)
    for (i, token) in forced.enumerated() {
      let logits = try await feeder.feed([token])
      #expect(largestDifference(logits, decode[i * width..<(i + 1) * width]) < 2e-4)
    }
    feeder.rewind(to: 5)
    #expect(largestDifference(try await feeder.feed(Array(prompt[5...])), prefill.suffix(width)) < 2e-4)
  }

  @Test func sessionsRunAtOnce() async throws {
    let package = try ConvertedPackage("gqa_bf16")
    let backend = try CPUBackend(package: package.url)
    let all = try await withThrowingTaskGroup(of: [Float].self) { group in
      for _ in 0..<4 {
        group.addTask {
          var feeder = try await TokenFeeder(backend)
          _ = try await feeder.feed(Array(1...20))
          return try await feeder.feed([7])
        }
      }
      return try await group.reduce(into: [[Float]]()) { $0.append($1) }
    }
    #expect(all.allSatisfy { $0 == all[0] })
  }

  @Test func readsTypedMetadata() async throws {
    let package = try ConvertedPackage("gqa_bf16")
    let model = try DolphinModel(
      backend: try CPUBackend(package: package.url), tokenizer: ByteTokenizer(), template: nil)
    #expect(model.facts?.context == 64)
    #expect(model.facts?.prefill == 16)
    #expect(model.facts?.vocabularySize == 320)
  }

  @Test func damagedPackagesAreRefused() throws {
    let package = try ConvertedPackage("gqa_bf16")
    let spec = package.url.appendingPathComponent("Data/com.apple.CoreML/model.mlmodel")
    let whole = try Data(contentsOf: spec)
    for size in [0, 1, whole.count / 2, whole.count - 1] {
      try whole.prefix(size).write(to: spec)
      #expect(throws: DolphinError.self) { try CPUBackend(package: package.url) }
    }
  }
}

@Suite struct AMissingRuntimeLibrary {
  @Test func isNamedWithTheRemedy() {
    let nowhere = URL(fileURLWithPath: "/nowhere.mlpackage")
    let error = #expect(throws: DolphinError.self) { try CPUBackend(package: nowhere, library: "/no/such/library") }
    #expect(error?.localizedDescription.contains("D2C_RUNTIME") == true)
  }
}
