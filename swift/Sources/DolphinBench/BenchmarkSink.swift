import DolphinRuntime
import Foundation

/// Receives the rows of a benchmark as they are made.
public protocol BenchmarkSink: Sendable {
  func record(_ row: BenchmarkRow) throws
}

extension JSONLinesSink: BenchmarkSink {
  public func record(_ row: BenchmarkRow) throws { try append(row) }
}

/// Appends to a CSV file, whose first five columns are those of the original benchmark.
public final class CSVSink: BenchmarkSink {
  private let url: URL
  private let lock = NSLock()

  public init(_ url: URL) { self.url = url }

  public func record(_ row: BenchmarkRow) throws {
    try lock.withLock {
      let isNew = !FileManager.default.fileExists(atPath: url.path)
      try Data(((isNew ? BenchmarkRow.csvHeader + "\n" : "") + row.csv + "\n").utf8).append(to: url)
    }
  }
}

#if canImport(os)
  extension OSLogSink: BenchmarkSink {
    public func record(_ row: BenchmarkRow) { log("\(BenchmarkRow.csvHeader): \(row.csv)") }
  }
#endif
