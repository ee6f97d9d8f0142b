import Foundation

/// How a session answers.
public struct GenerationOptions: Sendable, Equatable {
  public var maxTokens = 512
  public var sampling = SamplingOptions()
  /// Texts that end the answer; they are not part of it.
  public var stopSequences: [String] = []

  public init() {}

  public init(maxTokens: Int = 512, temperature: Double = 0, topP: Double = 1, seed: UInt64 = 0) {
    self.maxTokens = maxTokens
    sampling.temperature = temperature
    sampling.topP = topP
    sampling.seed = seed
  }
}

public enum FinishReason: String, Sendable, Codable {
  case stop, length, context, cancelled
}

/// What one answer took.
public struct GenerationMetrics: Sendable, Codable, Equatable {
  public var promptTokens = 0
  /// Of these, in the cache from earlier turns.
  public var reusedTokens = 0
  /// Of turns that the overflow policy `shift` forgot.
  public var evictedTokens = 0
  public var generatedTokens = 0
  public var prefillSeconds = 0.0
  /// From the request to the first token.
  public var firstTokenSeconds = 0.0
  public var decodeSeconds = 0.0

  public var prefillTokensPerSecond: Double { rate(promptTokens - reusedTokens, prefillSeconds) }
  public var decodeTokensPerSecond: Double { rate(generatedTokens - 1, decodeSeconds) }

  private func rate(_ count: Int, _ seconds: Double) -> Double {
    seconds > 0 && count > 0 ? Double(count) / seconds : 0
  }
}

/// What `ChatSession.streamDetails` reports.
public enum ChatEvent: Sendable {
  case prefill(done: Int, total: Int)
  /// A token, and the text that became whole with it: a piece to be appended, often "".
  case token(Int32, text: String)
  /// Text that was held back to the end, because it might have become a stop sequence or another character.
  case text(String)
  case finished(FinishReason, GenerationMetrics)
}

/// What happens when a conversation outgrows the model's context.
public enum OverflowPolicy: String, Sendable, Codable {
  /// A message that does not fit is refused; an answer ends where the context does.
  case error
  /// The oldest turns are forgotten, never the instructions.
  case shift
}

