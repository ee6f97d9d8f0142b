import DolphinRuntime
import Foundation

@testable import DolphinChatModels

/// Bytes as tokens, and ChatML's two special tokens.
struct ByteTokenizer: TextTokenizer {
  static let end: Int32 = 257

  func encode(_ text: String, addSpecial: Bool, parseSpecial: Bool) throws -> [Int32] { text.utf8.map { Int32($0) } }
  func bytes(of token: Int32) throws -> [UInt8] { token < 256 ? [UInt8(token)] : [] }
  func isSpecial(_ token: Int32) -> Bool { token >= 256 }
  func token(named text: String) -> Int32? { text == "<|im_end|>" ? Self.end : nil }
}

/// Where a call waits until its task is cancelled; once only.
actor Pause {
  private let token: Int32
  private var isOver = false
  private(set) var hasBegun = false

  init(at token: Character) { self.token = Int32(token.asciiValue ?? 0) }

  func wait(at token: Int32) async throws {
    guard token == self.token, !isOver else { return }
    isOver = true
    hasBegun = true
    try await Task.sleep(for: .seconds(3600))
  }
}

/// Answers everything with "Yes."; embeds a text as how often it has each letter.
struct FakeBackend: PredictionBackend {
  final class State: PredictionState {}

  private static let answer = "Yes.".utf8.map { Int32($0) } + [ByteTokenizer.end]
  private static let vocabulary = 258
  var context = 2000
  var pause: Pause?
  var hasEncoder = true

  var metadata: [String: String] { [:] }

  var functions: [FunctionSignature] {
    func tokens(_ name: String, _ count: Int) -> Feature { Feature(name: name, element: .int32, shape: [1, count]) }
    let decode = FunctionSignature(
      name: "decode", inputs: [tokens("input_ids", 1), Feature(name: "position", element: .int32, shape: [1])],
      states: [Feature(name: "kv_cache", element: .float16, shape: [2, 1, context, 4])],
      outputs: [Feature(name: "logits", element: .float32, shape: [1, Self.vocabulary])])
    let encode = FunctionSignature(
      name: "encode", inputs: ["input_ids", "attention_mask", "pooling_mask"].map { tokens($0, 200) }, states: [],
      outputs: [Feature(name: "embedding", element: .float32, shape: [1, 26])])
    return hasEncoder ? [decode, encode] : [decode]
  }

  func makeState() -> any PredictionState { State() }

  func call(
    _ function: String, inputs: [String: [Int32]], output: String, state: (any PredictionState)?
  ) async throws -> [Float] {
    let ids = inputs["input_ids"] ?? []
    try await pause?.wait(at: ids[0])
    guard function == "decode" else {
      let counted = zip(ids, inputs["pooling_mask"] ?? []).filter { $0.1 != 0 }.map(\.0)
      return (0..<26).map { letter in Float(counted.count { $0 == 97 + Int32(letter) }) }
    }
    var logits = [Float](repeating: 0, count: Self.vocabulary)
    // The prompt ends with a line feed; then each byte of the answer follows the one before it.
    let place = ids[0] == 10 ? -1 : Self.answer.firstIndex(of: ids[0]) ?? -1
    logits[Int(Self.answer[min(place + 1, Self.answer.count - 1)])] = 100
    return logits
  }
}

func fakeModel(_ backend: FakeBackend = FakeBackend()) throws -> DolphinModel {
  try DolphinModel(backend: backend, tokenizer: ByteTokenizer(), template: .chatML())
}

/// A folder that goes away with this object.
final class TemporaryFolder: Sendable {
  let url: URL

  init() throws {
    url = FileManager.default.temporaryDirectory.appendingPathComponent("dolphin-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
  }

  deinit { try? FileManager.default.removeItem(at: url) }
}

/// A server that is a folder. It may break off, or send something else.
actor FolderTransport: FileTransport {
  private(set) var fetched: [String] = []
  private var broken: Set<String> = []
  private var damaged: Set<String> = []

  func breakOff(at names: Set<String>) { broken = names }
  func damage(_ names: Set<String>) { damaged = names }
  func forget() { fetched = [] }

  func fetch(_ address: URL, to file: URL, received: @escaping @Sendable (Int64) -> Void) async throws {
    let name = address.lastPathComponent
    fetched.append(name)
    if broken.contains(name) { throw URLError(.networkConnectionLost) }
    var data = try Data(contentsOf: address)
    if damaged.contains(name), !data.isEmpty { data[0] ^= 1 }
    received(Int64(data.count / 2))
    try data.write(to: file)
    received(Int64(data.count))
  }
}
