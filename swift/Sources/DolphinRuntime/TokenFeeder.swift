/// Feeds tokens to a model's init and decode, keeping the position in the KV cache.
struct TokenFeeder: Sendable {
  private struct Function: Sendable {
    let name: String
    let chunk: Int
    let hasLength: Bool
  }

  let context: Int
  private(set) var tokens: [Int32] = []  // what the cache holds
  private let backend: any PredictionBackend
  private let state: any PredictionState
  private let prefill: Function?
  private let decode: Function?
  private let vocabulary: Int

  init(_ backend: any PredictionBackend) async throws {
    self.backend = backend
    let prefill = Self.function("init", backend)
    let decode = Self.function("decode", backend)
    guard let name = (decode ?? prefill)?.name else {
      throw DolphinError.invalidInput("the package has neither 'init' nor 'decode', so it cannot generate text")
    }
    self.prefill = prefill
    self.decode = decode
    let language = backend.functions.first { $0.name == name }
    guard let cache = language?.states.first, cache.shape.count == 4,
      let size = language?.output("logits")?.shape.last
    else { throw DolphinError.invalidInput("the package has no KV cache, or no logits, of the form expected") }
    context = cache.shape[2]
    vocabulary = size
    state = try await backend.makeState()
  }

  var remaining: Int { context - tokens.count }

  mutating func rewind(to position: Int) { tokens.removeSubrange(position...) }

  /// The logits after the last token. `progress` gets the number of tokens fed so far.
  mutating func feed(_ new: [Int32], progress: (Int) -> Void = { _ in }) async throws -> [Float] {
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

  private func run(_ function: Function, _ chunk: [Int32]) async throws -> [Float] {
    var inputs = [
      "input_ids": chunk + Array(repeating: 0, count: function.chunk - chunk.count),
      "position": [Int32(tokens.count)],
    ]
    if function.hasLength { inputs["length"] = [Int32(chunk.count)] }
    return try await backend.call(function.name, inputs: inputs, output: "logits", state: state)
  }

  private static func function(_ name: String, _ backend: any PredictionBackend) -> Function? {
    guard let signature = backend.functions.first(where: { $0.name == name }),
      let chunk = signature.input("input_ids")?.shape.last, chunk > 0
    else { return nil }
    return Function(name: name, chunk: chunk, hasLength: signature.input("length") != nil)
  }
}
