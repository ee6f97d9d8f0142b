import DolphinRuntime
import Foundation

/// Holds a package against golden files, check by check, as `dolphin2coreml verify --golden` does.
///
///     var verification = try await Verification(package: url)
///     try await verification.compare(with: Golden(contentsOf: golden))
///     print(verification.report.isPassed)
public struct Verification {
  private static let ownWeights = "own weights"
  private static let source = "source"
  private static let embeddings = "embeddings"

  /// Relative to the largest logit of a row. What is left between a package and its own weights in fp32 is the order of
  /// sums; an fp16 graph also rounds its cache and its logits, to eleven bits each.
  private static let logitErrorFP32 = 1e-4
  private static let logitErrorFP16 = 5e-3
  /// Embeddings of the same weights differ by rounding alone.
  private static let ownWeightsCosine = 0.9999

  public private(set) var report: VerificationReport
  private let backend: any PredictionBackend
  private let tokenizer: (any TextTokenizer)?
  private let facts: ModelFacts?
  private let limits: VerificationLimits

  /// `limits`: nil for those of the package's own recipe. A tokenizer only makes the report easier to read; the package's
  /// own is used where the configuration names none.
  public init(
    package url: URL, configuration: DolphinModel.Configuration = .init(), limits: VerificationLimits? = nil
  ) async throws {
    guard !configuration.runsOnCPU || configuration.cpuPrecision != .fast else {
      throw DolphinError.invalidArgument(
        "precision 'fast' is approximate, so nothing is verified with it; use fp32 or fp16")
    }
    backend = try await DolphinModel.backend(for: url, configuration: configuration)
    let folder = configuration.tokenizerFolder
    tokenizer =
      try folder.map { try BPETokenizer(folder: $0) } ?? (try? BPETokenizer(folder: DolphinModel.assets(of: url)))
    facts = try PackageMetadata.decode(ModelFacts.self, "d2c.model", of: backend.metadata)
    self.limits = try limits ?? VerificationLimits(package: url)
    let recipe = try PackageRecipe(package: url)
    report = VerificationReport(
      package: url.relativePath, model: recipe.model, revision: recipe.revision, context: facts?.context ?? 0,
      computeUnits: configuration.runsOnCPU ? .cpuOnly : configuration.computeUnits,
      precision: configuration.runsOnCPU ? configuration.cpuPrecision.rawValue : facts?.precision ?? "",
      minCosine: self.limits.minCosine)
  }

  /// Prompts and sentences. A golden file that holds neither adds no check.
  public mutating func compare(with golden: Golden) async throws {
    report.references.append(
      .init(
        comparison: golden.weights == .package ? Self.ownWeights : Self.source, reference: golden.name,
        prompts: golden.prompts.count, sentences: golden.sentences.count))
    if !golden.prompts.isEmpty { try await comparePrompts(golden) }
    if !golden.sentences.isEmpty { try await compareSentences(golden) }
  }

  // MARK: - Prompts

  private mutating func comparePrompts(_ golden: Golden) async throws {
    let isOwn = golden.weights == .package
    var feeder = try await TokenFeeder(backend)
    var divergence = Divergence()
    var error = 0.0
    var differing = 0
    for prompt in golden.prompts {
      guard !prompt.tokens.isEmpty else { throw DolphinError.invalidInput("the reference has a prompt without tokens") }
      let transcript = try await Transcript.follow(prompt, &feeder) { row, logits in
        try divergence.add(reference: prompt.logits[row], logits: logits)
        error = max(error, Self.logitError(prompt.logits[row], logits))
      }
      let matches = transcript.common == prompt.answer.count || isOwn && isNearTie(prompt, transcript)
      differing += matches ? 0 : 1
      add(transcript, prompt, isOwn ? Self.ownWeights : Self.source, matches: matches)
    }
    if isOwn {
      check(Self.ownWeights, "transcripts that differ", Double(differing), atMost: 0)
      check(Self.ownWeights, "logit error", error, atMost: maxLogitError)
    } else {
      check(divergence)
    }
  }

  private var maxLogitError: Double {
    limits.maxLogitError ?? (facts?.precision == "fp32" ? Self.logitErrorFP32 : Self.logitErrorFP16)
  }

  /// Largest difference relative to the reference's largest logit.
  private static func logitError(_ reference: [Float], _ logits: [Float]) -> Double {
    let difference = zip(reference, logits).reduce(0.0) { max($0, abs(Double($1.0) - Double($1.1))) }
    return difference == 0 ? 0 : difference / largest(reference)
  }

  private static func largest(_ values: [Float]) -> Double { Double(values.reduce(0) { max($0, abs($1)) }) }

