import DolphinRuntime
import Foundation

/// What a package has to answer, as another program recorded it (docs/verification.md).
public struct Golden: Sendable {
  /// Whose weights the reference was computed with, and so what agreement with it proves.
  public enum Weights: String, Sendable {
    /// The package's own, dequantized: that graph and backend compute what the weights say.
    case package
    /// Those of the model it was made from: that conversion and quantization keep the model.
    case checkpoint
  }

  struct Prompt: Sendable {
    var text: String
    var tokens: [Int32]
    /// Greedy.
    var answer: [Int32]
    /// After the prompt, and after each token of the answer.
    var logits: [[Float]]
  }

  struct Sentence: Sendable {
    var text: String
    var input: EncoderInput
    var embedding: [Float]
  }

  private static let format = "dolphin2coreml golden 1"

  /// For people: what computed it, from what.
  public let name: String
  public let weights: Weights
  let prompts: [Prompt]
  let sentences: [Sentence]

  public var isEmpty: Bool { prompts.isEmpty && sentences.isEmpty }

  /// Throws `DolphinError.invalidInput` naming the file and the tensor for anything but a golden file.
  public init(contentsOf url: URL) throws {
    let file = try Safetensors(url)
    guard file.metadata["format"] == Self.format else {
      throw DolphinError.invalidInput(
        "\(url.path): is no golden file of this version: its metadata lacks format = \"\(Self.format)\"")
    }
    let whose = file.metadata["weights"] ?? ""
    guard let weights = Weights(rawValue: whose) else {
      throw DolphinError.invalidInput(
        "\(url.path): weights = \"\(whose)\" in its metadata is neither \"package\" nor \"checkpoint\"")
    }
    self.weights = weights
    name = file.metadata["reference"] ?? ""
    prompts = try (0...).lazy.prefix { file.has("prompt.\($0).tokens") }.map { try Self.prompt($0, file) }
    sentences = try (0...).lazy.prefix { file.has("sentence.\($0).ids") }.map { try Self.sentence($0, file) }
  }

  private static func prompt(_ index: Int, _ file: Safetensors) throws -> Prompt {
    let name = "prompt.\(index)"
    let answer = try file.tokens(name + ".generated")
    let (shape, values) = try file.floats(name + ".logits", rank: 2)
    let (rows, width) = (shape[0], shape[1])
    guard rows == answer.count + 1, width > 0 else {
      throw DolphinError.invalidInput(
        "\(file.path): \(name).logits is \(shape); expected \(answer.count + 1) rows, one for the prompt and one for "
          + "each token of the answer")
    }
    guard answer.allSatisfy({ 0 <= $0 && $0 < width }) else {
      throw DolphinError.invalidInput("\(file.path): \(name).generated has a token without a logit")
    }
    return Prompt(
      text: file.metadata[name] ?? "", tokens: try file.tokens(name + ".tokens"), answer: answer,
      logits: (0..<rows).map { Array(values[$0 * width..<($0 + 1) * width]) })
  }

  private static func sentence(_ index: Int, _ file: Safetensors) throws -> Sentence {
    let name = "sentence.\(index)"
    let ids = try file.tokens(name + ".ids")
    let mask = name + ".pooling_mask"
    let pooling = file.has(mask) ? try file.tokens(mask) : Array(repeating: 1, count: ids.count)
    return Sentence(
      text: file.metadata[name] ?? "", input: EncoderInput(ids: ids, pooling: pooling),
      embedding: try file.floats(name + ".embedding", rank: 1).values)
  }
}
