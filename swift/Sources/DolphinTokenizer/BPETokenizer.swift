import Foundation

/// The byte-level BPE of a `tokenizer.json`.
///
///     let tokenizer = try BPETokenizer(folder: url)
///     let ids = try tokenizer.encode("Hello", addSpecial: false, parseSpecial: false)
public struct BPETokenizer: TextTokenizer {
  private var encoding = BytePairEncoding()
  private var added = AddedTokens()
  private var namedTokens: [String: Int32] = [:]
  private var bytesByID: [[UInt8]] = []
  private var special: Set<Int32> = []
  private var prefix: [Int32] = []
  private var suffix: [Int32] = []
  private let preTokenizer: PreTokenizer
  private let normalizer: Normalizer

  /// `prefix`: of the files' names, say "encoder." for a package whose encoder has a tokenizer of its own.
  public init(folder: URL, prefix: String = "") throws {
    let config = try? Data(contentsOf: folder.appendingPathComponent(prefix + "tokenizer_config.json"))
    let file = folder.appendingPathComponent(prefix + "tokenizer.json")
    guard let data = try? Data(contentsOf: file) else {
      throw DolphinError.invalidInput(
        "\(file.path) cannot be read; name the folder that has the model's tokenizer.json")
    }
    try self.init(json: data, config: config)
  }

  /// `config`: tokenizer_config.json, which says what surrounds a text where tokenizer.json does not.
  public init(json: Data, config: Data? = nil) throws {
    let root = try Self.object(json, "tokenizer.json")
    let settings = try config.map { try Self.object($0, "tokenizer_config.json") } ?? [:]
    preTokenizer = try PreTokenizer(root["pre_tokenizer"] as? [String: Any])
    normalizer = try Normalizer(root["normalizer"] as? [String: Any])
    guard let model = root["model"] as? [String: Any], model["type"] as? String ?? "BPE" == "BPE" else {
      throw DolphinError.invalidInput("tokenizer.json: only byte-pair encodings (BPE) are supported")
    }
    try readVocabulary(model)
    try readAddedTokens(root["added_tokens"] as? [[String: Any]] ?? [])
    encoding.ignoresMerges = model["ignore_merges"] as? Bool ?? false
    if try !readTemplate(root["post_processor"] as? [String: Any]) { addConfiguredEnds(settings) }
  }

  public var vocabularySize: Int { bytesByID.count }

  public func encode(_ text: String, addSpecial: Bool = false, parseSpecial: Bool = false) throws -> [Int32] {
    var ids = addSpecial ? prefix : []
    for piece in added.split(Array(text.utf8), parseSpecial: parseSpecial) {
      switch piece {
      case .token(let id): ids.append(id)
      case .text(let bytes):
        let plain = normalizer.apply(String(decoding: bytes, as: UTF8.self))
        for word in preTokenizer.words(of: plain) { encoding.encode(Array(word.utf8), into: &ids) }
      }
    }
    return addSpecial ? ids + suffix : ids
  }

  public func bytes(of token: Int32) throws -> [UInt8] {
    guard token >= 0, token < bytesByID.count else {
      throw DolphinError.invalidInput("token \(token) is none of the \(bytesByID.count) of the tokenizer")
    }
    return bytesByID[Int(token)]
  }

  public func isSpecial(_ token: Int32) -> Bool { special.contains(token) }

  public func token(named text: String) -> Int32? {
    namedTokens[text] ?? ByteLevel.bytes(of: text).flatMap { encoding.ids[$0] }
  }

  // MARK: - Reading

  private static let maxID = 4_000_000

  private static func object(_ data: Data, _ name: String) throws -> [String: Any] {
    guard let object = try? JSONSerialization.jsonObject(with: data) as? [String: Any] else {
      throw DolphinError.invalidInput("\(name) is not a JSON object")
    }
    return object
  }

  private static func checkedID(_ value: Any?) throws -> Int32 {
    guard let id = value as? Int, id >= 0, id <= maxID else {
      throw DolphinError.invalidInput("tokenizer.json: a token id is missing or out of range")
    }
    return Int32(id)
  }

  private mutating func define(_ id: Int32, _ bytes: [UInt8]) {
    while bytesByID.count <= Int(id) { bytesByID.append([]) }
    bytesByID[Int(id)] = bytes
  }

