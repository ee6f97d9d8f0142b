import Foundation
import Testing

@testable import DolphinRuntime

private func largestDifference(_ a: [Float], _ b: some Collection<Float>) -> Float {
  a.count == b.count ? zip(a, b).reduce(0) { max($0, abs($1.0 - $1.1)) } : .infinity
}

@Suite(.enabled(if: canConvert)) struct TheCPUBackend {
  @Test(arguments: ["gqa_bf16", "rope_llama3_bf16"]) func givesTheReferenceLogits(model: String) async throws {
    let package = try ConvertedPackage(model)
    let golden = try ReferenceFile("goldens/\(model)")
    let prompt = try golden.values("prompt_ids", as: Int64.self).map { Int32($0) }
    let forced = try golden.values("decode_ids", as: Int64.self).map { Int32($0) }
    let prefill = try golden.values("prefill_logits", as: Float.self)
    let decode = try golden.values("decode_logits", as: Float.self)
    let width = prefill.count / prompt.count

    var feeder = try await TokenFeeder(CPUBackend(package: package.url))
    #expect(largestDifference(try await feeder.feed(prompt), prefill.suffix(width)) < 2e-4)
    for (i, token) in forced.enumerated() {
      let logits = try await feeder.feed([token])
      #expect(largestDifference(logits, decode[i * width..<(i + 1) * width]) < 2e-4)
    }
    feeder.rewind(to: 5)
    #expect(largestDifference(try await feeder.feed(Array(prompt[5...])), prefill.suffix(width)) < 2e-4)
  }

  @Test func sessionsRunAtOnce() async throws {
    let package = try ConvertedPackage("gqa_bf16")
    let backend = try CPUBackend(package: package.url)
    let all = try await withThrowingTaskGroup(of: [Float].self) { group in
      for _ in 0..<4 {
        group.addTask {
          var feeder = try await TokenFeeder(backend)
          _ = try await feeder.feed(Array(1...20))
          return try await feeder.feed([7])
        }
      }
      return try await group.reduce(into: [[Float]]()) { $0.append($1) }
    }
    #expect(all.allSatisfy { $0 == all[0] })
  }

  @Test func readsTypedMetadata() async throws {
    let package = try ConvertedPackage("gqa_bf16")
    let model = try DolphinModel(
      backend: try CPUBackend(package: package.url), tokenizer: ByteTokenizer(), template: nil)
    #expect(model.facts?.context == 64)
    #expect(model.facts?.prefill == 16)
    #expect(model.facts?.vocabularySize == 320)
  }

  @Test func damagedPackagesAreRefused() async throws {
    let package = try ConvertedPackage("gqa_bf16")
    for file in ["Data/com.apple.CoreML/model.mlmodel", "Data/com.apple.CoreML/weights/weight.bin", "Manifest.json"] {
      let url = package.url.appendingPathComponent(file)
      let whole = try Data(contentsOf: url)
      for size in [0, 1, whole.count / 2, whole.count - 2] {
        try whole.prefix(size).write(to: url)
        #expect(throws: DolphinError.self, "\(file), \(size) bytes") { try CPUBackend(package: package.url) }
      }
      try FileManager.default.removeItem(at: url)
      #expect(throws: DolphinError.self, "no \(file)") { try CPUBackend(package: package.url) }
      try whole.write(to: url)
    }
    await #expect(throws: DolphinError.self, "no tokenizer") { try await DolphinModel.load(from: package.url) }
  }

  @Test func chatsWordForWordAsTheConverterDoes() async throws {
    let package = try ConvertedPackage(
      "goldens/llm2vec/models/bi_tiny_bf16", ["--set", "graph.context=128"], tokenizer: "tiny_llama3")
    var configuration = DolphinModel.Configuration()
    configuration.template = .llama3
    configuration.warmsUp = true
    let model = try await DolphinModel.load(from: package.url, configuration: configuration)
    let session = ChatSession(model)
    var answers = ""
    for message in ["Hello", "And again"] {
      answers += try await session.respond(to: message, options: .init(maxTokens: 8)) + "\n"
    }
    let sampled = GenerationOptions(maxTokens: 8, temperature: 0.8, seed: 7)
    let other = try await ChatSession(model).respond(to: "Hello", options: sampled) + "\n"

    let chat = ["chat", package.url.path, "--chat-template", "llama3", "--max-new-tokens", "8"]
    #expect(try runConverter(chat, input: "Hello\nAnd again\n").output == answers)
    let sampling = ["--temperature", "0.8", "--seed", "7"]
    #expect(try runConverter(chat + sampling, input: "Hello\n").output == other)
  }

  @Test func aVariantTalksWithItsOwnAdapters() async throws {
    let adapter = repository.appendingPathComponent("tests/data/lora_unsloth/adapters/plain_r8_attn").path
    let package = try ConvertedPackage("base_bf16", ["--variant", "coder=\(adapter)"])
    let merged = try ConvertedPackage("base_bf16", ["--adapter", adapter])
    let tokens: [Int32] = [1, 17, 42, 99, 3]
    let backend = try CPUBackend(package: package.url)
    var coder = try await TokenFeeder(backend, variant: "coder")
    var plain = try await TokenFeeder(backend)
    var wanted = try await TokenFeeder(CPUBackend(package: merged.url))
    let logits = try await coder.feed(tokens)
    #expect(largestDifference(logits, try await wanted.feed(tokens)) < 0.05)
    #expect(largestDifference(logits, try await plain.feed(tokens)) > 0.05)
    let model = try DolphinModel(backend: backend, tokenizer: ByteTokenizer(), template: .chatML())
    #expect(model.variants == ["coder"])
    let lost = ChatSession(model, variant: "nobody")
    await #expect(throws: DolphinError.self) { try await lost.respond(to: "Hi") }
  }
}

@Suite struct AMissingRuntimeLibrary {
  @Test func isNamedWithTheRemedy() {
    let nowhere = URL(fileURLWithPath: "/nowhere.mlpackage")
    let error = #expect(throws: DolphinError.self) { try CPUBackend(package: nowhere, library: "/no/such/library") }
    #expect(error?.localizedDescription.contains("D2C_RUNTIME") == true)
  }
}
