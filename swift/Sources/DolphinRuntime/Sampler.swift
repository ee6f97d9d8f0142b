import Foundation

/// How the next token is chosen.
public struct SamplingOptions: Sendable, Equatable, Codable {
  /// 0: the likeliest token, always.
  public var temperature = 0.0
  /// 0: all tokens.
  public var topK = 0
  /// The fewest likeliest tokens that hold this share of the probability.
  public var topP = 1.0
  /// Tokens at least this likely, relative to the likeliest.
  public var minP = 0.0
  /// 1: none; above, what has been said gets less likely.
  public var repetitionPenalty = 1.0
  public var seed: UInt64 = 0

  public init() {}
}

/// Chooses tokens as the converter's `chat` does: the same seed and logits give the same tokens.
///
/// Equal logits are ordered by id, probabilities are whole multiples of 2^-40, the generator is mt19937_64.
public struct Sampler: Sendable {
  private struct Candidate {
    let token: Int32
    let logit: Float
    var weight: UInt64
  }

  private static let weightBits = 40
  /// Below the largest logit by this many temperatures, a token's weight rounds to nothing: 2^40 e^-29 < 1/2.
  private static let reach = 29.0

  private let options: SamplingOptions
  private var random: MersenneTwister

  public init(_ options: SamplingOptions) throws {
    func check(_ fits: Bool, _ name: String, _ range: String) throws {
      if !fits { throw DolphinError.invalidArgument("\(name) must be \(range)") }
    }
    try check(options.temperature.isFinite && options.temperature >= 0, "temperature", "0 or more")
    try check(options.topK >= 0, "topK", "0 (all) or more")
    try check(options.topP > 0 && options.topP <= 1, "topP", "above 0 and at most 1")
    try check(options.minP >= 0 && options.minP <= 1, "minP", "between 0 and 1")
    try check(
      options.repetitionPenalty.isFinite && options.repetitionPenalty > 0, "repetitionPenalty", "above 0")
    self.options = options
    random = MersenneTwister(seed: options.seed)
  }

  /// `history`: the tokens that the repetition penalty counts as said.
  public mutating func pick(_ logits: [Float], history: [Int32]) throws -> Int32 {
    let logits = penalized(logits, history)
    let best = try Self.largest(logits)
    if options.temperature == 0 { return best }
    var candidates = weighed(logits, largest: logits[Int(best)])
    keepTopP(&candidates)
    keepMinP(&candidates)
    return draw(candidates)
  }

  /// The token of the largest logit, the lowest id among equals.
  package static func largest(_ logits: [Float]) throws -> Int32 {
    var best = 0
    var isNumber = !logits.isEmpty
    logits.withUnsafeBufferPointer { values in
      for i in values.indices {
        if values[i].isNaN { isNumber = false }
        if values[i] > values[best] { best = i }
      }
    }
    guard isNumber else {
      throw DolphinError.predictionFailed(
        "the package computed logits that are no numbers; convert it with graph.precision = \"fp32\"")
    }
    return Int32(best)
  }

  private func penalized(_ logits: [Float], _ history: [Int32]) -> [Float] {
    guard options.repetitionPenalty != 1 else { return logits }
    let penalty = Float(options.repetitionPenalty)
    var out = logits
    for token in Set(history) where token >= 0 && Int(token) < out.count {
      let logit = out[Int(token)]
      out[Int(token)] = logit > 0 ? logit / penalty : logit * penalty
    }
    return out
  }

  /// The top k with a weight, likeliest first.
  private func weighed(_ logits: [Float], largest: Float) -> [Candidate] {
    var candidates: [Candidate] = []
    let least = Double(largest) - Self.reach * options.temperature
    for (token, logit) in logits.enumerated() where logit == largest || Double(logit) >= least {
      let p = logit == largest ? 1 : exp((Double(logit) - Double(largest)) / options.temperature)
      let weight = UInt64((p * Double(UInt64(1) << Self.weightBits)).rounded(.toNearestOrAwayFromZero))
      candidates.append(Candidate(token: Int32(token), logit: logit, weight: weight))
    }
    candidates.sort { $0.logit != $1.logit ? $0.logit > $1.logit : $0.token < $1.token }
    return options.topK == 0 ? candidates : Array(candidates.prefix(options.topK))
  }

  private func keepTopP(_ candidates: inout [Candidate]) {
    if options.topP == 1 { return }
    let wanted = options.topP * Double(candidates.reduce(0) { $0 + $1.weight })
    var sum: UInt64 = 0
    var kept = 0
    while kept < candidates.count, Double(sum) < wanted {
      sum += candidates[kept].weight
      kept += 1
    }
    candidates.removeSubrange(kept...)
  }

  private func keepMinP(_ candidates: inout [Candidate]) {
    let least = options.minP * Double(candidates[0].weight)
    let end = candidates.firstIndex { Double($0.weight) < least } ?? candidates.count
    candidates.removeSubrange(end...)
  }

  private mutating func draw(_ candidates: [Candidate]) -> Int32 {
    let total = candidates.reduce(0) { $0 + $1.weight }
    // Numbers beyond the last whole multiple of the total would favour the first tokens.
    let end = UInt64.max - UInt64.max % total
    var point = random.next()
    while point >= end { point = random.next() }
    point %= total
    for candidate in candidates {
      if point < candidate.weight { return candidate.token }
      point -= candidate.weight
    }
    return candidates[0].token
  }
}

/// The C++ standard's mt19937_64.
struct MersenneTwister: RandomNumberGenerator, Sendable {
  private var state: [UInt64]
  private var index = 312

  init(seed: UInt64) {
    state = [seed]
    for i in 1..<312 { state.append(6_364_136_223_846_793_005 &* (state[i - 1] ^ state[i - 1] >> 62) &+ UInt64(i)) }
  }

  mutating func next() -> UInt64 {
    if index == 312 { refill() }
    var x = state[index]
    index += 1
    x ^= x >> 29 & 0x5555_5555_5555_5555
    x ^= x << 17 & 0x71D6_7FFF_EDA6_0000
    x ^= x << 37 & 0xFFF7_EEE0_0000_0000
    return x ^ x >> 43
  }

  private mutating func refill() {
    for i in 0..<312 {
      let x = state[i] & 0xFFFF_FFFF_8000_0000 | state[(i + 1) % 312] & 0x7FFF_FFFF
      state[i] = state[(i + 156) % 312] ^ x >> 1 ^ (x & 1 == 0 ? 0 : 0xB502_6F5A_A966_19E9)
    }
    index = 0
  }
}
