import DolphinRuntime
import Foundation

/// Receives measurements as they are made; a production app may leave one on.
public protocol MetricsSink: Sendable {
  func record(_ row: BenchmarkRow) throws
}

/// Appends one JSON object per line to a file.
public final class JSONLinesSink: MetricsSink {
  private let url: URL
  private let lock = NSLock()

  public init(_ url: URL) { self.url = url }

  public func record(_ row: BenchmarkRow) throws {
    let encoder = JSONEncoder()
    encoder.dateEncodingStrategy = .iso8601
    encoder.outputFormatting = .sortedKeys
    try lock.withLock { try append(try encoder.encode(row) + Data("\n".utf8), to: url) }
  }
}

/// Appends to a CSV file, whose first five columns are those of the original benchmark.
public final class CSVSink: MetricsSink {
  private let url: URL
  private let lock = NSLock()

  public init(_ url: URL) { self.url = url }

  public func record(_ row: BenchmarkRow) throws {
    try lock.withLock {
      let isNew = !FileManager.default.fileExists(atPath: url.path)
      try append(Data(((isNew ? BenchmarkRow.csvHeader + "\n" : "") + row.csv + "\n").utf8), to: url)
    }
  }
}

private func append(_ data: Data, to url: URL) throws {
  if !FileManager.default.fileExists(atPath: url.path) {
    try data.write(to: url)
    return
  }
  let file = try FileHandle(forWritingTo: url)
  defer { try? file.close() }
  try file.seekToEnd()
  try file.write(contentsOf: data)
}

#if canImport(OSLog)
  import OSLog

  /// Writes to the system's log.
  public struct OSLogSink: MetricsSink {
    private let logger: Logger

    public init(subsystem: String, category: String = "benchmark") {
      logger = Logger(subsystem: subsystem, category: category)
    }

    public func record(_ row: BenchmarkRow) {
      logger.info("\(BenchmarkRow.csvHeader, privacy: .public): \(row.csv, privacy: .public)")
    }
  }
#endif
