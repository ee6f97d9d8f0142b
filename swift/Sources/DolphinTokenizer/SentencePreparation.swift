import Foundation

/// Tokens as an encoder takes them.
public struct EncoderInput: Sendable, Equatable {
  public var ids: [Int32]
  /// One per token: 1 where it counts for the embedding.
  public var pooling: [Int32]

  public init(ids: [Int32], pooling: [Int32]) {
    self.ids = ids
    self.pooling = pooling
  }
}

/// Which tokens of a text an encoder pools.
public enum Pooling: String, Codable, Sendable {
  case mean
  case weightedMean = "weighted_mean"
  case lastToken = "last_token"
  case bosToken = "bos_token"
  case eosToken = "eos_token"
}

/// Makes tokens of sentences as llm2vec 0.2.3 does.
public struct SentencePreparation: Sendable {
  private static let separator = Array("!@#$%^&*()".unicodeScalars)

  public var pooling = Pooling.mean
  public var maxLength = 512
  /// Longer texts are shortened by whole words before anything is joined to them.
  public var maxTextTokens = 400
  /// The instruction is seen, not pooled.
  public var skipsInstruction = true
  /// As a user's turn of Llama 3.
  public var hasChatWrapper = false
  /// What pooling `eosToken` appends.
  public var endOfText = " </s>"

  public init() {}

  /// A mask of all zeros for a text without a token of its own.
  public func prepare(_ text: String, instruction: String = "", by tokenizer: any TextTokenizer) throws -> EncoderInput
  {
    let whole = joined(try shortened(text, tokenizer), instruction)
    // The separator marks where the text begins and is taken out again; texts may hold it themselves.
    let parts = whole.unicodeScalars.split(separator: Self.separator, omittingEmptySubsequences: false).map(String.init)
    let all = try tokenizer.encode(parts.joined(), addSpecial: true, parseSpecial: true)
    let ids = Array(all.prefix(maxLength))
    return EncoderInput(ids: ids, pooling: try mask(ids, own: try count(parts[1], tokenizer), tokenizer))
  }

  private func count(_ text: String, _ tokenizer: any TextTokenizer) throws -> Int {
    min(try tokenizer.encode(text, addSpecial: false, parseSpecial: true).count, maxLength)
  }

  private func shortened(_ text: String, _ tokenizer: any TextTokenizer) throws -> String {
    var text = text
    while true {
      let count = try count(text, tokenizer)
      if count <= maxTextTokens { return text }
      let words = Self.words(of: text)
      let kept = Int(Double(words.count) * (Double(maxTextTokens) / Double(count)))
      let fewer = words.prefix(kept).map(String.init).joined(separator: " ")
      if fewer == text { return text }  // one word longer than the limit cannot be shortened by words
      text = fewer
    }
  }

  private func joined(_ text: String, _ instruction: String) -> String {
    let mark = String(String.UnicodeScalarView(Self.separator))
    let joined = (instruction.isEmpty ? "" : Self.stripped(instruction) + " ") + mark + text
    if hasChatWrapper {
      return "<|start_header_id|>user<|end_header_id|>\n\n" + Self.stripped(joined) + "<|eot_id|>"
    }
    return pooling == .eosToken ? Self.stripped(joined) + endOfText : joined
  }

  private func mask(_ ids: [Int32], own: Int, _ tokenizer: any TextTokenizer) throws -> [Int32] {
    var mask = [Int32](repeating: 0, count: ids.count)
    switch pooling {
    case .mean, .weightedMean:
      let counted = skipsInstruction ? min(own, ids.count) : ids.count
      for i in (ids.count - counted)..<ids.count { mask[i] = 1 }
    case .lastToken, .eosToken:
      if !mask.isEmpty { mask[mask.count - 1] = 1 }
    case .bosToken:
      let opening = try tokenizer.encode("", addSpecial: true, parseSpecial: false).first
      guard let place = ids.firstIndex(where: { $0 == opening }) else {
        throw DolphinError.invalidInput("bos_token pooling: the tokenizer puts no such token before a text")
      }
      mask[place] = 1
    }
    return mask
  }

  /// White space as Python's str.split() and str.strip() know it.
  private static func isSpace(_ scalar: Unicode.Scalar) -> Bool {
    scalar.properties.isWhitespace || (0x1C...0x1F).contains(scalar.value)
  }

  private static func words(of text: String) -> [Substring.UnicodeScalarView] {
    text.unicodeScalars.split(whereSeparator: isSpace).map { $0 }
  }

  private static func stripped(_ text: String) -> String {
    let words = words(of: text)
    guard let first = words.first, let last = words.last else { return "" }
    return String(text.unicodeScalars[first.startIndex..<last.endIndex])
  }
}
