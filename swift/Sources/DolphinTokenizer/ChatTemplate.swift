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

/// How a conversation is written for the model: as ChatML, or as Llama 3 and its successors do. Templates are programs in
/// Jinja, which are not executed: a family is recognised by what its template writes.
public struct ChatTemplate: Sendable, Equatable {
  private enum Family: Sendable {
    case chatML, llama3
  }

  private let family: Family
  private var opening = ""
  private var defaultSystem: String?
  private var preamble: String?

  /// `<|im_start|>role ... <|im_end|>`; `defaultSystem` opens a conversation that has no system message.
  public static func chatML(defaultSystem: String? = nil) -> Self {
    var template = Self(family: .chatML)
    template.defaultSystem = defaultSystem
    return template
  }

  /// `<|start_header_id|>role<|end_header_id|> ... <|eot_id|>`
  public static let llama3: Self = {
    var template = Self(family: .llama3)
    template.opening = beginOfText
    return template
  }()

  /// Llama 3.1 and later open every conversation with two dates.
  public static func llama31(knowledgeCutoff: String, today: String) -> Self {
    var template = llama3
    template.preamble = "Cutting Knowledge Date: \(knowledgeCutoff)\nToday Date: \(today)\n\n"
    return template
  }

  private static let beginOfText = "<|begin_of_text|>"

  private init(family: Family) { self.family = family }

  /// "chatml" or "llama3"; nothing for other names.
  public init?(named name: String) {
    switch name {
    case "chatml": self = .chatML()
    case "llama3": self = .llama3
    default: return nil
    }
  }

  /// Recognises the template in a model's tokenizer folder.
  public init(folder: URL) throws {
    let file = folder.appendingPathComponent("chat_template.jinja")
    let config = try? Data(contentsOf: folder.appendingPathComponent("tokenizer_config.json"))
    let settings = config.flatMap { try? JSONSerialization.jsonObject(with: $0) as? [String: Any] } ?? [:]
    guard let source = (try? String(contentsOf: file, encoding: .utf8)) ?? Self.source(settings["chat_template"]) else {
      throw DolphinError.invalidInput("\(folder.path): the model has no chat template; choose one")
    }
    let bos = settings["bos_token"] as? String ?? (settings["bos_token"] as? [String: Any])?["content"] as? String
    try self.init(jinja: source, beginOfText: bos ?? "")
  }

  /// `beginOfText`: what the template's `bos_token` stands for.
  public init(jinja source: String, beginOfText: String = "") throws {
    if source.contains("<|im_start|>"), source.contains("<|im_end|>") {
      self.init(family: .chatML)
      defaultSystem = Self.defaultSystem(of: source)
    } else if source.contains("<|start_header_id|>"), source.contains("<|eot_id|>") {
      self.init(family: .llama3)
      preamble = Self.datedPreamble(of: source)
    } else {
      throw DolphinError.invalidInput("the chat template is neither ChatML nor Llama 3's; choose one of them")
    }
    if source.contains("bos_token") {
      opening = beginOfText
    } else if source.contains(Self.beginOfText) {
      opening = Self.beginOfText
    }
  }

  /// The conversation, up to where the assistant's next message begins if `addGenerationPrompt`.
  public func render(_ messages: [Message], addGenerationPrompt: Bool = true) -> String {
    switch family {
    case .chatML: opening + chatML(messages, addGenerationPrompt)
    case .llama3: opening + llama3(messages, addGenerationPrompt)
    }
  }

  private func chatML(_ messages: [Message], _ addGenerationPrompt: Bool) -> String {
    func turn(_ role: Message.Role, _ content: String) -> String {
      "<|im_start|>\(role.rawValue)\n\(content)<|im_end|>\n"
    }
    var out = ""
    if let defaultSystem, let first = messages.first, first.role != .system { out += turn(.system, defaultSystem) }
    for message in messages { out += turn(message.role, message.content) }
    return addGenerationPrompt ? out + "<|im_start|>assistant\n" : out
  }

  private func llama3(_ messages: [Message], _ addGenerationPrompt: Bool) -> String {
    func header(_ role: Message.Role) -> String { "<|start_header_id|>\(role.rawValue)<|end_header_id|>\n\n" }
    func trimmed(_ message: Message) -> String { message.content.trimmingCharacters(in: Self.asciiSpaces) }
    var out = ""
    var rest = messages[...]
    if let preamble {
      let system = rest.first?.role == .system ? rest.removeFirst() : nil
      out += header(.system) + preamble + (system.map(trimmed) ?? "") + "<|eot_id|>"
    }
    for message in rest { out += header(message.role) + trimmed(message) + "<|eot_id|>" }
    return addGenerationPrompt ? out + header(.assistant) : out
  }

  // MARK: - Reading templates

  private static let asciiSpaces = CharacterSet(charactersIn: " \t\n\r\u{B}\u{C}")

  /// Of several templates the one called "default".
  private static func source(_ setting: Any?) -> String? {
    if let text = setting as? String { return text }
    return (setting as? [[String: Any]])?.first { $0["name"] as? String == "default" }?["template"] as? String
  }

  private static func defaultSystem(of source: String) -> String? {
    literal(in: source, between: #"<|im_start|>system\n"#, and: "<|im_end|>")
      ?? literal(in: source, between: "<|im_start|>system\n", and: "<|im_end|>")
  }

  /// Where a template asks for today's date, its own fallback is taken, so that a chat reads the same tomorrow.
  private static func datedPreamble(of source: String) -> String? {
    let mark = "Cutting Knowledge Date: "
    guard let cut = literal(in: source, between: mark, and: #"\n"#) ?? literal(in: source, between: mark, and: "\n"),
      let today = literal(in: source, between: #"date_string = ""#, and: "\"")
    else { return nil }
    return "\(mark)\(cut)\nToday Date: \(today)\n\n"
  }

  /// The first literal between two marks that is not empty and in which nothing is computed.
  private static func literal(in source: String, between before: String, and after: String) -> String? {
    var rest = source[...]
    while let start = rest.range(of: before, options: .literal) {
      rest = rest[start.upperBound...]
      guard let end = rest.range(of: after, options: .literal) else { return nil }
      let text = rest[..<end.lowerBound]
      let isComputed = ["' +", "\" +", "{{", "{%"].contains { text.contains($0) }
      if !isComputed, !text.isEmpty { return unescaped(String(text)) }
    }
    return nil
  }

  private static func unescaped(_ text: String) -> String {
    [(#"\n"#, "\n"), (#"\t"#, "\t"), (#"\'"#, "'"), (#"\""#, "\"")].reduce(text) {
      $0.replacingOccurrences(of: $1.0, with: $1.1)
    }
  }
}
