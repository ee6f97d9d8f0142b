/// An answer as it grows. Text that may begin a stop sequence is held back until that is settled.
struct Answer: Sendable {
  private(set) var tokens: [Int32] = []
  private(set) var text = ""
  private(set) var isStopped = false
  var metrics = GenerationMetrics()
  private var decoder: StreamDecoder
  private var held = ""
  private let stopSequences: [String]

  init(tokenizer: any TextTokenizer, stopSequences: [String]) {
    decoder = StreamDecoder(tokenizer)
    self.stopSequences = stopSequences.filter { !$0.isEmpty }
  }

  /// The text that may be shown now.
  mutating func append(_ token: Int32) throws -> String {
    tokens.append(token)
    held += try decoder.push(token)
    return release()
  }

  /// What was held back.
  mutating func finish() -> String {
    if isStopped { return "" }
    held += decoder.finish()
    let shown = release()
    let rest = isStopped ? "" : held
    text += rest
    return shown + rest
  }

  private mutating func release() -> String {
    if let stop = stopSequences.compactMap({ held.firstIndex(of: $0) }).min() {
      isStopped = true
      let shown = String(held[..<stop])
      text += shown
      held = ""
      return shown
    }
    let shown = String(held.dropLast(heldBack()))
    held.removeFirst(shown.count)
    text += shown
    return shown
  }

  /// Characters at the end that begin a stop sequence.
  private func heldBack() -> Int {
    let longest = min(held.count, (stopSequences.map(\.count).max() ?? 1) - 1)
    guard longest > 0 else { return 0 }
    return (1...longest).reversed().first { length in
      let tail = held.suffix(length)
      return stopSequences.contains { $0.hasPrefix(tail) }
    } ?? 0
  }
}

extension String {
  fileprivate func firstIndex(of sequence: String) -> Index? { firstRange(of: sequence)?.lowerBound }
}
