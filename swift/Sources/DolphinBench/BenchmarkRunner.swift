import DolphinRuntime
import Foundation

/// Measures a model: each repetition is a new conversation, recorded as soon as it is done.
///
///     let rows = try await BenchmarkRunner().run(model, sinks: [CSVSink(url)])
public struct BenchmarkRunner: Sendable {
  public var prompt = "Explain in a few sentences why the sky is blue."
  public var maxTokens = 64
  public var warmUps = 1
  public var repetitions = 5

  /// Written into each row; see `PackageManifest.digest`.
  public var packageDigest = ""

  public init() {}

  public func run(_ model: DolphinModel, sinks: [any BenchmarkSink] = []) async throws -> [BenchmarkRow] {
    for _ in 0..<warmUps { _ = try await measure(model) }
    var rows: [BenchmarkRow] = []
    for _ in 0..<repetitions {
      let row = try await measure(model)
      for sink in sinks { try sink.record(row) }
      rows.append(row)
    }
    return rows
  }

  private func measure(_ model: DolphinModel) async throws -> BenchmarkRow {
    let metrics = try await generate(model)
    let decoded = max(metrics.generatedTokens - 1, 1)
    return BenchmarkRow(
      timestamp: Date(), tokensPerSecond: metrics.decodeTokensPerSecond,
      initMilliseconds: metrics.prefillSeconds * 1000,
      decodeMillisecondsPerToken: metrics.decodeSeconds * 1000 / Double(decoded),
      embedMilliseconds: try await embed(model), loadMilliseconds: model.loadTime.seconds * 1000,
      firstTokenMilliseconds: metrics.firstTokenSeconds * 1000, promptTokens: metrics.promptTokens,
      generatedTokens: metrics.generatedTokens, prefillTokensPerSecond: metrics.prefillTokensPerSecond,
      peakMemoryBytes: Machine.peakMemoryBytes, thermalState: Machine.thermalState, device: Machine.device,
      system: Machine.system, packageDigest: packageDigest)
  }

  private func generate(_ model: DolphinModel) async throws -> GenerationMetrics {
    let session = ChatSession(model)
    for try await event in session.streamDetails(to: prompt, options: .init(maxTokens: maxTokens)) {
      if case .finished(_, let metrics) = event { return metrics }
    }
    throw CancellationError()
  }

  /// 0 where the package has no encoder.
  private func embed(_ model: DolphinModel) async throws -> Double {
    guard let embedder = try? model.embeddings else { return 0 }
    let start = ContinuousClock.now
    _ = try await embedder.encode([prompt])
    return (ContinuousClock.now - start).seconds * 1000
  }
}