  /// Whether the reference makes no difference between its token and the package's that is larger than what logits may be
  /// off.
  private func isNearTie(_ prompt: Golden.Prompt, _ transcript: Transcript) -> Bool {
    let logits = prompt.logits[transcript.common]
    let theirs = logits[Int(prompt.answer[transcript.common])]
    let ours = logits[Int(transcript.tokens[transcript.common])]
    return abs(Double(theirs) - Double(ours)) <= 2 * maxLogitError * Self.largest(logits)
  }

  private mutating func add(
    _ transcript: Transcript, _ prompt: Golden.Prompt, _ comparison: String, matches: Bool
  ) {
    report.transcripts.append(
      .init(
        comparison: comparison, prompt: label(prompt.text, prompt.tokens), maxNewTokens: prompt.answer.count,
        reference: .init(tokens: prompt.answer, text: spell(prompt.answer)),
        coreml: .init(
          tokens: transcript.tokens, text: spell(transcript.tokens), initMilliseconds: transcript.initMilliseconds,
          decodeMilliseconds: transcript.decodeMilliseconds, residency: transcript.residency),
        commonTokens: transcript.common, match: matches))
  }

  private mutating func check(_ divergence: Divergence) {
    check(Self.source, "mean KL, prompts", divergence.meanKL, atMost: limits.maxDivergence)
    check(Self.source, "top-1 agreement, prompts", divergence.agreement, atLeast: limits.minAgreement)
    report.divergence.append(
      .init(
        over: "prompts", positions: divergence.positions, meanKL: divergence.meanKL, maxKL: divergence.maxKL,
        agreement: divergence.agreement))
  }

  // MARK: - Sentences

  private mutating func compareSentences(_ golden: Golden) async throws {
    let isOwn = golden.weights == .package
    let encoderFacts = try PackageMetadata.decode(EncoderFacts.self, "d2c.encoder", of: backend.metadata)
    let functions = try EncoderFunctions(
      backend, vocabulary: encoderFacts?.vocabularySize ?? facts?.vocabularySize ?? 0)
    let reference = golden.sentences.map(\.embedding)
    if let other = reference.first(where: { $0.count != functions.width }) {
      throw DolphinError.invalidInput(
        "the reference has embeddings of \(other.count) numbers, the package of \(functions.width); is it a reference of "
          + "this model?")
    }
    var embeddings: [[Float]] = []
    for sentence in golden.sentences { embeddings += try await functions.encode([sentence.input]) }
    let agreement = EmbeddingAgreement(reference: reference, embeddings: embeddings)
    let comparison = isOwn ? Self.ownWeights : Self.embeddings
    let threshold = isOwn ? Self.ownWeightsCosine : limits.minCosine
    for (i, sentence) in golden.sentences.enumerated() {
      report.embedding.cases.append(
        .init(
          comparison: comparison, sentence: label(sentence.text, sentence.input.ids), cosine: agreement.cosines[i],
          centredCosine: agreement.centredCosines.isEmpty ? nil : agreement.centredCosines[i],
          pass: agreement.cosines[i] >= threshold))
    }
    check(comparison, "least cosine", leastOf(agreement.cosines), atLeast: threshold)
    if isOwn { return }
    if !agreement.centredCosines.isEmpty {
      check(
        comparison, "least centred cosine", leastOf(agreement.centredCosines), atLeast: limits.minCentredCosine)
    }
    if let correlation = agreement.rankCorrelation {
      check(comparison, "rank correlation of similarities", correlation, atLeast: limits.minRankCorrelation)
    }
  }

  // MARK: - Reporting

  private mutating func check(_ comparison: String, _ name: String, _ value: Double, atMost limit: Double) {
    report.checks.append(
      .init(comparison: comparison, name: name, value: value, bound: .atMost(limit), pass: value <= limit))
  }

  private mutating func check(_ comparison: String, _ name: String, _ value: Double, atLeast limit: Double) {
    report.checks.append(
      .init(comparison: comparison, name: name, value: value, bound: .atLeast(limit), pass: value >= limit))
  }

  private func spell(_ tokens: [Int32]) -> String {
    (try? tokenizer?.decode(tokens, skipSpecial: true)) ?? ""
  }

  /// The text, or the tokens where there is none.
  private func label(_ text: String, _ tokens: [Int32]) -> String {
    if !text.isEmpty { return text }
    let spelled = spell(tokens)
    return spelled.isEmpty ? "tokens " + tokens.map(String.init).joined(separator: ",") : spelled
  }
}

/// No number where one of the values is none.
func leastOf(_ values: [Double]) -> Double { values.contains(where: \.isNaN) ? .nan : values.min() ?? .nan }
