/// Linear interpolation between the closest ranks, as the converter's reports have it; 0 of nothing.
package func percentile(_ samples: [Double], _ percent: Double) -> Double {
  guard !samples.isEmpty else { return 0 }
  let sorted = samples.sorted()
  let rank = percent / 100 * Double(sorted.count - 1)
  let below = Int(rank)
  let above = min(below + 1, sorted.count - 1)
  return sorted[below] + (rank - Double(below)) * (sorted[above] - sorted[below])
}
