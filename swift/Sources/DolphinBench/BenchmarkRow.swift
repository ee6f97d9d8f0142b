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
  public var prefillTokensPerSecond: Double
  public var peakMemoryBytes: Int
  public var thermalState: String
  public var device: String
  public var system: String
  /// Of the package (`PackageManifest.digest`); "" where the model was made of parts.
  public var packageDigest: String

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
    case prefillTokensPerSecond = "prefill_tokens_per_second"
    case peakMemoryBytes = "peak_memory_bytes"
    case thermalState = "thermal_state"
    case device
    case system = "os"
    case packageDigest = "package_sha256"
  }

  public static let csvHeader = CodingKeys.allCases.map(\.rawValue).joined(separator: ",")

  public var csv: String {
    let times = [
      tokensPerSecond, initMilliseconds, decodeMillisecondsPerToken, embedMilliseconds, loadMilliseconds,
      firstTokenMilliseconds,
    ]
    let columns =
      [timestamp.formatted(Date.ISO8601FormatStyle(includingFractionalSeconds: true))] + times.map(Self.decimal)
      + ["\(promptTokens)", "\(generatedTokens)", Self.decimal(prefillTokensPerSecond), "\(peakMemoryBytes)"]
      + [thermalState, device, system, packageDigest].map(Self.quoted)
    return columns.joined(separator: ",")
  }

  private static func quoted(_ text: String) -> String {
    let text = text.replacingOccurrences(of: "\"", with: "\"\"")
    return text.contains { ",\"\n".contains($0) } ? "\"\(text)\"" : text
  }

  private static func decimal(_ value: Double) -> String {
    String(format: "%.3f", locale: Locale(identifier: "en_US_POSIX"), value)
  }
}
