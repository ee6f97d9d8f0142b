import Foundation

/// Splits a text into the words that are tokenized one by one.
struct PreTokenizer: Sendable {
  private enum Step: Sendable {
    case split(NSRegularExpression, contiguous: Bool)
    case prefixSpace
  }

  private static let gpt2Words =
    #"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"#

  private var steps: [Step] = []
  private var isByteLevel = false

  init(_ spec: [String: Any]?) throws {
    if let spec { try add(spec) }
    guard isByteLevel else {
      throw DolphinError.invalidInput("tokenizer.json: only byte-level tokenizers are supported")
    }
  }

  func words(of text: String) -> [String] {
    var words = [text]
    for step in steps {
      switch step {
      case .split(let regex, let contiguous): words = words.flatMap { Self.split($0, regex, contiguous) }
      case .prefixSpace: words = words.map { $0.hasPrefix(" ") ? $0 : " " + $0 }
      }
    }
    return words
  }

  private mutating func add(_ spec: [String: Any]) throws {
    let type = spec["type"] as? String ?? ""
    switch type {
    case "Sequence":
      for step in spec["pretokenizers"] as? [[String: Any]] ?? [] { try add(step) }
    case "Split":
      guard let pattern = (spec["pattern"] as? [String: Any])?["Regex"] as? String,
        spec["behavior"] as? String == "Isolated", spec["invert"] as? Bool != true
      else {
        throw DolphinError.invalidInput("tokenizer.json: this form of the pre-tokenizer 'Split' is not supported")
      }
      steps.append(.split(try Self.regex(pattern), contiguous: false))
    case "Digits":
      let individual = spec["individual_digits"] as? Bool ?? false
      steps.append(.split(try Self.regex(#"\p{N}"#), contiguous: !individual))
    case "ByteLevel":
      isByteLevel = true
      if spec["add_prefix_space"] as? Bool ?? true { steps.append(.prefixSpace) }
      if spec["use_regex"] as? Bool ?? true { steps.append(.split(try Self.regex(Self.gpt2Words), contiguous: false)) }
    default:
      throw DolphinError.invalidInput("tokenizer.json: the pre-tokenizer '\(type)' is not supported")
    }
  }

  /// ICU's \s lacks U+000B and U+0085, which are white space where tokenizers are trained.
  private static func regex(_ pattern: String) throws -> NSRegularExpression {
    let portable = pattern.replacingOccurrences(of: #"\s"#, with: #"\p{White_Space}"#)
      .replacingOccurrences(of: #"\S"#, with: #"\P{White_Space}"#)
    do {
      return try NSRegularExpression(pattern: portable)
    } catch {
      throw DolphinError.invalidInput("tokenizer.json: '\(pattern)' is not a regular expression")
    }
  }

  /// Matches and what lies between, each a piece; adjacent matches are one if `contiguous`.
  private static func split(_ text: String, _ regex: NSRegularExpression, _ contiguous: Bool) -> [String] {
    let source = text as NSString
    var pieces: [NSRange] = []
    var end = 0
    for match in regex.matches(in: text, range: NSRange(location: 0, length: source.length)) {
      let found = match.range
      if found.length == 0 { continue }
      if found.location > end { pieces.append(NSRange(location: end, length: found.location - end)) }
      if contiguous, found.location == end, end > 0, let last = pieces.last, last.location + last.length == end {
        pieces[pieces.count - 1].length += found.length
      } else {
        pieces.append(found)
      }
      end = found.location + found.length
    }
    if end < source.length { pieces.append(NSRange(location: end, length: source.length - end)) }
    return pieces.map { source.substring(with: $0) }
  }
}
