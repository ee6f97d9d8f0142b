import DolphinRuntime
import Foundation
import Observation

/// A conversation as a screen shows it.
@MainActor @Observable public final class ChatModel {
  public struct Line: Identifiable, Equatable, Sendable {
    public let id: Int
    public let role: Message.Role
    public internal(set) var text: String
  }

  public enum State: Equatable {
    case idle
    /// Reading the prompt: a share between 0 and 1.
    case reading(Double)
    case answering
    case failed(String)
  }

  public private(set) var lines: [Line] = []
  public private(set) var state = State.idle
  /// Of the last answer.
  public private(set) var tokensPerSecond = 0.0
  public var options = GenerationOptions(maxTokens: 512, temperature: 0.7)
  private let file: URL
  private let model: DolphinModel
  private var session: ChatSession
  private var answer: Task<Void, Never>?

  /// `file`: where the conversation is kept; one that was kept goes on.
  public init(_ model: DolphinModel, file: URL) {
    self.model = model
    self.file = file
    let kept = (try? Data(contentsOf: file)).flatMap { try? JSONDecoder().decode(ChatSession.Snapshot.self, from: $0) }
    session = ChatSession(model, restoring: kept ?? ChatSession.Snapshot(), overflow: .shift)
    for message in kept?.history ?? [] { add(message.role, message.content) }
  }

  public var isAnswering: Bool { answer != nil }

  /// Returns when the answer is complete, or stopped.
  public func send(_ text: String) async {
    let text = text.trimmingCharacters(in: .whitespacesAndNewlines)
    guard !text.isEmpty, answer == nil else { return }
    add(.user, text)
    add(.assistant, "")
    state = .reading(0)
    let task = Task { await stream(text) }
    answer = task
    await task.value
    answer = nil
    await save()
  }

  /// Ends the answer within one token; what was said stays.
  public func stop() { answer?.cancel() }

  public func clear() async {
    stop()
    await answer?.value
    lines = []
    state = .idle
    session = ChatSession(model, overflow: .shift)
    await save()
  }

  /// Stops the answer, because the system would, and keeps the conversation.
  public func enterBackground() async {
    stop()
    await answer?.value
    await save()
  }

  /// Frees the KV cache; the next answer reads the conversation again.
  public func releaseMemory() async {
    await session.releaseMemory()
    await model.releaseMemory()
  }

  private func add(_ role: Message.Role, _ text: String) { lines.append(Line(id: lines.count, role: role, text: text)) }

  private func stream(_ text: String) async {
    let shown = lines.count - 1
    do {
      for try await event in session.streamDetails(to: text, options: options) {
        switch event {
        case .prefill(let done, let total): state = .reading(Double(done) / Double(max(total, 1)))
        case .token(_, let piece), .text(let piece):
          state = .answering
          lines[shown].text += piece
        case .finished(_, let metrics): tokensPerSecond = metrics.decodeTokensPerSecond
        }
      }
      await session.waitUntilIdle()
      await forgetUnanswered()
      state = .idle
    } catch {
      lines.removeLast(2)
      state = .failed(error.localizedDescription)
    }
  }

  /// A message that was stopped before the first token is no part of the conversation.
  private func forgetUnanswered() async {
    let history = await session.history
    if let last = lines.last, last.text.isEmpty, history.last?.role != .assistant || history.last?.content != "" {
      lines.removeLast(2)
    }
  }

  private func save() async {
    let snapshot = await session.snapshot
    try? JSONEncoder().encode(snapshot).write(to: file, options: .atomic)
  }
}
