import Foundation

/// What the package says about its language model: metadata `d2c.model`.
public struct ModelFacts: Codable, Sendable, Equatable {
  public var version: Int
  public var architecture: String
  public var vocabularySize: Int
  public var context: Int
  public var prefill: Int
  public var precision: String
  public var bosToken: Int32?
  public var eosTokens: [Int32]

  enum CodingKeys: String, CodingKey {
    case version, architecture, context, prefill, precision
    case vocabularySize = "vocab_size"
    case bosToken = "bos_token_id"
    case eosTokens = "eos_token_ids"
  }

  public init(from decoder: any Decoder) throws {
    let values = try decoder.container(keyedBy: CodingKeys.self)
    version = try values.decodeIfPresent(Int.self, forKey: .version) ?? 1
    architecture = try values.decodeIfPresent(String.self, forKey: .architecture) ?? ""
    vocabularySize = try values.decodeIfPresent(Int.self, forKey: .vocabularySize) ?? 0
    context = try values.decodeIfPresent(Int.self, forKey: .context) ?? 0
    prefill = try values.decodeIfPresent(Int.self, forKey: .prefill) ?? 0
    precision = try values.decodeIfPresent(String.self, forKey: .precision) ?? ""
    bosToken = try values.decodeIfPresent(Int32.self, forKey: .bosToken)
    eosTokens = try values.decodeIfPresent([Int32].self, forKey: .eosTokens) ?? []
  }
}

/// What the package says about its sentence encoder: metadata `d2c.encoder`.
public struct EncoderFacts: Codable, Sendable, Equatable {
  public var pooling = Pooling.mean
  public var skipsInstruction = true
  public var maxLength: Int?
  public var vocabularySize: Int?
  public var maxTextTokens: Int?
  public var hasChatWrapper = false
  public var endOfText: String?

  enum CodingKeys: String, CodingKey {
    case pooling
    case skipsInstruction = "skip_instruction"
    case maxLength = "max_length"
    case vocabularySize = "vocab_size"
    case maxTextTokens = "doc_max_length"
    case hasChatWrapper = "chat_wrapper"
    case endOfText = "end_of_text"
  }

  public init() {}

  public init(from decoder: any Decoder) throws {
    let values = try decoder.container(keyedBy: CodingKeys.self)
    pooling = try values.decodeIfPresent(Pooling.self, forKey: .pooling) ?? .mean
    skipsInstruction = try values.decodeIfPresent(Bool.self, forKey: .skipsInstruction) ?? true
    maxLength = try values.decodeIfPresent(Int.self, forKey: .maxLength)
    vocabularySize = try values.decodeIfPresent(Int.self, forKey: .vocabularySize)
    maxTextTokens = try values.decodeIfPresent(Int.self, forKey: .maxTextTokens)
    hasChatWrapper = try values.decodeIfPresent(Bool.self, forKey: .hasChatWrapper) ?? false
    endOfText = try values.decodeIfPresent(String.self, forKey: .endOfText)
  }

  var preparation: SentencePreparation {
    var preparation = SentencePreparation()
    preparation.pooling = pooling
    preparation.skipsInstruction = skipsInstruction
    preparation.hasChatWrapper = hasChatWrapper
    preparation.maxTextTokens = maxTextTokens ?? preparation.maxTextTokens
    preparation.endOfText = endOfText ?? preparation.endOfText
    return preparation
  }
}

package enum PackageMetadata {
  /// Nothing where the package lacks the key.
  package static func decode<Facts: Decodable>(_ type: Facts.Type, _ key: String, of metadata: [String: String]) throws
    -> Facts?
  {
    guard let text = metadata[key] else { return nil }
    do {
      return try JSONDecoder().decode(type, from: Data(text.utf8))
    } catch {
      throw DolphinError.invalidInput("the package's metadata '\(key)' is damaged: \(error)")
    }
  }
}
