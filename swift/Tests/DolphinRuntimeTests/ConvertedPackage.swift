import Foundation
import Testing

private let environment = ProcessInfo.processInfo.environment
let repository = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
  .deletingLastPathComponent().deletingLastPathComponent()

/// The converter and the runtime library of a build of this repository; `./dev test` names them.
let canConvert = environment["D2C_PROGRAM"] != nil && environment["D2C_RUNTIME"] != nil

/// A folder that goes away with this object.
final class TemporaryFolder: Sendable {
  let url: URL

  init() throws {
    url = FileManager.default.temporaryDirectory.appendingPathComponent("dolphin-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
  }

  deinit { try? FileManager.default.removeItem(at: url) }
}

/// What the converter prints, and its exit code. `input`: what it reads from stdin.
func runConverter(_ arguments: [String], input: String = "") throws -> (code: Int32, output: String) {
  let process = Process()
  process.executableURL = URL(fileURLWithPath: environment["D2C_PROGRAM"] ?? "")
  process.arguments = arguments
  process.standardError = FileHandle.nullDevice
  let (stdin, stdout) = (Pipe(), Pipe())
  process.standardInput = stdin
  process.standardOutput = stdout
  try process.run()
  stdin.fileHandleForWriting.write(Data(input.utf8))
  stdin.fileHandleForWriting.closeFile()
  let output = stdout.fileHandleForReading.readDataToEndOfFile()
  process.waitUntilExit()
  return (process.terminationStatus, String(decoding: output, as: UTF8.self))
}

/// A package made from a model of tests/data/models, removed with this object.
final class ConvertedPackage: Sendable {
  let url: URL
  private let folder: TemporaryFolder

  /// `tokenizer`: one of tests/data/tokenizers, to travel in the package.
  init(_ model: String, _ flags: [String] = [], tokenizer: String? = nil) throws {
    folder = try TemporaryFolder()
    url = folder.url.appendingPathComponent("Model.mlpackage")
    let source = folder.url.appendingPathComponent("model")
    try FileManager.default.createDirectory(at: source, withIntermediateDirectories: true)
    for part in ["models/\(model)"] + (tokenizer.map { ["tokenizers/\($0)"] } ?? []) {
      let data = repository.appendingPathComponent("tests/data/\(part)")
      for file in try FileManager.default.contentsOfDirectory(at: data, includingPropertiesForKeys: nil) {
        try FileManager.default.copyItem(at: file, to: source.appendingPathComponent(file.lastPathComponent))
      }
    }
    let settings = ["quantize.plugin=\"none\"", "graph.precision=\"fp32\"", "graph.context=64", "graph.prefill=16"]
    let (code, _) = try runConverter(
      ["convert", "--model", source.path, "-o", url.path] + settings.flatMap { ["--set", $0] } + flags)
    try #require(code == 0)
  }
}

/// The tensors of a safetensors file below tests/data/models, read as far as these tests need it.
struct ReferenceFile {
  private let header: [String: [String: Any]]
  private let data: Data

  init(_ name: String) throws {
    let url = repository.appendingPathComponent("tests/data/models/\(name).safetensors")
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

/// A golden file as the scripts in tools/ record them.
struct GoldenWriter {
  var metadata = ["format": "dolphin2coreml golden 1", "weights": "package", "reference": "a test"]
  private var entries: [String: [String: Any]] = [:]
  private var data = Data()

  mutating func add<Value: BitwiseCopyable>(_ name: String, _ type: String, _ shape: [Int], _ values: [Value]) {
    let start = data.count
    values.withUnsafeBytes { data.append(contentsOf: $0) }
    entries[name] = ["dtype": type, "shape": shape, "data_offsets": [start, data.count]]
  }

  mutating func addPrompt(_ index: Int, _ tokens: [Int32], answer: [Int32], logits: [[Float]]) {
    add("prompt.\(index).tokens", "I32", [tokens.count], tokens)
    add("prompt.\(index).generated", "I32", [answer.count], answer)
    add("prompt.\(index).logits", "F32", [logits.count, logits[0].count], logits.flatMap { $0 })
  }

  mutating func addSentence(_ index: Int, _ ids: [Int32], embedding: [Float]) {
    add("sentence.\(index).ids", "I32", [ids.count], ids)
    add("sentence.\(index).embedding", "F32", [embedding.count], embedding)
  }

  func write(to url: URL) throws {
    var header: [String: Any] = entries
    header["__metadata__"] = metadata
    let json = try JSONSerialization.data(withJSONObject: header, options: .sortedKeys)
    let size = withUnsafeBytes(of: UInt64(json.count).littleEndian) { Data($0) }
    try (size + json + data).write(to: url)
  }
}
