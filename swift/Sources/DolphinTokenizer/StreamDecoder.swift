/// Text as its tokens come in, in whole characters.
///
///     var decoder = StreamDecoder(tokenizer)
///     for token in tokens { print(try decoder.push(token), terminator: "") }
///     print(decoder.finish())
public struct StreamDecoder: Sendable {
  private let tokenizer: any TextTokenizer
  private var pending: [UInt8] = []

  public init(_ tokenizer: any TextTokenizer) { self.tokenizer = tokenizer }

  /// The characters that this token completes. Special tokens are left out.
  public mutating func push(_ token: Int32) throws -> String {
    if tokenizer.isSpecial(token) { return "" }
    pending += try tokenizer.bytes(of: token)
    let whole = pending.count - unfinishedTail()
    defer { pending.removeFirst(whole) }
    return String(decoding: pending[..<whole], as: UTF8.self)
  }

  /// What is left of a character that never ended: U+FFFD, or nothing.
  public mutating func finish() -> String {
    defer { pending = [] }
    return String(decoding: pending, as: UTF8.self)
  }

  /// Bytes at the end that begin a character and may still become one.
  private func unfinishedTail() -> Int {
    for length in 1...3 where length <= pending.count {
      let tail = pending.suffix(length)
      guard let lead = tail.first, lead & 0xC0 != 0x80 else { continue }
      return Self.canGrow(Array(tail)) ? length : 0
    }
    return 0
  }

  private static func canGrow(_ bytes: [UInt8]) -> Bool {
    let wanted: Int
    let second: ClosedRange<UInt8>
    switch bytes[0] {
    case 0xC2...0xDF: (wanted, second) = (2, 0x80...0xBF)
    case 0xE0: (wanted, second) = (3, 0xA0...0xBF)
    case 0xED: (wanted, second) = (3, 0x80...0x9F)
    case 0xE1...0xEF: (wanted, second) = (3, 0x80...0xBF)
    case 0xF0: (wanted, second) = (4, 0x90...0xBF)
    case 0xF1...0xF3: (wanted, second) = (4, 0x80...0xBF)
    case 0xF4: (wanted, second) = (4, 0x80...0x8F)
    default: return false
    }
    return bytes.count < wanted && (bytes.count < 2 || second.contains(bytes[1]))
  }
}
