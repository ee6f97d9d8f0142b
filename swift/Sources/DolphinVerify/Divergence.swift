import DolphinRuntime
import Foundation

/// How far the predictions of a model are from those of a reference, position by position; in nats.
struct Divergence {
  private(set) var positions = 0
  private(set) var maxKL = 0.0
  private var agreeing = 0
  private var sumKL = 0.0

  /// Kullback-Leibler divergence of the model from the reference.
  var meanKL: Double { positions == 0 ? 0 : sumKL / Double(positions) }
  /// Share of positions at which both have the same likeliest token.
  var agreement: Double { positions == 0 ? 0 : Double(agreeing) / Double(positions) }

  /// Throws where the two are of different lengths or hold something that is no number.
  mutating func add(reference: [Float], logits: [Float]) throws {
    guard reference.count == logits.count else {
      throw DolphinError.invalidInput(
        "the reference has a vocabulary of \(reference.count) tokens, the package one of \(logits.count); is it a "
          + "reference of this model?")
    }
    let agrees = try Sampler.largest(reference) == Sampler.largest(logits)
    let theirs = Self.moments(reference, logits)
    let ours = Self.moments(logits, logits)
    let kl = max(0, theirs.meanDifference - theirs.logSum + ours.logSum)
    positions += 1
    agreeing += agrees ? 1 : 0
    sumKL += kl
    maxKL = max(maxKL, kl)
  }

  /// log(sum(exp(x))), and the sum of exp(x - largest) * (x - y) over that of exp(x - largest).
  private static func moments(_ x: [Float], _ y: [Float]) -> (logSum: Double, meanDifference: Double) {
    let largest = x.max() ?? 0
    var sum = 0.0
    var weighted = 0.0
    for (a, b) in zip(x, y) {
      let e = exp(Double(a - largest))
      sum += e
      weighted += e * (Double(a) - Double(b))
    }
    return (Double(largest) + log(sum), weighted / sum)
  }
}
