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
    #expect(try ChatTemplate(jinja: "{{'<|im_start|>' + message['role'] + '<|im_end|>'}}") == .chatML())
    #expect(
      try ChatTemplate(jinja: #"{{ '<|im_start|>system\nYou help.<|im_end|>\n' }}"#)
        == .chatML(defaultSystem: "You help."))
    let llama3 = "{{ bos_token }}{{'<|start_header_id|>' + role + '<|end_header_id|>' + text + '<|eot_id|>'}}"
    #expect(try ChatTemplate(jinja: llama3, beginOfText: "<|begin_of_text|>") == .llama3)
    #expect(throws: DolphinError.self) { try ChatTemplate(jinja: "[INST]") }
  }

  @Test func llama31OpensWithTheDatesOfItsTemplate() throws {
    let source = #"""
      {{- bos_token }}{%- if not date_string is defined %}{%- set date_string = "26 Jul 2024" %}{%- endif %}
      {{- "<|start_header_id|>system<|end_header_id|>\n\n" }}{{- "Cutting Knowledge Date: December 2023\n" }}
      {{- "Today Date: " + date_string + "\n\n" }}{{- system_message }}{{- "<|eot_id|>" }}
      """#
    let template = try ChatTemplate(jinja: source, beginOfText: "<|begin_of_text|>")
    #expect(template == .llama31(knowledgeCutoff: "December 2023", today: "26 Jul 2024"))
    let opening =
      "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\n"
      + "Cutting Knowledge Date: December 2023\nToday Date: 26 Jul 2024\n\n"
    let user = "<|eot_id|><|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|>"
    #expect(template.render(chat, addGenerationPrompt: false) == opening + "Be brief." + user)
    #expect(template.render([Message(.user, "Hi")], addGenerationPrompt: false) == opening + user)
  }

  @Test func theDefaultOfSeveralIsTaken() throws {
    let folder = FileManager.default.temporaryDirectory.appendingPathComponent(UUID().uuidString)
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: folder) }
    let config = """
      {"bos_token": {"content": "<s>"}, "chat_template": [{"name": "tool_use", "template": "unknown"},
      {"name": "default", "template": "{{ bos_token }}<|im_start|><|im_end|>"}]}
      """
    try config.write(to: folder.appendingPathComponent("tokenizer_config.json"), atomically: true, encoding: .utf8)
    #expect(
      try ChatTemplate(folder: folder).render([Message(.user, "Hi")], addGenerationPrompt: false)
        == "<s><|im_start|>user\nHi<|im_end|>\n")
  }
}

private struct SentenceVectors: Decodable {
  struct Input: Decodable {
    let instruction: String
    let text: String
    let ids: [Int32]
    let mask: [Int32]

    enum CodingKeys: String, CodingKey {
      case instruction, text
      case ids = "input_ids"
      case mask = "embed_mask"
    }
  }
  let name: String
  let tokenizer: String
  let pooling: Pooling
  let skipsInstruction: Bool
  let maxLength: Int
  let hasChatWrapper: Bool
  let inputs: [Input]

  enum CodingKeys: String, CodingKey {
    case name, tokenizer, pooling, inputs
    case skipsInstruction = "skip_instruction"
    case maxLength = "max_length"
    case hasChatWrapper = "chat_wrapper"
  }

  /// The reference records which tokens are the text's own; three kinds of pooling take just one.
  func mask(of input: Input) -> [Int32] {
    let none = [Int32](repeating: 0, count: input.ids.count)
    switch pooling {
    case .bosToken: return [1] + none.dropFirst()
    case .eosToken, .lastToken: return none.dropLast() + [1]
    case .mean, .weightedMean: return skipsInstruction ? input.mask : none.map { _ in 1 }
    }
  }
}

@Suite struct Sentences {
  @Test func arePreparedAsByLLM2Vec() throws {
    let folder = resources.deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
      .deletingLastPathComponent().appendingPathComponent("tests/data/tokenizers")
    let json = try Data(contentsOf: folder.appendingPathComponent("llm2vec_inputs.json"))
    for vectors in try JSONDecoder().decode([SentenceVectors].self, from: json) {
      let tokenizer = try BPETokenizer(folder: folder.appendingPathComponent(vectors.tokenizer))
      var preparation = SentencePreparation()
      preparation.pooling = vectors.pooling
      preparation.skipsInstruction = vectors.skipsInstruction
      preparation.maxLength = vectors.maxLength
      preparation.hasChatWrapper = vectors.hasChatWrapper
      for input in vectors.inputs {
        let made = try preparation.prepare(input.text, instruction: input.instruction, by: tokenizer)
        #expect(
          made == EncoderInput(ids: input.ids, pooling: vectors.mask(of: input)), "\(vectors.name): \(input.text)")
      }
    }
  }
}
