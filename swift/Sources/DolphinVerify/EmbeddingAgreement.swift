/// How well a set of embeddings keeps what a reference's set says. Both sets are of one shape.
struct EmbeddingAgreement {
  /// Of each embedding with the reference's; 0 where one is all zeros, no number where one holds none.
  let cosines: [Double]
  /// The same once each set's own mean is taken off: pooled vectors are all alike, and what tells them apart is small.
  /// Empty for a single one.
  let centredCosines: [Double]
  /// Between the two sets' similarities of all pairs; nothing for fewer than three.
  let rankCorrelation: Double?

  init(reference: [[Float]], embeddings: [[Float]]) {
    cosines = zip(reference, embeddings).map(Self.cosine)
    centredCosines =
      reference.count > 1 ? zip(Self.centred(reference), Self.centred(embeddings)).map(Self.cosine) : []
    rankCorrelation =
      reference.count > 2
      ? Self.rankCorrelation(Self.similarities(reference), Self.similarities(embeddings)) : nil
  }

  /// Spearman's coefficient, ties sharing their mean rank; 0 where one side has fewer than two different values.
  static func rankCorrelation(_ a: [Double], _ b: [Double]) -> Double {
    let mean = (Double(a.count) - 1) / 2
    var (xy, xx, yy) = (0.0, 0.0, 0.0)
    for (x, y) in zip(ranks(a), ranks(b)) {
      xy += (x - mean) * (y - mean)
      xx += (x - mean) * (x - mean)
      yy += (y - mean) * (y - mean)
    }
    return xx == 0 || yy == 0 ? 0 : xy / (xx * yy).squareRoot()
  }

  private static func cosine(_ a: [Float], _ b: [Float]) -> Double {
    var (ab, aa, bb) = (0.0, 0.0, 0.0)
    for (x, y) in zip(a, b) {
      ab += Double(x) * Double(y)
      aa += Double(x) * Double(x)
      bb += Double(y) * Double(y)
    }
    return aa == 0 || bb == 0 ? 0 : ab / (aa * bb).squareRoot()
  }

  private static func centred(_ rows: [[Float]]) -> [[Float]] {
    let means = (rows.first ?? []).indices.map { column in
      Float(rows.reduce(0.0) { $0 + Double($1[column]) } / Double(rows.count))
    }
    return rows.map { row in zip(row, means).map { $0 - $1 } }
  }

  private static func similarities(_ rows: [[Float]]) -> [Double] {
    rows.indices.flatMap { i in rows[(i + 1)...].map { cosine(rows[i], $0) } }
  }

  private static func ranks(_ values: [Double]) -> [Double] {
    let order = values.indices.sorted { values[$0] < values[$1] }
    var ranks = values
    var first = 0
    while first < order.count {
      let end = order[first...].firstIndex { values[$0] != values[order[first]] } ?? order.count
      let shared = max(end, first + 1)
      for i in order[first..<shared] { ranks[i] = Double(first + shared - 1) / 2 }
      first = shared
    }
    return ranks
  }
}
