import Foundation

/// Sentence embeddings through a package's `encode`. Each text goes through the shortest function that it fits into, and
/// through one for several texts at once where the package has that.
///
///     let vectors = try await model.embeddings.encode(["a cat", "a dog"], normalize: true)
///     print(Embedder.cosine(vectors[0], vectors[1]))
public struct Embedder: Sendable {
  /// Numbers in one embedding.
  public var width: Int { functions.width }
  /// Tokens that are read at most; longer texts are cut at the end.
  public var maxLength: Int { functions.maxLength }
  private let functions: EncoderFunctions
  private let preparation: SentencePreparation
  private let tokenizer: any TextTokenizer
  private let metrics: (any MetricsSink)?

  /// Throws where the package has no `encode`.
  public init(_ model: DolphinModel) throws {
    let facts = model.encoderFacts
    functions = try EncoderFunctions(
      model.backend, vocabulary: facts.vocabularySize ?? model.facts?.vocabularySize ?? 0)
    tokenizer = model.encoderTokenizer
    metrics = model.metrics
    var preparation = facts.preparation
    if let longest = facts.maxLength, longest > 0 { preparation.maxLength = longest }
    preparation.maxLength = min(preparation.maxLength, functions.maxLength)
    self.preparation = preparation
  }

  /// One embedding per text, in the order given. `instruction` is read before each text, and left out of the mean
  /// where the package says so. `normalize`: to length 1.
  public func encode(_ texts: [String], instruction: String? = nil, normalize: Bool = false) async throws -> [[Float]] {
    let vectors = try await encode(
      texts.map { try preparation.prepare($0, instruction: instruction ?? "", by: tokenizer) })
    return normalize ? vectors.map(Self.normalized) : vectors
  }

  /// The embeddings of tokens that the caller made.
  public func encode(_ inputs: [EncoderInput]) async throws -> [[Float]] {
    let span = MetricsSpan(metrics, .embedding)
    do {
      let vectors = try await functions.encode(inputs)
      span.end { $0.texts = inputs.count }
      return vectors
    } catch {
      span.end(throwing: error)
      throw error
    }
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
}
