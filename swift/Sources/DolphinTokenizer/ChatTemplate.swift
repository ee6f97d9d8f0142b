import Foundation

/// One turn of a conversation.
public struct Message: Codable, Sendable, Equatable {
  public enum Role: String, Codable, Sendable {
    case system, user, assistant
  }

  public var role: Role
  public var content: String

  public init(_ role: Role, _ content: String) {
    self.role = role
    self.content = content
  }
}

/// How a conversation is written for the model.
public enum ChatTemplate: Sendable, Equatable {
  /// `<|im_start|>role ... <|im_end|>`; `defaultSystem` opens a conversation that has no system message.
  case chatML(defaultSystem: String?)
  /// `<|start_header_id|>role<|end_header_id|> ... <|eot_id|>`
  case llama3

  /// Recognises the template in a model's tokenizer folder.
  public init(folder: URL) throws {
    let file = folder.appendingPathComponent("chat_template.jinja")
    let config = try? Data(contentsOf: folder.appendingPathComponent("tokenizer_config.json"))
    let settings = config.flatMap { try? JSONSerialization.jsonObject(with: $0) as? [String: Any] }
    guard let source = (try? String(contentsOf: file, encoding: .utf8)) ?? settings?["chat_template"] as? String else {
      throw DolphinError.invalidInput("\(folder.path): the model has no chat template; choose one")
    }
    try self.init(jinja: source)
  }

  /// Recognises the template by the tokens it writes; templates are not executed.
  public init(jinja source: String) throws {
    if source.contains("<|im_start|>") {
      self = .chatML(defaultSystem: Self.defaultSystem(of: source))
    } else if source.contains("<|start_header_id|>"), !source.contains("Cutting Knowledge Date") {
      self = .llama3
    } else {
      throw DolphinError.invalidInput("the chat template is neither ChatML nor Llama 3's; choose one of them")
    }
  }

  public var stopTokenNames: [String] {
    switch self {
    case .chatML: ["<|im_end|>"]
    case .llama3: ["<|eot_id|>", "<|end_of_text|>"]
    }
  }

  /// The conversation, up to where the assistant's next message begins if `addGenerationPrompt`.
  public func render(_ messages: [Message], addGenerationPrompt: Bool = true) -> String {
    switch self {
    case .chatML(let defaultSystem): Self.chatML(messages, defaultSystem, addGenerationPrompt)
    case .llama3: Self.llama3(messages, addGenerationPrompt)
    }
  }

  private static func chatML(_ messages: [Message], _ defaultSystem: String?, _ addGenerationPrompt: Bool) -> String {
    func turn(_ role: Message.Role, _ content: String) -> String {
      "<|im_start|>\(role.rawValue)\n\(content)<|im_end|>\n"
    }
    var out = ""
    if let defaultSystem, let first = messages.first, first.role != .system { out += turn(.system, defaultSystem) }
    for message in messages { out += turn(message.role, message.content) }
    return addGenerationPrompt ? out + "<|im_start|>assistant\n" : out
  }

  private static func llama3(_ messages: [Message], _ addGenerationPrompt: Bool) -> String {
    func header(_ role: Message.Role) -> String { "<|start_header_id|>\(role.rawValue)<|end_header_id|>\n\n" }
    var out = "<|begin_of_text|>"
    for message in messages {
      out += header(message.role) + message.content.trimmingCharacters(in: .whitespacesAndNewlines) + "<|eot_id|>"
    }
    return addGenerationPrompt ? out + header(.assistant) : out
  }

  /// Literal text that the template itself puts into a system turn.
  private static func defaultSystem(of source: String) -> String? {
    for opening in ["<|im_start|>system\\n", "<|im_start|>system\n"] {
      guard let start = source.range(of: opening),
        let end = source.range(of: "<|im_end|>", range: start.upperBound..<source.endIndex)
      else { continue }
      let text = source[start.upperBound..<end.lowerBound]
      if !text.contains(where: { "'\"{}".contains($0) }) { return text.replacingOccurrences(of: "\\n", with: "\n") }
    }
    return nil
  }
}
