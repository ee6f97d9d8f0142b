import DolphinRuntime
import DolphinVerify
import Foundation
import Testing

@Suite(.enabled(if: canConvert)) struct AVerification {
  private let folder: TemporaryFolder
  private let package: ConvertedPackage

  init() throws {
    folder = try TemporaryFolder()
    package = try ConvertedPackage("gqa_bf16")
  }

  private var goldenURL: URL { folder.url.appendingPathComponent("golden.safetensors") }

  /// What transformers computed, with the first `count` tokens after the prompt that it was given.
  private func transformersGolden() throws -> GoldenWriter {
    let file = try ReferenceFile("goldens/gqa_bf16")
    let prompt = try file.values("prompt_ids", as: Int64.self).map { Int32($0) }
    let forced = try file.values("decode_ids", as: Int64.self).map { Int32($0) }
    let prefill = try file.values("prefill_logits", as: Float.self)
    let decode = try file.values("decode_logits", as: Float.self)
    let width = prefill.count / prompt.count
    let rows = [Array(prefill.suffix(width))] + forced.indices.map { Array(decode[$0 * width..<($0 + 1) * width]) }
    var golden = GoldenWriter()
    golden.metadata["weights"] = "checkpoint"
    golden.addPrompt(0, prompt, answer: forced, logits: rows)
    return golden
  }

  /// What the package itself says, so that all is in order until something is changed.
  private func ownGolden(change: (inout [[Float]], inout [Float]) -> Void = { _, _ in }) async throws -> GoldenWriter {
    let backend = try CPUBackend(package: package.url)
    var feeder = try await TokenFeeder(backend)
    var rows = [try await feeder.feed([1, 17, 42])]
    var answer: [Int32] = []
    for _ in 0..<4 {
      answer.append(try Sampler.largest(rows[rows.count - 1]))
      rows.append(try await feeder.feed([answer[answer.count - 1]]))
    }
    let ids: [Int32] = [5, 6, 7]
    var embedding = try await EncoderFunctions(backend, vocabulary: 0)
      .encode([EncoderInput(ids: ids, pooling: [1, 1, 1])])[0]
    change(&rows, &embedding)
    var golden = GoldenWriter()
    golden.addPrompt(0, [1, 17, 42], answer: answer, logits: rows)
    golden.addSentence(0, ids, embedding: embedding)
    return golden
  }

  private func report(_ golden: GoldenWriter, limits: VerificationLimits? = nil) async throws -> VerificationReport {
    try golden.write(to: goldenURL)
    var verification = try await Verification(package: package.url, limits: limits)
    try await verification.compare(with: Golden(contentsOf: goldenURL))
    return verification.report
  }

  @Test func agreesWithTheReferenceAndWithTheConvertersReport() async throws {
    for golden in [try transformersGolden(), try await ownGolden()] {
      let report = try await report(golden)
      let (code, output) = try runConverter(["verify", package.url.path, "--golden", goldenURL.path, "--json"])
      #expect(report.isPassed == (code == 0))
      #expect(try comparable(report.json()) == comparable(output))
    }
    #expect(try await report(try transformersGolden()).divergence[0].meanKL < 1e-8)
  }

  /// A report without the times.
  private func comparable(_ json: String) throws -> NSDictionary {
    func untimed(_ value: Any) -> Any {
      if let list = value as? [Any] { return list.map(untimed) }
      guard let table = value as? [String: Any] else { return value }
      return table.filter { $0.key != "timestamp" && !$0.key.hasSuffix("_ms") }.mapValues(untimed)
    }
    let root = try JSONSerialization.jsonObject(with: Data(json.utf8))
    return try #require(untimed(root) as? NSDictionary ?? (untimed(root) as? [String: Any]).map { $0 as NSDictionary })
  }

  @Test func noticesALogit() async throws {
    let report = try await report(try await ownGolden { rows, _ in rows[1][7] += 1 })
    #expect(!report.isPassed)
    #expect(report.checks.filter { !$0.pass }.map(\.name) == ["logit error"])
  }

  @Test func noticesAnEmbeddingAndOneThatIsNoNumber() async throws {
    for change: @Sendable (inout [Float]) -> Void in [{ $0[0] += 9 }, { $0[0] = .nan }] {
      let report = try await report(try await ownGolden { _, embedding in change(&embedding) })
      #expect(report.checks.filter { !$0.pass }.map(\.name) == ["least cosine"])
      _ = try report.json()
    }
  }

  @Test func nothingToCompareWithIsNoSuccess() async throws {
    let report = try await report(GoldenWriter())
    #expect(!report.isPassed)
    #expect(report.summary.contains("nothing to compare"))
  }

  @Test func limitsAreThePackagesOwnUnlessSet() async throws {
    var limits = try VerificationLimits(package: package.url)
    #expect(limits.minCosine == 0.99)
    try limits.set("max_divergence", to: -1)
    #expect(throws: DolphinError.self) { try limits.set("nonsense", to: 1) }
    let report = try await report(try transformersGolden(), limits: limits)
    #expect(report.checks.filter { !$0.pass }.map(\.name) == ["mean KL, prompts"])
  }

  @Test func referencesOfOtherModelsAreRefused() async throws {
    var logits = GoldenWriter()
    logits.addPrompt(0, [1], answer: [], logits: [[1, 2, 3]])
    var embedding = GoldenWriter()
    embedding.addSentence(0, [1], embedding: [1, 2])
    for golden in [logits, embedding] {
      await #expect(throws: DolphinError.self) { try await self.report(golden) }
    }
  }

  @Test func damagedGoldenFilesAreRefused() throws {
    var golden = try transformersGolden()
    try golden.write(to: goldenURL)
    let whole = try Data(contentsOf: goldenURL)
    for size in [0, 7, 8, 100, whole.count - 1] {
      try whole.prefix(size).write(to: goldenURL)
      #expect(throws: DolphinError.self) { try Golden(contentsOf: goldenURL) }
    }
    try (Data(repeating: 0xFF, count: 8) + whole.dropFirst(8)).write(to: goldenURL)
    #expect(throws: DolphinError.self) { try Golden(contentsOf: goldenURL) }
    golden.metadata["weights"] = "nobody's"
    try golden.write(to: goldenURL)
    #expect(throws: DolphinError.self) { try Golden(contentsOf: goldenURL) }
    golden.metadata["weights"] = "package"
    golden.add("prompt.0.logits", "F32", [2, 1 << 62], [Float]())
    try golden.write(to: goldenURL)
    #expect(throws: DolphinError.self) { try Golden(contentsOf: goldenURL) }
  }
}
