import Foundation

/// Sentence embeddings through a package's `encode`.
///
///     let vectors = try await model.embeddings.encode(["a cat", "a dog"], normalize: true)
///     print(Embedder.cosine(vectors[0], vectors[1]))
public struct Embedder: Sendable {
  private struct Input {
    var ids: [Int32]
    var pooling: [Int32]
  }

  /// Numbers in one embedding.
  public let width: Int
  /// Tokens that are read at most; longer texts are cut at the end.
  public let maxLength: Int
  private let model: DolphinModel

  /// Throws where the package has no `encode`.
  public init(_ model: DolphinModel) throws {
    guard let signature = model.backend.functions.first(where: { $0.name == "encode" }),
      let length = signature.input("input_ids")?.shape.last, let width = signature.output("embedding")?.shape.last
    else { throw DolphinError.invalidInput("the package has no function 'encode' of the form expected") }
    self.model = model
    maxLength = length
    self.width = width
  }

  /// One embedding per text, in the order given. `instruction` is read before each text, and left out of the mean
  /// where the package says so. `normalize`: to length 1.
  public func encode(_ texts: [String], instruction: String? = nil, normalize: Bool = false) async throws -> [[Float]] {
    let inputs = try texts.enumerated().map { try input($1, instruction, index: $0) }
    var vectors = Array(repeating: [Float](), count: texts.count)
    // Neighbours of one length share what a backend keeps per shape.
    for i in inputs.indices.sorted(by: { inputs[$0].ids.count < inputs[$1].ids.count }) {
      try Task.checkCancellation()
      let vector = try await run(inputs[i])
      vectors[i] = normalize ? Self.normalized(vector) : vector
    }
    return vectors
  }

  /// The embedding of tokens that the caller made. `pooling`: 1 for tokens that count.
  public func encode(tokens: [Int32], pooling: [Int32]) async throws -> [Float] {
    guard !tokens.isEmpty, tokens.count <= maxLength, pooling.count == tokens.count,
      pooling.contains(where: { $0 != 0 })
    else {
      throw DolphinError.invalidArgument(
        "give 1 to \(maxLength) tokens, and a pooling mask of the same length that is not all zeros")
    }
    return try await run(Input(ids: tokens, pooling: pooling))
  }

  /// Between -1 and 1; 0 where a vector is all zeros.
  public static func cosine(_ a: [Float], _ b: [Float]) -> Float {
    let scale = (dot(a, a) * dot(b, b)).squareRoot()
    return scale > 0 ? Float(dot(a, b) / scale) : 0
  }

  /// Indices of the `count` vectors nearest to the query, nearest first.
  public static func nearest(to query: [Float], in vectors: [[Float]], count: Int) -> [Int] {
    let scores = vectors.map { cosine(query, $0) }
    return Array(vectors.indices.sorted { (scores[$1], $0) < (scores[$0], $1) }.prefix(max(count, 0)))
  }

  private static func dot(_ a: [Float], _ b: [Float]) -> Double {
    zip(a, b).reduce(0) { $0 + Double($1.0) * Double($1.1) }
  }

  private static func normalized(_ v: [Float]) -> [Float] {
    let length = Float(dot(v, v).squareRoot())
    return length > 0 ? v.map { $0 / length } : v
  }

  private func input(_ text: String, _ instruction: String?, index: Int) throws -> Input {
    let prefix = instruction?.trimmingCharacters(in: .whitespacesAndNewlines) ?? ""
    let whole = prefix.isEmpty ? text : prefix + " " + text
    let all = try model.tokenizer.encode(whole, addSpecial: true, parseSpecial: true)
    let ids = Array(all.prefix(maxLength))
    let own = try model.tokenizer.encode(text, addSpecial: false, parseSpecial: true).count
    guard !ids.isEmpty, own > 0 else {
      throw DolphinError.invalidArgument("text \(index) is empty; there is nothing to embed")
    }
    return Input(ids: ids, pooling: try poolingMask(ids.count, own: min(own, ids.count)))
  }

  /// `own`: the tokens at the end that are the text's, without the instruction.
  private func poolingMask(_ count: Int, own: Int) throws -> [Int32] {
    switch model.encoderFacts.pooling {
    case .mean, .weightedMean:
      let counted = model.encoderFacts.skipsInstruction ? own : count
      return Array(repeating: 0, count: count - counted) + Array(repeating: 1, count: counted)
    case .lastToken: return Array(repeating: 0, count: count - 1) + [1]
    case .bosToken: return [1] + Array(repeating: 0, count: count - 1)
    case .eosToken:
      throw DolphinError.invalidInput("pooling 'eos_token' needs the model's own end text; use encode(tokens:pooling:)")
    }
  }

  private func run(_ input: Input) async throws -> [Float] {
    let padding = [Int32](repeating: 0, count: maxLength - input.ids.count)
    let attention = [Int32](repeating: 1, count: input.ids.count)
    return try await model.backend.call(
      "encode",
      inputs: [
        "input_ids": input.ids + padding, "attention_mask": attention + padding,
        "pooling_mask": input.pooling + padding,
      ],
      output: "embedding", state: nil)
  }
}
