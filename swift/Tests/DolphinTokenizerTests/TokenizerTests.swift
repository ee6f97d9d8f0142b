import Foundation
import Testing

@testable import DolphinTokenizer

private let resources = URL(fileURLWithPath: #filePath).deletingLastPathComponent().appendingPathComponent("Resources")

private func vectors<Value: Decodable>(_ type: Value.Type, _ name: String) throws -> Value {
  try JSONDecoder().decode(type, from: Data(contentsOf: resources.appendingPathComponent(name)))
}

private func tinyTokenizer() throws -> BPETokenizer {
  try BPETokenizer(folder: resources.appendingPathComponent("tiny_llama3"))
}

/// A folder with SmolLM2's tokenizer.json, which is too large to be kept here.
private let smolLM2 = ProcessInfo.processInfo.environment["D2C_SMOLLM2_TOKENIZER"].map { URL(fileURLWithPath: $0) }

private struct EncoderVector: Decodable {
  let text: String
  let instruction: String
  let ids: [Int32]
}

private struct TextVectors: Decodable {
  struct Case: Decodable {
    let text: String
    let ids: [Int32]
    let decoded: String
    let decodedWithoutSpecial: String

    enum CodingKeys: String, CodingKey {
      case ids, decoded
      case text = "utf8_hex"
      case decodedWithoutSpecial = "decoded_skip_special"
    }
  }
  let cases: [Case]
}

private struct ChatVector: Decodable {
  let messages: [Message]
  let rendered: String
  let ids: [Int32]
}

private func text(hex: String) -> String {
  let digits = Array(hex)
  let bytes = stride(from: 0, to: digits.count, by: 2).compactMap { UInt8(String(digits[$0...$0 + 1]), radix: 16) }
  return String(decoding: bytes, as: UTF8.self)
}

@Suite struct Tokenizing {
  @Test func givesTheTokensTheModelWasTrainedWith() throws {
    let tokenizer = try tinyTokenizer()
    for vector in try vectors([EncoderVector].self, "tiny_llama3_vectors.json") {
      let joined = vector.instruction.isEmpty ? vector.text : vector.instruction + " " + vector.text
      #expect(try tokenizer.encode(joined, addSpecial: true, parseSpecial: true) == vector.ids)
    }
  }

  @Test func decodingGivesTheTextBack() throws {
    let tokenizer = try tinyTokenizer()
    for text in ["", " a  b\n", "naïve café", "日本語 🐬", "e\u{301}", "\u{0}\u{7F}"] {
      #expect(Array(try tokenizer.decode(tokenizer.encode(text)).utf8) == Array(text.utf8))
    }
  }

  @Test func specialTokensAreTextUnlessAskedFor() throws {
    let tokenizer = try tinyTokenizer()
    let id = try #require(tokenizer.token(named: "<|eot_id|>"))
    #expect(try tokenizer.encode("a<|eot_id|>", parseSpecial: true).last == id)
    #expect(try !tokenizer.encode("a<|eot_id|>").contains(id))
    #expect(try tokenizer.decode([id], skipSpecial: true).isEmpty)
  }

  @Test func tokensOutsideTheVocabularyAreRefused() throws {
    let tokenizer = try tinyTokenizer()
    #expect(throws: DolphinError.self) { try tokenizer.bytes(of: -1) }
    #expect(throws: DolphinError.self) { try tokenizer.bytes(of: Int32(tokenizer.vocabularySize)) }
  }

  @Test(arguments: [
    "", "[]", "{}", #"{"model":{}}"#, #"{"pre_tokenizer":{"type":"ByteLevel"},"model":{"vocab":{"a":-1},"merges":[]}}"#,
    #"{"pre_tokenizer":{"type":"ByteLevel"},"model":{"vocab":{"a":0},"merges":["a b"]}}"#,
    #"{"pre_tokenizer":{"type":"Metaspace"},"model":{"vocab":{},"merges":[]}}"#,
    #"{"pre_tokenizer":{"type":"ByteLevel"},"model":{"vocab":{"a":99999999},"merges":[]}}"#,
  ])
  func damagedFilesAreRefused(json: String) {
    #expect(throws: DolphinError.self) { try BPETokenizer(json: Data(json.utf8)) }
  }

  @Test(.enabled(if: smolLM2 != nil)) func smolLM2GivesTheReferenceTokens() throws {
    let tokenizer = try BPETokenizer(folder: #require(smolLM2))
    for vector in try vectors(TextVectors.self, "smollm2_vectors.json").cases {
      let text = text(hex: vector.text)
      #expect(try tokenizer.encode(text, parseSpecial: true) == vector.ids, "\(text.debugDescription)")
      #expect(try tokenizer.decode(vector.ids) == vector.decoded)
      #expect(try tokenizer.decode(vector.ids, skipSpecial: true) == vector.decodedWithoutSpecial)
    }
  }

  @Test(.enabled(if: smolLM2 != nil)) func smolLM2ChatsGiveTheReferencePrompts() throws {
    let folder = try #require(smolLM2)
    let tokenizer = try BPETokenizer(folder: folder)
    let template = try ChatTemplate(folder: folder)
    for chat in try vectors([ChatVector].self, "smollm2_chats.json") {
      #expect(template.render(chat.messages) == chat.rendered)
      #expect(try tokenizer.encode(chat.rendered, parseSpecial: true) == chat.ids)
    }
  }
}

@Suite struct Streaming {
  @Test func charactersComeOutWhole() throws {
    let tokenizer = try tinyTokenizer()
    let text = "日本語 🐬 é"
    var decoder = StreamDecoder(tokenizer)
    var out = ""
    for token in try tokenizer.encode(text) {
      let piece = try decoder.push(token)
      #expect(!piece.contains("\u{FFFD}"))
      out += piece
    }
    #expect(out + decoder.finish() == text)
  }

  @Test func aCharacterThatNeverEndsIsReplaced() throws {
    let tokenizer = try tinyTokenizer()
    var decoder = StreamDecoder(tokenizer)
    let first = try #require(tokenizer.encode("🐬").first)
    #expect(try decoder.push(first).isEmpty)
    #expect(decoder.finish() == "\u{FFFD}")
    #expect(decoder.finish().isEmpty)
  }
}

@Suite struct Templates {
  private let chat = [Message(.system, "Be brief."), Message(.user, " Hi ")]

  @Test func chatMLWritesTurnsAsTheyAre() {
    #expect(
      ChatTemplate.chatML(defaultSystem: "unused").render(chat)
        == "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\n Hi <|im_end|>\n<|im_start|>assistant\n")
  }

  @Test func chatMLPutsItsOwnSystemMessageWhereThereIsNone() {
    let rendered = ChatTemplate.chatML(defaultSystem: "S").render([Message(.user, "Hi")], addGenerationPrompt: false)
    #expect(rendered == "<|im_start|>system\nS<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n")
  }

  @Test func llama3TrimsMessages() {
    #expect(
      ChatTemplate.llama3.render([Message(.user, " Hi \n")])
        == "<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|>"
        + "<|start_header_id|>assistant<|end_header_id|>\n\n")
  }

  @Test func templatesAreRecognisedByTheirTokens() throws {
    #expect(try ChatTemplate(jinja: "{{'<|im_start|>' + message['role']}}") == .chatML(defaultSystem: nil))
    #expect(
      try ChatTemplate(jinja: #"{{ '<|im_start|>system\nYou help.<|im_end|>\n' }}"#)
        == .chatML(defaultSystem: "You help."))
    #expect(try ChatTemplate(jinja: "{{'<|start_header_id|>'}}") == .llama3)
    #expect(throws: DolphinError.self) { try ChatTemplate(jinja: "[INST]") }
  }
}