/// A conversation. One answer at a time; separate sessions of one model may run at once.
///
///     for try await piece in session.streamResponse(to: "Hello") { print(piece, terminator: "") }
public actor ChatSession {
  /// A conversation to be stored; a restored session reads it again when it answers next.
  public struct Snapshot: Codable, Sendable, Equatable {
    public var instructions: String?
    public var history: [Message]
    public var variant: String?

    public init(instructions: String? = nil, history: [Message] = [], variant: String? = nil) {
      self.instructions = instructions
      self.history = history
      self.variant = variant
    }
  }

  /// A shift leaves this share of the context to the answer: less would shift again soon.
  private static let answerShare = 4

  public let instructions: String?
  public private(set) var history: [Message]
  public let variant: String?
  private let model: DolphinModel
  private let overflow: OverflowPolicy
  private var feeder: TokenFeeder?
  private var isAnswering = false
  private var waiting: [CheckedContinuation<Void, Never>] = []

  /// `variant`: one of `model.variants`; nil: the package's main adapters.
  public init(
    _ model: DolphinModel, instructions: String? = nil, history: [Message] = [], variant: String? = nil,
    overflow: OverflowPolicy = .error
  ) {
    self.model = model
    self.variant = variant
    self.instructions = instructions
    self.history = history
    self.overflow = overflow
  }

  public init(_ model: DolphinModel, restoring snapshot: Snapshot, overflow: OverflowPolicy = .error) {
    self.init(
      model, instructions: snapshot.instructions, history: snapshot.history, variant: snapshot.variant,
      overflow: overflow)
  }

  public var snapshot: Snapshot { Snapshot(instructions: instructions, history: history, variant: variant) }

  /// The whole answer. Cancelling the task ends it within one token and throws `CancellationError`.
  public func respond(to message: String, options: GenerationOptions = .init()) async throws -> String {
    var text = ""
    for try await piece in streamResponse(to: message, options: options) { text += piece }
    try Task.checkCancellation()
    return text
  }

  /// The answer in pieces to be appended. Ending the iteration cancels the rest within one token.
  public nonisolated func streamResponse(
    to message: String, options: GenerationOptions = .init()
  ) -> AsyncThrowingStream<String, any Error> {
    stream { continuation in
      try await self.answer(message, options) { event in
        switch event {
        case .token(_, let text), .text(let text): if !text.isEmpty { continuation.yield(text) }
        case .prefill, .finished: break
        }
      }
    }
  }

  /// Every token, the progress through the prompt, and what the answer took.
  public nonisolated func streamDetails(
    to message: String, options: GenerationOptions = .init()
  ) -> AsyncThrowingStream<ChatEvent, any Error> {
    stream { continuation in
      try await self.answer(message, options) { continuation.yield($0) }
    }
  }

  private nonisolated func stream<Element: Sendable>(
    _ produce: @escaping @Sendable (AsyncThrowingStream<Element, any Error>.Continuation) async throws -> Void
  ) -> AsyncThrowingStream<Element, any Error> {
    AsyncThrowingStream { continuation in
      let task = Task {
        do {
          try await produce(continuation)
          continuation.finish()
        } catch {
          continuation.finish(throwing: error)
        }
      }
      continuation.onTermination = { _ in task.cancel() }
    }
  }

  /// Returns once no answer is under way: after cancelling one, and before the next.
  public func waitUntilIdle() async {
    if isAnswering { await withCheckedContinuation { waiting.append($0) } }
  }

  /// Lets go of the KV cache, unless an answer is under way; the next answer reads the whole conversation again.
  public func releaseMemory() {
    if !isAnswering { feeder = nil }
  }

  // MARK: - Answering

  private func becomeIdle() {
    isAnswering = false
    for continuation in waiting { continuation.resume() }
    waiting = []
  }

  private func answer(
    _ message: String, _ options: GenerationOptions, _ report: @Sendable (ChatEvent) -> Void
  ) async throws {
    guard !isAnswering else { throw DolphinError.busy }
    guard options.maxTokens > 0 else { throw DolphinError.invalidArgument("maxTokens must be above 0") }
    isAnswering = true
    defer { becomeIdle() }
    let before = history
    let span = MetricsSpan(model.metrics, .answer)
    history.append(Message(.user, message))
    var answer = Answer(tokenizer: model.tokenizer, stopSequences: options.stopSequences)
    do {
      let reason: FinishReason
      do {
        reason = try await generate(&answer, options, report)
      } catch is CancellationError {
        reason = .cancelled
      }
      let rest = answer.finish()
      if !rest.isEmpty { report(.text(rest)) }
      if answer.tokens.isEmpty, reason == .cancelled {
        history = before
      } else {
        history.append(Message(.assistant, answer.text))
      }
      span.end { ($0.answer, $0.finish) = (answer.metrics, reason) }
      report(.finished(reason, answer.metrics))
    } catch {
      span.end(throwing: error)
      history = before
      throw error
    }
  }

  private func generate(
    _ answer: inout Answer, _ options: GenerationOptions, _ report: @Sendable (ChatEvent) -> Void
  ) async throws -> FinishReason {
    let start = ContinuousClock.now
    var sampler = try Sampler(options.sampling)
    var feeder = try await takeFeeder()
    defer { self.feeder = feeder }
    guard var logits = try await readPrompt(&feeder, &answer, options, report) else {
      throw DolphinError.contextOverflow(needed: try prompt(answer).count, context: feeder.context)
    }
    answer.metrics.prefillSeconds = (ContinuousClock.now - start).seconds
    while answer.tokens.count < options.maxTokens {
      let token = try sampler.pick(logits, history: feeder.tokens)
      if answer.tokens.isEmpty { answer.metrics.firstTokenSeconds = (ContinuousClock.now - start).seconds }
      if model.stopTokens.contains(token) { return .stop }
      report(.token(token, text: try answer.append(token)))
      answer.metrics.generatedTokens = answer.tokens.count
      answer.metrics.decodeSeconds = (ContinuousClock.now - start).seconds - answer.metrics.firstTokenSeconds
      if answer.isStopped { return .stop }
      if answer.tokens.count == options.maxTokens { return .length }
      try Task.checkCancellation()
      if feeder.remaining > 0 {
        logits = try await feeder.feed([token])
      } else if let more = try await readPrompt(&feeder, &answer, options, report) {
        logits = more
      } else {
        return .context
      }
    }
    return .length
  }

  private func takeFeeder() async throws -> TokenFeeder {
    if let feeder { return feeder }
    return try await TokenFeeder(model.backend, variant: variant)
  }

  /// Feeds the conversation with the answer so far, from where the cache differs; nothing where it does not fit.
  private func readPrompt(
    _ feeder: inout TokenFeeder, _ answer: inout Answer, _ options: GenerationOptions,
    _ report: @Sendable (ChatEvent) -> Void
  ) async throws -> [Float]? {
    let left = options.maxTokens - answer.tokens.count
    guard let prompt = try fittedPrompt(feeder.context, &answer, reserve: left) else { return nil }
    // The last token is always fed: its logits are wanted.
    let reused = min(zip(prompt, feeder.tokens).prefix { $0 == $1 }.count, prompt.count - 1)
    if answer.tokens.isEmpty {
      answer.metrics.promptTokens = prompt.count
      answer.metrics.reusedTokens = reused
    }
    feeder.rewind(to: reused)
    return try await feeder.feed(Array(prompt[reused...])) { report(.prefill(done: reused + $0, total: prompt.count)) }
  }

  private func fittedPrompt(_ context: Int, _ answer: inout Answer, reserve: Int) throws -> [Int32]? {
    var tokens = try prompt(answer)
    let whole = tokens.count
    if overflow == .shift {
      let reserve = min(reserve, context / Self.answerShare)
      while tokens.count + reserve > context, history.count >= 3 {
        history.removeFirst(2)
        tokens = try prompt(answer)
      }
    }
    answer.metrics.evictedTokens += whole - tokens.count
    return tokens.count <= context ? tokens : nil
  }

  private func prompt(_ answer: Answer) throws -> [Int32] {
    guard let template = model.template else {
      throw DolphinError.invalidInput(
        "the model has no chat template that is known here; set configuration.template, or --chat-template")
    }
    let system = instructions.map { [Message(.system, $0)] } ?? []
    let text = template.render(system + history)
    return try model.tokenizer.encode(text, addSpecial: false, parseSpecial: true) + answer.tokens
  }
}

extension Duration {
  /// For reports.
  public var seconds: Double { Double(components.seconds) + Double(components.attoseconds) * 1e-18 }
}
