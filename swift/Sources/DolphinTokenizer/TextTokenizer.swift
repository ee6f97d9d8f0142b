/// A tokenizer that sessions and embedders can use; adopt it to plug in another library's.
public protocol TextTokenizer: Sendable {
  /// The tokens of a text. `parseSpecial`: special tokens written in the text are those tokens; `addSpecial`: with what
  /// the model's tokenizer puts around a text.
  func encode(_ text: String, addSpecial: Bool, parseSpecial: Bool) throws -> [Int32]
  /// The bytes that one token stands for, which need not be whole characters.
  func bytes(of token: Int32) throws -> [UInt8]
  func isSpecial(_ token: Int32) -> Bool
  func token(named text: String) -> Int32?
}

extension TextTokenizer {
  /// The text that tokens stand for; bytes that are no UTF-8 become U+FFFD.
  public func decode(_ tokens: [Int32], skipSpecial: Bool = false) throws -> String {
    var all: [UInt8] = []
    for token in tokens where !(skipSpecial && isSpecial(token)) { all += try bytes(of: token) }
    return String(decoding: all, as: UTF8.self)
  }
}
