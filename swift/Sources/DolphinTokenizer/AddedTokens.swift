/// Tokens that are found in the text before it is split into words.
struct AddedTokens: Sendable {
  struct Token: Sendable {
    let id: Int32
    let bytes: [UInt8]
    let isSpecial: Bool
  }

  enum Piece {
    case text(ArraySlice<UInt8>)
    case token(Int32)
  }

  private(set) var all: [Token] = []
  private var byFirstByte: [UInt8: [Token]] = [:]

  mutating func add(_ token: Token) {
    guard let first = token.bytes.first else { return }
    all.append(token)
    byFirstByte[first, default: []].append(token)
    byFirstByte[first]?.sort { $0.bytes.count > $1.bytes.count }
  }

  /// The longest token at each place; special ones only if wanted.
  func split(_ text: [UInt8], parseSpecial: Bool) -> [Piece] {
    var pieces: [Piece] = []
    var plain = 0
    var at = 0
    while at < text.count {
      let token = byFirstByte[text[at]]?.first {
        (parseSpecial || !$0.isSpecial) && text[at...].starts(with: $0.bytes)
      }
      guard let token else {
        at += 1
        continue
      }
      if plain < at { pieces.append(.text(text[plain..<at])) }
      pieces.append(.token(token.id))
      at += token.bytes.count
      plain = at
    }
    if plain < text.count { pieces.append(.text(text[plain...])) }
    return pieces
  }
}
