import DolphinRuntime
import Foundation

/// Bytes as tokens, and ChatML's two special tokens.
struct ByteTokenizer: TextTokenizer {
  static let start: Int32 = 256
  static let end: Int32 = 257
  private static let names = ["<|im_start|>": start, "<|im_end|>": end]

  func encode(_ text: String, addSpecial: Bool, parseSpecial: Bool) throws -> [Int32] {
    var out: [Int32] = []
    var rest = text[...]
    while !rest.isEmpty {
      if parseSpecial, let (name, id) = Self.names.first(where: { rest.hasPrefix($0.key) }) {
        out.append(id)
        rest.removeFirst(name.count)
      } else {
        out += String(rest.removeFirst()).utf8.map { Int32($0) }
      }
    }
    return out
  }

  func bytes(of token: Int32) throws -> [UInt8] { token < 256 ? [UInt8(token)] : [] }
  func isSpecial(_ token: Int32) -> Bool { token >= 256 }
  func token(named text: String) -> Int32? { Self.names[text] }
}

/// A model that answers every message with "<number of user turns in its cache>: naïve 🐬."
final class FakeBackend: PredictionBackend {
  final class State: PredictionState, @unchecked Sendable {  // a session uses it for one call at a time
    var cache: [Int32] = []
  }

  let functions: [FunctionSignature]
  let metadata: [String: String]
  private let vocabulary = 258
  private let calls = Mutex<[String]>([])
  private let delay: Duration

  /// `encoders`: shapes of what they take.
  init(
    context: Int = 400, prefill: Int = 16, delay: Duration = .zero, encoders: [String: [Int]] = ["encode": [1, 32]],
    metadata: [String: String] = [:]
  ) {
    self.delay = delay
    self.metadata = metadata
    let cache = Feature(name: "kv_cache", element: .float16, shape: [2, 1, context, 4])
    let logits = Feature(name: "logits", element: .float16, shape: [1, vocabulary])
    func tokens(_ name: String, _ count: Int) -> Feature { Feature(name: name, element: .int32, shape: [1, count]) }
    let one = Feature(name: "position", element: .int32, shape: [1])
    let length = Feature(name: "length", element: .int32, shape: [1])
    let language: [FunctionSignature] = [
      .init(name: "init", inputs: [tokens("input_ids", prefill), one, length], states: [cache], outputs: [logits]),
      .init(name: "decode", inputs: [tokens("input_ids", 1), one], states: [cache], outputs: [logits]),
    ]
    functions =
      language
      + encoders.map { name, shape in
        FunctionSignature(
          name: name,
          inputs: ["input_ids", "attention_mask", "pooling_mask"].map {
            Feature(name: $0, element: .int32, shape: shape)
          },
          states: [], outputs: [Feature(name: "embedding", element: .float32, shape: [shape[0], 3])])
      }
  }

  var log: [String] { calls.value }

  func makeState() -> any PredictionState { State() }

  func call(
    _ function: String, inputs: [String: [Int32]], output: String, state: (any PredictionState)?
  ) async throws -> [Float] {
    calls.update { $0.append(function) }
    if delay > .zero { try await Task.sleep(for: delay) }
    let ids = inputs["input_ids"] ?? []
    guard let state = state as? State else {
      let rows = functions.first { $0.name == function }?.input("input_ids")?.shape[0] ?? 1
      let length = ids.count / rows
      return (0..<rows).flatMap { row in
        let range = row * length..<(row + 1) * length
        return pooled(Array(ids[range]), Array((inputs["pooling_mask"] ?? [])[range]))
      }
    }
    let position = Int(inputs["position"]?[0] ?? 0)
    guard position <= state.cache.count else { throw DolphinError.predictionFailed("a gap in the cache") }
    state.cache = Array(state.cache[..<position] + ids.prefix(Int(inputs["length"]?[0] ?? 1)))
    var logits = [Float](repeating: 0, count: vocabulary)
    logits[Int(next(state.cache))] = 1
    return logits
  }

  private func next(_ cache: [Int32]) -> Int32 {
    let turns = cache.split(separator: ByteTokenizer.start).filter { $0.starts(with: "user".utf8.map { Int32($0) }) }
    let answer = "\(turns.count): naïve 🐬.".utf8.map { Int32($0) } + [ByteTokenizer.end]
    let begin = (cache.lastIndex(of: ByteTokenizer.start) ?? 0) + "assistant\n".utf8.count + 1
    let said = cache.count - begin
    return answer.indices.contains(said) ? answer[said] : ByteTokenizer.end
  }

  private func pooled(_ ids: [Int32], _ pooling: [Int32]) -> [Float] {
    let counted = zip(ids, pooling).filter { $0.1 != 0 }.map { Float($0.0) }
    return [counted.reduce(0, +) / Float(max(counted.count, 1)), Float(counted.count), 0]
  }
}

/// A value behind a lock.
final class Mutex<Value: Sendable>: @unchecked Sendable {
  private let lock = NSLock()
  private var stored: Value

  init(_ value: Value) { stored = value }

  var value: Value { lock.withLock { stored } }

  func update(_ change: (inout Value) -> Void) { lock.withLock { change(&stored) } }
}

func fakeModel(_ backend: FakeBackend = FakeBackend()) throws -> DolphinModel {
  try DolphinModel(backend: backend, tokenizer: ByteTokenizer(), template: .chatML(defaultSystem: nil))
}
