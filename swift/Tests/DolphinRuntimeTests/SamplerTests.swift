import Testing

@testable import DolphinRuntime

@Suite struct Sampling {
  private let logits: [Float] = [1, 3, 3, 0.5]

  private func options(_ set: (inout SamplingOptions) -> Void) -> SamplingOptions {
    var options = SamplingOptions()
    set(&options)
    return options
  }

  @Test func theGeneratorIsTheStandardsOne() {
    var random = MersenneTwister(seed: 5489)
    for _ in 1..<10_000 { _ = random.next() }
    #expect(random.next() == 9_981_545_732_273_789_042)
  }

  @Test func temperatureZeroTakesTheLowestOfTheLikeliest() throws {
    var sampler = try Sampler(SamplingOptions())
    #expect(try sampler.pick(logits, history: []) == 1)
  }

  @Test func theRepetitionPenaltyMakesWhatWasSaidUnlikely() throws {
    var sampler = try Sampler(options { $0.repetitionPenalty = 2 })
    #expect(try sampler.pick(logits, history: [1, 1, 99, -1]) == 2)
  }

  @Test func aSeedGivesTheSameTokens() throws {
    var a = try Sampler(options { ($0.temperature, $0.seed) = (1, 7) })
    var b = a
    for _ in 0..<50 { #expect(try a.pick(logits, history: []) == b.pick(logits, history: [])) }
  }

  @Test func topKTopPAndMinPCutTheTail() throws {
    for set: (inout SamplingOptions) -> Void in [{ $0.topK = 2 }, { $0.topP = 0.8 }, { $0.minP = 0.5 }] {
      var sampler = try Sampler(
        options {
          $0.temperature = 1
          set(&$0)
        })
      var seen: Set<Int32> = []
      for _ in 0..<200 { seen.insert(try sampler.pick(logits, history: [])) }
      #expect(seen == [1, 2])
    }
  }

  @Test func valuesOutOfRangeAndLogitsThatAreNoNumbersAreRefused() throws {
    #expect(throws: DolphinError.self) { try Sampler(options { $0.temperature = -1 }) }
    #expect(throws: DolphinError.self) { try Sampler(options { $0.topP = 0 }) }
    var sampler = try Sampler(SamplingOptions())
    #expect(throws: DolphinError.self) { try sampler.pick([1, .nan], history: []) }
    #expect(throws: DolphinError.self) { try sampler.pick([], history: []) }
  }

  @Test func halvesAreWidenedExactly() {
    let pairs: [(UInt16, Float)] = [
      (0, 0), (0x3C00, 1), (0xC000, -2), (0x0001, 0x1p-24), (0x7BFF, 65504), (0x7C00, .infinity),
    ]
    for (half, value) in pairs { #expect(HalfPrecision.float(half) == value) }
    #expect(HalfPrecision.float(0x7E00).isNaN)
  }
}
