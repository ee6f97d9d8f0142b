import DolphinRuntime
import Foundation

/// What `verify --json` prints (docs/reports.md).
public struct VerificationReport: Encodable, Sendable {
  public struct Reference: Encodable, Sendable {
    public let comparison: String
    public let reference: String
    public let prompts: Int
    public let sentences: Int
  }

  public struct Answer: Encodable, Sendable {
    public let tokens: [Int32]
    public let text: String
  }

  public struct TimedAnswer: Encodable, Sendable {
    public let tokens: [Int32]
    public let text: String
    public let initMilliseconds: Double
    public let decodeMilliseconds: [Double]
    /// Share of the context in use.
    public let residency: Double
    let evicted = 0

    enum CodingKeys: String, CodingKey {
      case tokens, text, residency, evicted
      case initMilliseconds = "init_ms"
      case decodeMilliseconds = "decode_ms"
    }
  }

  public struct Transcript: Encodable, Sendable {
    public let comparison: String
    public let prompt: String
    public let maxNewTokens: Int
    public let reference: Answer
    public let coreml: TimedAnswer
    public let commonTokens: Int
    public let match: Bool

    enum CodingKeys: String, CodingKey {
      case comparison, prompt, reference, coreml, match
      case maxNewTokens = "max_new_tokens"
      case commonTokens = "common_tokens"
    }
  }

  public struct Divergence: Encodable, Sendable {
    public let over: String
    public let positions: Int
    public let meanKL: Double
    public let maxKL: Double
    public let agreement: Double

    enum CodingKeys: String, CodingKey {
      case over, positions
      case meanKL = "mean_kl"
      case maxKL = "max_kl"
      case agreement = "top1_agreement"
    }
  }

  public struct Embedding: Encodable, Sendable {
    public struct Case: Encodable, Sendable {
      public let comparison: String
      public let sentence: String
      public let cosine: Double
      public let centredCosine: Double?
      public let pass: Bool

      enum CodingKeys: String, CodingKey {
        case comparison, sentence, cosine, pass
        case centredCosine = "centred_cosine"
      }

      public func encode(to encoder: any Encoder) throws {
        var values = encoder.container(keyedBy: CodingKeys.self)
        try values.encode(comparison, forKey: .comparison)
        try values.encode(sentence, forKey: .sentence)
        try values.encode(Number(cosine), forKey: .cosine)
        try values.encodeIfPresent(centredCosine.map(Number.init), forKey: .centredCosine)
        try values.encode(pass, forKey: .pass)
      }
    }

    public let threshold: Double
    public internal(set) var cases: [Case] = []

    enum CodingKeys: String, CodingKey {
      case threshold, cases
      case minimumCosine = "minimum_cosine"
    }

    public func encode(to encoder: any Encoder) throws {
      var values = encoder.container(keyedBy: CodingKeys.self)
      try values.encode(threshold, forKey: .threshold)
      if !cases.isEmpty { try values.encode(Number(leastOf(cases.map(\.cosine))), forKey: .minimumCosine) }
      try values.encode(cases, forKey: .cases)
    }
  }

  public struct Check: Encodable, Sendable {
    public enum Bound: Sendable {
      case atMost(Double)
      case atLeast(Double)
    }

    public let comparison: String
    public let name: String
    public let value: Double
    public let bound: Bound
    public let pass: Bool

    enum CodingKeys: String, CodingKey {
      case comparison, name, value, pass
      case atMost = "at_most"
      case atLeast = "at_least"
    }

    public func encode(to encoder: any Encoder) throws {
      var values = encoder.container(keyedBy: CodingKeys.self)
      try values.encode(comparison, forKey: .comparison)
      try values.encode(name, forKey: .name)
      try values.encode(Number(value), forKey: .value)
      switch bound {
      case .atMost(let limit): try values.encode(limit, forKey: .atMost)
      case .atLeast(let limit): try values.encode(limit, forKey: .atLeast)
      }
      try values.encode(pass, forKey: .pass)
    }
  }

  private struct Latency: Encodable {
    enum CodingKeys: String, CodingKey {
      case p50 = "p50_ms"
      case p90 = "p90_ms"
      case p99 = "p99_ms"
      case samples
    }

    let p50: Double
    let p90: Double
    let p99: Double
    let samples: Int
  }

  private struct Cache: Encodable {
    enum CodingKeys: String, CodingKey {
      case average = "avg_residency_pct"
      case least = "min_residency_pct"
      case most = "max_residency_pct"
      case evicted = "evicted_tokens"
    }

    let average: Double
    let least: Double
    let most: Double
    let evicted = 0
  }

  enum CodingKeys: String, CodingKey {
    case package, model, revision, timestamp, precision, references, transcripts, divergence, embedding, checks
    case computeUnits = "compute_units"
    case context = "seq_len"
    case prompts = "golden_prompts"
    case sentences = "embedding_sentences"
    case latency = "decode_latency"
    case cache = "kv_cache"
    case transcriptsPassed = "transcripts_passed"
    case isPassed = "validation_passed"
  }

