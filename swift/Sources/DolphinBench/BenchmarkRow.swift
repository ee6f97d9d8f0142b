import DolphinRuntime
import Foundation

/// One repetition of a benchmark.
public struct BenchmarkRow: Codable, Sendable, Equatable {
  public var timestamp: Date
  public var tokensPerSecond: Double
  public var initMilliseconds: Double
  public var decodeMillisecondsPerToken: Double
  public var embedMilliseconds: Double
  public var loadMilliseconds: Double
  public var firstTokenMilliseconds: Double
  public var promptTokens: Int
  public var generatedTokens: Int

  enum CodingKeys: String, CodingKey, CaseIterable {
    case timestamp
    case tokensPerSecond = "tokens_per_second"
    case initMilliseconds = "init_ms"
    case decodeMillisecondsPerToken = "decode_ms_per_token"
    case embedMilliseconds = "embed_ms"
    case loadMilliseconds = "load_ms"
    case firstTokenMilliseconds = "ttft_ms"
    case promptTokens = "prompt_tokens"
    case generatedTokens = "generated_tokens"
  }

  public static let csvHeader = CodingKeys.allCases.map(\.rawValue).joined(separator: ",")

  public var csv: String {
    let numbers = [
      tokensPerSecond, initMilliseconds, decodeMillisecondsPerToken, embedMilliseconds, loadMilliseconds,
      firstTokenMilliseconds,
    ]
    return
      ([timestamp.formatted(Date.ISO8601FormatStyle(includingFractionalSeconds: true))]
      + numbers.map(Self.decimal) + ["\(promptTokens)", "\(generatedTokens)"]).joined(separator: ",")
  }

  private static func decimal(_ value: Double) -> String {
    String(format: "%.3f", locale: Locale(identifier: "en_US_POSIX"), value)
  }
}