  private mutating func readVocabulary(_ model: [String: Any]) throws {
    guard let vocabulary = model["vocab"] as? [String: Any], let merges = model["merges"] as? [Any] else {
      throw DolphinError.invalidInput("tokenizer.json: the model has no 'vocab' or no 'merges'")
    }
    for (text, value) in vocabulary {
      let id = try Self.checkedID(value)
      if let bytes = ByteLevel.bytes(of: text) {
        encoding.addToken(bytes, id: id)
        define(id, bytes)
      } else {
        namedTokens[text] = id
        define(id, Array(text.utf8))
      }
    }
    for merge in merges { try addMerge(merge) }
  }

  private mutating func addMerge(_ merge: Any) throws {
    let pair = merge as? [String] ?? (merge as? String)?.split(separator: " ").map(String.init) ?? []
    guard pair.count == 2, let left = ByteLevel.bytes(of: pair[0]), let right = ByteLevel.bytes(of: pair[1]) else {
      throw DolphinError.invalidInput("tokenizer.json: the merge '\(merge)' does not join two tokens")
    }
    try encoding.addMerge(left, right)
  }

  private mutating func readAddedTokens(_ list: [[String: Any]]) throws {
    for entry in list {
      guard let content = entry["content"] as? String else {
        throw DolphinError.invalidInput("tokenizer.json: an added token has no 'content'")
      }
      for key in ["lstrip", "rstrip", "single_word"] where entry[key] as? Bool == true {
        throw DolphinError.invalidInput("tokenizer.json: added tokens with '\(key)' are not supported")
      }
      let id = try Self.checkedID(entry["id"])
      let isSpecial = entry["special"] as? Bool ?? false
      added.add(.init(id: id, bytes: Array(content.utf8), isSpecial: isSpecial))
      namedTokens[content] = id
      define(id, Array(content.utf8))
      if isSpecial { special.insert(id) }
    }
  }

  /// Whether the post-processor says what surrounds a text.
  private mutating func readTemplate(_ spec: [String: Any]?) throws -> Bool {
    guard let spec else { return false }
    if let steps = spec["processors"] as? [[String: Any]] {
      return try steps.reduce(false) { try readTemplate($1) || $0 }
    }
    switch spec["type"] as? String {
    case "ByteLevel": return false
    case "TemplateProcessing": break
    case let type:
      throw DolphinError.invalidInput("tokenizer.json: the post-processor '\(type ?? "")' is not supported")
    }
    let tokens = spec["special_tokens"] as? [String: [String: Any]] ?? [:]
    var isBefore = true
    for item in spec["single"] as? [[String: [String: Any]]] ?? [] {
      guard let name = item["SpecialToken"]?["id"] as? String else {
        isBefore = false
        continue
      }
      for id in try (tokens[name]?["ids"] as? [Any] ?? []).map(Self.checkedID) {
        if isBefore { prefix.append(id) } else { suffix.append(id) }
      }
    }
    return true
  }

  private mutating func addConfiguredEnds(_ config: [String: Any]) {
    func named(_ key: String) -> Int32? {
      ((config[key] as? [String: Any])?["content"] as? String ?? config[key] as? String).flatMap(token(named:))
    }
    if config["add_bos_token"] as? Bool == true, let bos = named("bos_token") { prefix.append(bos) }
    if config["add_eos_token"] as? Bool == true, let eos = named("eos_token") { suffix.append(eos) }
  }
}

/// The Unicode form that a text is brought into before it is split.
enum Normalizer: String, Sendable {
  case none = ""
  case nfc = "NFC"
  case nfd = "NFD"
  case nfkc = "NFKC"
  case nfkd = "NFKD"

  init(_ spec: [String: Any]?) throws {
    let steps = spec?["normalizers"] as? [[String: Any]]
    let type = (steps?.count == 1 ? steps?.first : steps?.isEmpty == true ? nil : spec)?["type"] as? String ?? ""
    guard let known = Normalizer(rawValue: type) else {
      throw DolphinError.invalidInput("tokenizer.json: the normalizer '\(type)' is not supported")
    }
    self = known
  }

  func apply(_ text: String) -> String {
    switch self {
    case .none: text
    case .nfc: text.precomposedStringWithCanonicalMapping
    case .nfd: text.decomposedStringWithCanonicalMapping
    case .nfkc: text.precomposedStringWithCompatibilityMapping
    case .nfkd: text.decomposedStringWithCompatibilityMapping
    }
  }
}
