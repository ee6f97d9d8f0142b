/// Byte-pair encoding of one word: the merge of the lowest rank first, from left to right.
struct BytePairEncoding: Sendable {
  struct Merge: Sendable {
    let rank: Int32
    let id: Int32
  }

  private(set) var ids: [[UInt8]: Int32] = [:]
  private var merges: [UInt64: Merge] = [:]
  /// A word that is a token is that token, whatever the merges say.
  var ignoresMerges = false

  mutating func addToken(_ bytes: [UInt8], id: Int32) { ids[bytes] = id }

  mutating func addMerge(_ left: [UInt8], _ right: [UInt8]) throws {
    guard let a = ids[left], let b = ids[right], let joined = ids[left + right] else {
      throw DolphinError.invalidInput(
        "tokenizer.json: the merge '\(String(decoding: left, as: UTF8.self)) "
          + "\(String(decoding: right, as: UTF8.self))' is not one of tokens of the vocabulary")
    }
    let key = Self.key(a, b)
    if merges[key] == nil { merges[key] = Merge(rank: Int32(merges.count), id: joined) }
  }

  func encode(_ word: [UInt8], into out: inout [Int32]) {
    if ignoresMerges, let whole = ids[word] {
      out.append(whole)
      return
    }
    var symbols = Symbols(word.compactMap { ids[[$0]] })
    var queue = MergeQueue()
    func consider(_ left: Int) {
      guard left >= 0, symbols.next[left] >= 0 else { return }
      let pair = Self.key(symbols.id[left], symbols.id[symbols.next[left]])
      if let merge = merges[pair] { queue.push(.init(rank: merge.rank, position: Int32(left), id: merge.id)) }
    }
    for i in symbols.id.indices { consider(i) }
    while let candidate = queue.pop() {
      let left = Int(candidate.position)
      // Either side may have changed since the pair was queued.
      guard symbols.isAlive[left], symbols.next[left] >= 0,
        merges[Self.key(symbols.id[left], symbols.id[symbols.next[left]])]?.id == candidate.id
      else { continue }
      symbols.mergeRight(of: left, into: candidate.id)
      consider(symbols.previous[left])
      consider(left)
    }
    for i in symbols.id.indices where symbols.isAlive[i] { out.append(symbols.id[i]) }
  }

  private static func key(_ left: Int32, _ right: Int32) -> UInt64 {
    UInt64(UInt32(bitPattern: left)) << 32 | UInt64(UInt32(bitPattern: right))
  }
}

/// A word's symbols as a linked list, -1 at its ends.
private struct Symbols {
  var id: [Int32]
  var previous: [Int]
  var next: [Int]
  var isAlive: [Bool]

  init(_ ids: [Int32]) {
    id = ids
    previous = ids.indices.map { $0 - 1 }
    next = ids.indices.map { $0 + 1 < ids.count ? $0 + 1 : -1 }
    isAlive = Array(repeating: true, count: ids.count)
  }

  mutating func mergeRight(of left: Int, into merged: Int32) {
    let right = next[left]
    id[left] = merged
    isAlive[right] = false
    next[left] = next[right]
    if next[left] >= 0 { previous[next[left]] = left }
  }
}

/// Binary heap of pairs to merge.
private struct MergeQueue {
  struct Candidate {
    let rank: Int32
    let position: Int32
    let id: Int32

    func precedes(_ other: Candidate) -> Bool { (rank, position) < (other.rank, other.position) }
  }

  private var heap: [Candidate] = []

  mutating func push(_ candidate: Candidate) {
    heap.append(candidate)
    var child = heap.count - 1
    while child > 0, heap[child].precedes(heap[(child - 1) / 2]) {
      heap.swapAt(child, (child - 1) / 2)
      child = (child - 1) / 2
    }
  }

  mutating func pop() -> Candidate? {
    guard let first = heap.first else { return nil }
    let last = heap.removeLast()
    if heap.isEmpty { return first }
    heap[0] = last
    var parent = 0
    while 2 * parent + 1 < heap.count {
      var child = 2 * parent + 1
      if child + 1 < heap.count, heap[child + 1].precedes(heap[child]) { child += 1 }
      if !heap[child].precedes(heap[parent]) { break }
      heap.swapAt(child, parent)
      parent = child
    }
    return first
  }
}
