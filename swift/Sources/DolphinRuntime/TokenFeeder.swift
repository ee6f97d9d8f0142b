/// Feeds tokens to a model's init and decode, keeping the position in the KV cache.
package struct TokenFeeder: Sendable {
  private struct Function: Sendable {
    let name: String
    let chunk: Int
    let hasLength: Bool
    /// Rows of logits that a call gives: one, or one for each token.
    let rows: Int
    let vocabulary: Int
  }

  package let context: Int
  package private(set) var tokens: [Int32] = []  // what the cache holds
  private let backend: any PredictionBackend
  private let state: any PredictionState
  private let prefill: Function?
  private let decode: Function?
  private let vocabulary: Int

  /// `variant`: the adapters to talk with, by the name in `init_NAME` and `decode_NAME`.
  package init(_ backend: any PredictionBackend, variant: String? = nil) async throws {
    let suffix = variant.map { "_" + $0 } ?? ""
    self.backend = backend
    prefill = try Self.function("init" + suffix, backend)
    decode = try Self.function("decode" + suffix, backend)
    guard let any = decode ?? prefill else {
      throw DolphinError.invalidInput(
        "the package has neither 'init\(suffix)' nor 'decode\(suffix)', so it cannot generate text; it has "
          + backend.functions.map(\.name).joined(separator: ", "))
    }
    guard let cache = backend.functions.lazy.flatMap(\.states).first, cache.shape.count == 4,
      cache.shape[2] > 0, any.vocabulary == (prefill ?? any).vocabulary
    else { throw DolphinError.invalidInput("the package has no KV cache, or no logits, of the form expected") }
    context = cache.shape[2]
    vocabulary = any.vocabulary
    state = try await backend.makeState()
  }

  package var remaining: Int { context - tokens.count }

  /// `position`: at most the number of tokens in the cache.
  package mutating func rewind(to position: Int) { tokens.removeSubrange(position...) }

  /// The logits after the last token of at least one. `progress` gets the number of tokens fed so far.
  package mutating func feed(_ new: [Int32], progress: (Int) -> Void = { _ in }) async throws -> [Float] {
    guard new.count <= remaining else {
      throw DolphinError.contextOverflow(needed: tokens.count + new.count, context: context)
    }
    if let wrong = new.first(where: { $0 < 0 || $0 >= vocabulary }) {
      throw DolphinError.invalidInput(
        "token \(wrong) is outside the vocabulary of \(vocabulary); is this the model's own tokenizer?")
    }
    var logits: [Float] = []
    var fed = 0
    while fed < new.count {
      try Task.checkCancellation()
      let function = try next(left: new.count - fed)
      let chunk = Array(new[fed..<min(fed + function.chunk, new.count)])
      logits = try await run(function, chunk)
      fed += chunk.count
      tokens += chunk
      progress(fed)
    }
    return logits
  }

  private func next(left: Int) throws -> Function {
    let fitting = prefill.flatMap { $0.chunk <= remaining ? $0 : nil }
    if let decode, left == 1 || fitting == nil { return decode }
    if let fitting { return fitting }
    throw DolphinError.contextOverflow(needed: tokens.count + left, context: context)
  }

  /// The logits after the last token of the chunk.
  private func run(_ function: Function, _ chunk: [Int32]) async throws -> [Float] {
    var inputs = [
      "input_ids": chunk + Array(repeating: 0, count: function.chunk - chunk.count),
      "position": [Int32(tokens.count)],
    ]
    if function.hasLength { inputs["length"] = [Int32(chunk.count)] }
    let logits = try await backend.call(function.name, inputs: inputs, output: "logits", state: state)
    guard logits.count == function.rows * vocabulary else {
      throw DolphinError.predictionFailed("'\(function.name)' gave \(logits.count) logits")
    }
    if function.rows == 1 { return logits }
    return Array(logits[(chunk.count - 1) * vocabulary..<chunk.count * vocabulary])
  }

  private static func function(_ name: String, _ backend: any PredictionBackend) throws -> Function? {
    guard let signature = backend.functions.first(where: { $0.name == name }) else { return nil }
    guard let chunk = signature.input("input_ids")?.shape.last, chunk > 0, signature.input("position") != nil,
      let logits = signature.output("logits")?.shape, logits.count == 2, logits[1] > 0,
      logits[0] == 1 || logits[0] == chunk, logits[0] == chunk || signature.input("length") != nil
    else { throw DolphinError.invalidInput("the package's function '\(name)' is not of the form expected") }
    return Function(
      name: name, chunk: chunk, hasLength: signature.input("length") != nil, rows: logits[0], vocabulary: logits[1])
  }
}
