import DolphinRuntime

/// A package's answer to a prompt, held against a reference's.
struct Transcript {
  /// What the package answers by itself, greedily.
  private(set) var tokens: [Int32] = []
  /// Leading tokens that are the reference's too.
  private(set) var common = 0
  private(set) var initMilliseconds = 0.0
  /// Of each token fed.
  private(set) var decodeMilliseconds: [Double] = []
  /// Share of the context in use at the end.
  private(set) var residency = 0.0

  /// Feeds the prompt and the reference's answer, calling `onRow` with the logits after the prompt and after each token of
  /// the answer. Where the package would have chosen another token, it then goes on from there alone, as long as the
  /// answer is. What the feeder held is forgotten.
  static func follow(
    _ prompt: Golden.Prompt, _ feeder: inout TokenFeeder, onRow: (Int, [Float]) throws -> Void
  ) async throws -> Transcript {
    var transcript = Transcript()
    feeder.rewind(to: 0)
    var (logits, milliseconds) = try await timed(prompt.tokens, &feeder)
    transcript.initMilliseconds = milliseconds
    try onRow(0, logits)
    for (i, token) in prompt.answer.enumerated() {
      if transcript.common == i, transcript.tokens.count == i {
        let own = try Sampler.largest(logits)
        transcript.tokens.append(own)
        if own == token { transcript.common += 1 }
      }
      (logits, milliseconds) = try await timed([token], &feeder)
      transcript.decodeMilliseconds.append(milliseconds)
      try onRow(i + 1, logits)
    }
    transcript.residency = Double(feeder.tokens.count) / Double(feeder.context)
    if transcript.common == prompt.answer.count { return transcript }
    feeder.rewind(to: prompt.tokens.count + transcript.common)
    while transcript.tokens.count < prompt.answer.count {
      let last = transcript.tokens[transcript.tokens.count - 1]
      transcript.tokens.append(try Sampler.largest(try await feeder.feed([last])))
    }
    return transcript
  }

  private static func timed(_ tokens: [Int32], _ feeder: inout TokenFeeder) async throws -> ([Float], Double) {
    let start = ContinuousClock.now
    let logits = try await feeder.feed(tokens)
    return (logits, (ContinuousClock.now - start).seconds * 1000)
  }
}
