import DolphinRuntime
import Foundation
import Testing

private func metrics(
  _ session: ChatSession, _ message: String, _ options: GenerationOptions = .init()
) async throws -> (FinishReason, GenerationMetrics) {
  for try await event in session.streamDetails(to: message, options: options) {
    if case .finished(let reason, let metrics) = event { return (reason, metrics) }
  }
  throw CancellationError()
}

@Suite(.timeLimit(.minutes(2))) struct AChatSession {
  @Test func answersAndRemembers() async throws {
    let session = ChatSession(try fakeModel(), instructions: "Be brief.")
    #expect(try await session.respond(to: "Hi") == "1: naïve 🐬.")
    #expect(try await session.respond(to: "Again") == "2: naïve 🐬.")
    #expect(await session.history.map(\.role) == [.user, .assistant, .user, .assistant])
  }

  @Test func streamsWholeCharacters() async throws {
    var pieces: [String] = []
    for try await piece in ChatSession(try fakeModel()).streamResponse(to: "Hi") { pieces.append(piece) }
    #expect(pieces == "1: naïve 🐬.".map(String.init))
  }

  @Test func readsOnlyWhatIsNewOfTheNextTurn() async throws {
    let session = ChatSession(try fakeModel())
    _ = try await session.respond(to: "Hi")
    let (reason, metrics) = try await metrics(session, "Again")
    #expect(reason == .stop)
    #expect(metrics.reusedTokens >= "user\nHiassistant\n1: naïve 🐬.".utf8.count)
    #expect(metrics.reusedTokens < metrics.promptTokens)
  }

  @Test func stopsAtTheLengthAskedFor() async throws {
    let session = ChatSession(try fakeModel())
    let (reason, metrics) = try await metrics(session, "Hi", .init(maxTokens: 3))
    #expect(reason == .length)
    #expect(metrics.generatedTokens == 3)
    #expect(await session.history.last?.content == "1: ")
  }

  @Test func stopSequencesEndTheAnswerAndAreNotShown() async throws {
    var options = GenerationOptions()
    options.stopSequences = ["ïve", "never"]
    #expect(try await ChatSession(try fakeModel()).respond(to: "Hi", options: options) == "1: na")
  }

  @Test func eachTokenIsReportedOnce() async throws {
    var options = GenerationOptions(maxTokens: 5)
    options.stopSequences = ["a very long one"]
    var tokens: [Int32] = []
    var text = ""
    for try await event in ChatSession(try fakeModel()).streamDetails(to: "Hi", options: options) {
      switch event {
      case .token(let token, let piece):
        tokens.append(token)
        text += piece
      case .text(let piece): text += piece
      case .prefill: break
      case .finished(_, let metrics): #expect(metrics.generatedTokens == tokens.count)
      }
    }
    #expect(tokens == "1: na".utf8.map { Int32($0) })
    #expect(text == "1: na")
  }

  @Test func endingTheIterationEndsTheAnswerWithinATokenAndKeepsWhatWasSaid() async throws {
    let backend = FakeBackend(delay: .milliseconds(20))
    let session = ChatSession(try fakeModel(backend))
    for try await _ in session.streamResponse(to: "Hi") { break }
    await session.waitUntilIdle()
    let calls = backend.log.count
    try await Task.sleep(for: .milliseconds(100))
    #expect(backend.log.count == calls)
    #expect(await session.history.count == 2)
    #expect(try await session.respond(to: "Again") == "2: naïve 🐬.")
  }

  @Test func cancellingTheTaskThrows() async throws {
    let session = ChatSession(try fakeModel(FakeBackend(delay: .seconds(1))))
    let task = Task { try await session.respond(to: "Hi") }
    try await Task.sleep(for: .milliseconds(50))
    task.cancel()
    await #expect(throws: CancellationError.self) { try await task.value }
  }

  @Test func refusesASecondQuestionMeanwhile() async throws {
    let session = ChatSession(try fakeModel(FakeBackend(delay: .milliseconds(20))))
    var isFirst = true
    for try await _ in session.streamResponse(to: "Hi") where isFirst {
      isFirst = false
      await #expect(throws: DolphinError.busy) { try await session.respond(to: "Me too") }
    }
    #expect(await session.history.count == 2)
  }

  @Test func sessionsOfOneModelDoNotMix() async throws {
    let model = try fakeModel(FakeBackend(delay: .milliseconds(1)))
    try await withThrowingTaskGroup(of: [String].self) { group in
      for _ in 0..<4 {
        group.addTask {
          let session = ChatSession(model)
          return [try await session.respond(to: "a"), try await session.respond(to: "b")]
        }
      }
      for try await answers in group { #expect(answers == ["1: naïve 🐬.", "2: naïve 🐬."]) }
    }
  }

  @Test func isRestoredFromASnapshot() async throws {
    let model = try fakeModel()
    let session = ChatSession(model, instructions: "Be brief.")
    _ = try await session.respond(to: "Hi")
    let stored = try JSONEncoder().encode(await session.snapshot)
    let restored = ChatSession(model, restoring: try JSONDecoder().decode(ChatSession.Snapshot.self, from: stored))
    #expect(await restored.snapshot == session.snapshot)
    #expect(try await restored.respond(to: "Again") == "2: naïve 🐬.")
  }

  @Test func refusesAMessageThatDoesNotFitAndGoesOn() async throws {
    let session = ChatSession(try fakeModel(FakeBackend(context: 100)))
    let long = String(repeating: "x", count: 200)
    await #expect(throws: DolphinError.self) { try await session.respond(to: long) }
    #expect(await session.history.isEmpty)
    #expect(try await session.respond(to: "Hi") == "1: naïve 🐬.")
  }

  @Test func endsWhereTheContextEnds() async throws {
    let session = ChatSession(try fakeModel(FakeBackend(context: 24, prefill: 8)))
    let (reason, metrics) = try await metrics(session, "H")
    #expect(reason == .context)
    #expect(metrics.promptTokens + metrics.generatedTokens == 25)
  }

  @Test func forgetsTheOldestTurnsIfAskedTo() async throws {
    let session = ChatSession(try fakeModel(FakeBackend(context: 130)), overflow: .shift)
    for _ in 0..<6 { #expect(try await session.respond(to: "Hello").hasSuffix(": naïve 🐬.")) }
    #expect(await session.history.count < 12)
  }

  @Test func cancellingWhileThePromptIsReadLeavesNothingBehind() async throws {
    let backend = FakeBackend(prefill: 4, delay: .milliseconds(20))
    let session = ChatSession(try fakeModel(backend))
    for try await event in session.streamDetails(to: String(repeating: "x", count: 100)) {
      if case .prefill = event { break }
    }
    await session.waitUntilIdle()
    #expect(backend.log.count < 20)  // of some thirty
    #expect(await session.history.isEmpty)
    #expect(try await session.respond(to: "Hi") == "1: naïve 🐬.")
  }

  @Test func cancellingOneSessionLeavesTheOthers() async throws {
    let model = try fakeModel(FakeBackend(delay: .milliseconds(2)))
    try await withThrowingTaskGroup(of: Void.self) { group in
      for i in 0..<8 {
        group.addTask {
          let session = ChatSession(model)
          if i.isMultiple(of: 2) {
            for try await _ in session.streamResponse(to: "a") { break }
            await session.waitUntilIdle()
          }
          #expect(try await session.respond(to: "b").hasSuffix(": naïve 🐬."))
        }
      }
      try await group.waitForAll()
    }
  }

  @Test func aSessionIsRestoredWhereItWasAlsoAfterACancelledAnswer() async throws {
    let backend = FakeBackend(delay: .milliseconds(5))
    let model = try fakeModel(backend)
    let session = ChatSession(model)
    for try await _ in session.streamResponse(to: "Hi") { break }
    await session.waitUntilIdle()
    let restored = ChatSession(model, restoring: await session.snapshot, overflow: .shift)
    #expect(try await restored.respond(to: "Again") == session.respond(to: "Again"))
  }

  @Test func goesOnAfterItsCacheWasReleased() async throws {
    let session = ChatSession(try fakeModel())
    _ = try await session.respond(to: "Hi")
    await session.releaseMemory()
    let (_, metrics) = try await metrics(session, "Again")
    #expect(metrics.reusedTokens == 0)
    #expect(await session.history.last?.content == "2: naïve 🐬.")
  }

  @Test func olderSnapshotsAreRead() throws {
    let stored = Data(#"{"history":[{"role":"user","content":"Hi"}]}"#.utf8)
    let snapshot = try JSONDecoder().decode(ChatSession.Snapshot.self, from: stored)
    #expect(snapshot == .init(instructions: nil, history: [Message(.user, "Hi")], variant: nil))
  }

  @Test func packagesOfAnotherFormAreRefused() async throws {
    #expect(throws: DolphinError.self) { try fakeModel(FakeBackend(metadata: ["d2c.model": "[1"])) }
    #expect(throws: DolphinError.self) { try fakeModel(FakeBackend(metadata: ["d2c.encoder": #"{"pooling":"?"}"#])) }
    #expect(throws: DolphinError.self) { try fakeModel(FakeBackend(encoders: [:])).embeddings }
    #expect(throws: DolphinError.self) { try fakeModel(FakeBackend(encoders: ["encode": [32]])).embeddings }
    for backend in [FakeBackend(prefill: 0), FakeBackend(context: 0)] {
      let session = ChatSession(try fakeModel(backend))
      await #expect(throws: DolphinError.self) { try await session.respond(to: "Hi") }
    }
  }
}
