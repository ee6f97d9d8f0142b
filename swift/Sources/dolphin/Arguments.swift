import DolphinRuntime

/// A command's positional arguments and `--name value` options.
struct Arguments {
  private(set) var positional: [String] = []
  private var options: [String: [String]] = [:]

  init(_ words: some Sequence<String>, known: Set<String>, flags: Set<String> = []) throws {
    var words = words.makeIterator()
    while let word = words.next() {
      guard word.hasPrefix("--") else {
        positional.append(word)
        continue
      }
      let name = String(word.dropFirst(2))
      if flags.contains(name) {
        options[name] = []
      } else if known.contains(name), let value = words.next() {
        options[name, default: []].append(value)
      } else {
        throw DolphinError.invalidArgument(
          known.contains(name) ? "\(word) needs a value" : "there is no option \(word)")
      }
    }
  }

  func has(_ flag: String) -> Bool { options[flag] != nil }

  func text(_ name: String) -> String? { options[name]?.last }

  /// Of an option that may be given several times.
  func all(_ name: String) -> [String] { options[name] ?? [] }

  func number<Number: LosslessStringConvertible>(_ name: String, or usual: Number) throws -> Number {
    guard let text = text(name) else { return usual }
    guard let number = Number(text) else { throw DolphinError.invalidArgument("--\(name): '\(text)' is not a number") }
    return number
  }
}