  public let package: String
  public let model: String
  public let revision: String
  public let timestamp: Date
  public let computeUnits: DolphinModel.ComputeUnits
  public let precision: String
  public let context: Int
  public internal(set) var references: [Reference] = []
  public internal(set) var transcripts: [Transcript] = []
  public internal(set) var divergence: [Divergence] = []
  public internal(set) var embedding: Embedding
  public internal(set) var checks: [Check] = []

  /// Whether every check passed, and there was one.
  public var isPassed: Bool { !checks.isEmpty && checks.allSatisfy(\.pass) }

  init(
    package: String, model: String, revision: String, context: Int, computeUnits: DolphinModel.ComputeUnits,
    precision: String, minCosine: Double
  ) {
    self.package = package
    self.model = model
    self.revision = revision
    self.context = context
    self.computeUnits = computeUnits
    self.precision = precision
    timestamp = Date()
    embedding = Embedding(threshold: minCosine)
  }

  /// Two spaces deep, keys sorted.
  public func json() throws -> String {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
    encoder.dateEncodingStrategy = .iso8601
    return String(decoding: try encoder.encode(self), as: UTF8.self)
  }

  public func encode(to encoder: any Encoder) throws {
    var values = encoder.container(keyedBy: CodingKeys.self)
    try values.encode(package, forKey: .package)
    try values.encode(model, forKey: .model)
    try values.encode(revision, forKey: .revision)
    try values.encode(timestamp, forKey: .timestamp)
    try values.encode(computeUnits.reportName, forKey: .computeUnits)
    try values.encode(precision, forKey: .precision)
    try values.encode(context, forKey: .context)
    try values.encode(references, forKey: .references)
    try values.encode(Self.distinct(transcripts.map(\.prompt)), forKey: .prompts)
    try values.encode(Self.distinct(embedding.cases.map(\.sentence)), forKey: .sentences)
    try values.encode(transcripts, forKey: .transcripts)
    try values.encode(divergence, forKey: .divergence)
    try values.encode(embedding, forKey: .embedding)
    try values.encode(latency, forKey: .latency)
    try values.encode(cache, forKey: .cache)
    try values.encode(checks, forKey: .checks)
    try values.encode(!transcripts.isEmpty && transcripts.allSatisfy(\.match), forKey: .transcriptsPassed)
    try values.encode(isPassed, forKey: .isPassed)
  }

  private var latency: Latency {
    let samples = transcripts.flatMap(\.coreml.decodeMilliseconds)
    return Latency(
      p50: percentile(samples, 50), p90: percentile(samples, 90), p99: percentile(samples, 99), samples: samples.count)
  }

  private var cache: Cache {
    let percents = transcripts.map { 100 * $0.coreml.residency }
    return Cache(
      average: percents.isEmpty ? 0 : percents.reduce(0, +) / Double(percents.count),
      least: percents.min() ?? 0, most: percents.max() ?? 0)
  }

  private static func distinct(_ values: [String]) -> [String] {
    values.reduce(into: []) { if !$0.contains($1) { $0.append($1) } }
  }
}

/// null in JSON where it is no number.
private struct Number: Encodable {
  let value: Double

  init(_ value: Double) { self.value = value }

  func encode(to encoder: any Encoder) throws {
    var single = encoder.singleValueContainer()
    if value.isFinite { try single.encode(value) } else { try single.encodeNil() }
  }
}

extension DolphinModel.ComputeUnits {
  /// As recipes and the converter's reports name them.
  var reportName: String {
    switch self {
    case .all: "ALL"
    case .cpuAndGPU: "CPU_AND_GPU"
    case .cpuAndNeuralEngine: "CPU_AND_NE"
    case .cpuOnly: "CPU_ONLY"
    }
  }
}

extension VerificationReport {
  /// For people.
  public var summary: String {
    var lines = references.map { "\($0.comparison): \($0.reference)" }
    if checks.isEmpty {
      return (lines + ["verification FAILED: there is nothing to compare with; give a golden file", ""])
        .joined(separator: "\n")
    }
    for transcript in transcripts {
      lines.append(
        "\(transcript.comparison): \(transcript.commonTokens)/\(transcript.maxNewTokens) common tokens, "
          + "\(transcript.match ? "match" : "no match"): \(transcript.prompt.prefix(40))")
    }
    for check in checks { lines.append(Self.line(check)) }
    return (lines + ["verification \(isPassed ? "passed" : "FAILED")", ""]).joined(separator: "\n")
  }

  private static func line(_ check: Check) -> String {
    let limit =
      switch check.bound {
      case .atMost(let limit): "<= \(limit)"
      case .atLeast(let limit): ">= \(limit)"
      }
    return "\(check.comparison), \(check.name): \(check.value) (\(limit)) \(check.pass ? "ok" : "FAILED")"
  }
}
