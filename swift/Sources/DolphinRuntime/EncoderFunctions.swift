/// The functions of a package that encode: `encode` for the longest texts, `encode_64` for shorter ones, `encode_64_x8`
/// for eight of those at once.
package struct EncoderFunctions: Sendable {
  private struct Function: Sendable {
    let name: String
    let length: Int
    let batch: Int
  }

  /// The functions for texts up to a length, by falling batch.
  private struct Bucket: Sendable {
    let length: Int
    var functions: [Function]
  }

  package let width: Int
  package var maxLength: Int { buckets.last?.length ?? 0 }
  private let backend: any PredictionBackend
  private let buckets: [Bucket]  // by rising length
  private let vocabulary: Int

  /// Throws where the package has none. `vocabulary`: of the encoder's tokens.
  package init(_ backend: any PredictionBackend, vocabulary: Int) throws {
    self.backend = backend
    self.vocabulary = vocabulary
    var width = 0
    var byLength: [Int: [Function]] = [:]
    for signature in backend.functions where signature.name.wholeMatch(of: /encode(_\d+)?(_x\d+)?/) != nil {
      let function = try Self.function(signature, width: &width)
      byLength[function.length, default: []].append(function)
    }
    guard !byLength.isEmpty else {
      throw DolphinError.invalidInput("the package has no function 'encode', so there are no embeddings")
    }
    self.width = width
    buckets = byLength.sorted { $0.key < $1.key }.map { length, functions in
      Bucket(length: length, functions: functions.sorted { $0.batch > $1.batch })
    }
  }

  /// One embedding per input, in the order given.
  package func encode(_ inputs: [EncoderInput]) async throws -> [[Float]] {
    var waiting = buckets.map { _ in [Int]() }
    for (i, input) in inputs.enumerated() {
      try check(input, index: i)
      waiting[buckets.firstIndex { input.ids.count <= $0.length } ?? 0].append(i)
    }
    var vectors = [[Float]](repeating: [], count: inputs.count)
    for (bucket, indices) in zip(buckets, waiting) {
      var left = indices[...]
      while !left.isEmpty {
        try Task.checkCancellation()
        let count = left.count
        guard let function = bucket.functions.first(where: { 2 * count > $0.batch }) ?? bucket.functions.last else {
          break
        }
        let taken = left.prefix(function.batch)
        for (i, vector) in zip(taken, try await call(function, taken.map { inputs[$0] })) { vectors[i] = vector }
        left = left.dropFirst(function.batch)
      }
    }
    return vectors
  }

  private static func function(_ signature: FunctionSignature, width: inout Int) throws -> Function {
    guard let shape = signature.input("input_ids")?.shape, shape.count == 2, shape.allSatisfy({ $0 > 0 }),
      signature.input("attention_mask")?.shape == shape, signature.input("pooling_mask")?.shape == shape,
      let embedding = signature.output("embedding")?.shape, embedding.count == 2, embedding[0] == shape[0],
      embedding[1] > 0, width == 0 || width == embedding[1]
    else { throw DolphinError.invalidInput("the package's function '\(signature.name)' is not of the form expected") }
    width = embedding[1]
    return Function(name: signature.name, length: shape[1], batch: shape[0])
  }

  private func check(_ input: EncoderInput, index: Int) throws {
    guard !input.ids.isEmpty, input.pooling.contains(where: { $0 != 0 }) else {
      throw DolphinError.invalidArgument("text \(index) is empty; there is nothing to embed")
    }
    guard input.pooling.count == input.ids.count else {
      throw DolphinError.invalidArgument("input \(index) has another number of pooling entries than of tokens")
    }
    guard input.ids.count <= maxLength else {
      throw DolphinError.invalidArgument("input \(index) has more than the \(maxLength) tokens that 'encode' takes")
    }
    if let wrong = input.ids.first(where: { $0 < 0 || vocabulary > 0 && $0 >= vocabulary }) {
      throw DolphinError.invalidInput(
        "token \(wrong) is outside the vocabulary of \(vocabulary); is this the encoder's own tokenizer?")
    }
  }

  private func call(_ function: Function, _ inputs: [EncoderInput]) async throws -> [[Float]] {
    let size = function.batch * function.length
    var ids = [Int32](repeating: 0, count: size)
    var attention = ids
    var pooling = ids
    for (row, input) in inputs.enumerated() {
      let start = row * function.length
      for (i, id) in input.ids.enumerated() {
        ids[start + i] = id
        attention[start + i] = 1
        pooling[start + i] = input.pooling[i] == 0 ? 0 : 1
      }
    }
    let all = try await backend.call(
      function.name, inputs: ["input_ids": ids, "attention_mask": attention, "pooling_mask": pooling],
      output: "embedding", state: nil)
    guard all.count == function.batch * width else {
      throw DolphinError.predictionFailed("'\(function.name)' gave \(all.count) numbers")
    }
    return inputs.indices.map { Array(all[$0 * width..<($0 + 1) * width]) }
  }
}
