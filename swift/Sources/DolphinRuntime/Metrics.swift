import Foundation

/// What took how long: reported when it is over.
public struct MetricsEvent: Codable, Sendable, Equatable {
  public enum Kind: String, Codable, Sendable {
    case load, answer, embedding
  }

  public let kind: Kind
  public let start: Date
  public var seconds = 0.0
  /// Of an answer.
  public var answer: GenerationMetrics?
  public var finish: FinishReason?
  /// Of an embedding: how many.
  public var texts: Int?
  /// What was thrown, if it failed.
  public var failure: String?
}

/// Receives what a model does. A production app may leave one on: calls are few, and must return at once.
public protocol MetricsSink: Sendable {
  /// `id` is the same when it is over.
  func began(_ kind: MetricsEvent.Kind, id: UUID)
  func ended(_ event: MetricsEvent, id: UUID)
}

extension MetricsSink {
  public func began(_ kind: MetricsEvent.Kind, id: UUID) {}
}

/// From its making until `end`.
struct MetricsSpan: Sendable {
  private let sink: (any MetricsSink)?
  private let id = UUID()
  private let start = ContinuousClock.now
  private let event: MetricsEvent

  init(_ sink: (any MetricsSink)?, _ kind: MetricsEvent.Kind) {
    self.sink = sink
    event = MetricsEvent(kind: kind, start: Date())
    sink?.began(kind, id: id)
  }

  func end(_ describe: (inout MetricsEvent) -> Void = { _ in }) {
    guard let sink else { return }
    var event = event
    event.seconds = (ContinuousClock.now - start).seconds
    describe(&event)
    sink.ended(event, id: id)
  }

  func end(throwing error: any Error) { end { $0.failure = "\(error)" } }
}

/// Appends one JSON object per line to a file.
public final class JSONLinesSink: MetricsSink {
  private let url: URL
  private let lock = NSLock()

  public init(_ url: URL) { self.url = url }

  /// What cannot be written is lost: measuring stops nobody.
  public func ended(_ event: MetricsEvent, id: UUID) { try? append(event) }

  public func append(_ value: some Encodable) throws {
    let encoder = JSONEncoder()
    encoder.dateEncodingStrategy = .iso8601
    encoder.outputFormatting = .sortedKeys
    let line = try encoder.encode(value) + Data("\n".utf8)
    try lock.withLock { try line.append(to: url) }
  }
}

extension Data {
  /// To the end of a file, which need not exist.
  package func append(to url: URL) throws {
    if !FileManager.default.fileExists(atPath: url.path) { return try write(to: url) }
    let file = try FileHandle(forWritingTo: url)
    defer { try? file.close() }
    try file.seekToEnd()
    try file.write(contentsOf: self)
  }
}

#if canImport(os)
  import os

  /// Writes to the system's log, and marks intervals for Instruments.
  public final class OSLogSink: MetricsSink {
    private let logger: Logger
    private let signposter: OSSignposter
    private let open = OSAllocatedUnfairLock<[UUID: OSSignpostIntervalState]>(uncheckedState: [:])

    public init(subsystem: String, category: String = "dolphin") {
      logger = Logger(subsystem: subsystem, category: category)
      signposter = OSSignposter(subsystem: subsystem, category: category)
    }

    public func began(_ kind: MetricsEvent.Kind, id: UUID) {
      let signpost = signposter.makeSignpostID()
      let state =
        switch kind {
        case .load: signposter.beginInterval("load", id: signpost)
        case .answer: signposter.beginInterval("answer", id: signpost)
        case .embedding: signposter.beginInterval("embedding", id: signpost)
        }
      open.withLockUnchecked { $0[id] = state }
    }

    public func ended(_ event: MetricsEvent, id: UUID) {
      if let state = open.withLockUnchecked({ $0.removeValue(forKey: id) }) {
        switch event.kind {
        case .load: signposter.endInterval("load", state)
        case .answer: signposter.endInterval("answer", state)
        case .embedding: signposter.endInterval("embedding", state)
        }
      }
      log("\(event.kind.rawValue) \(event.seconds) s \(event.failure ?? "")")
    }

    /// Public in the log: what is measured is no user's text.
    public func log(_ text: String) { logger.info("\(text, privacy: .public)") }
  }
#endif
