import DolphinRuntime
import Foundation
import Testing

@Suite struct AnEmbedder {
  @Test func keepsTheOrderOfItsInputs() async throws {
    let vectors = try await fakeModel().embeddings.encode(["aaaa", "b", "cc"])
    #expect(vectors.map { $0[1] } == [4, 1, 2])
    #expect(vectors.map { $0[0] } == [97, 98, 99])
  }

  @Test func leavesTheInstructionOutOfTheMean() async throws {
    let vectors = try await fakeModel().embeddings.encode(["bb"], instruction: " zzz ")
    #expect(vectors == [[98, 2, 0]])
  }

  @Test func normalizesToLengthOne() async throws {
    let vector = try await fakeModel().embeddings.encode(["ab"], normalize: true)[0]
    #expect(abs(Embedder.cosine(vector, vector) - 1) < 1e-6)
    #expect(abs(vector.reduce(0) { $0 + $1 * $1 } - 1) < 1e-5)
  }

  @Test func refusesAnEmptyText() async throws {
    let embedder = try fakeModel().embeddings
    await #expect(throws: DolphinError.self) { try await embedder.encode([""]) }
  }

  @Test func findsTheNearest() {
    #expect(Embedder.nearest(to: [1, 0], in: [[0, 1], [2, 0.1], [1, 1]], count: 2) == [1, 2])
  }
}

/// An encoder of two lengths, the shorter one also for four texts at once.
private func bucketedBackend() -> FakeBackend {
  FakeBackend(encoders: ["encode": [1, 32], "encode_8": [1, 8], "encode_8_x4": [4, 8]])
}

@Suite struct AnEncoderOfSeveralLengths {
  @Test func takesShortTextsTogetherAndLongOnesAlone() async throws {
    let backend = bucketedBackend()
    let texts = ["a", "a long text of words", "bb", "ccc", "d", "another long one", "e"]
    let vectors = try await fakeModel(backend).embeddings.encode(texts)
    #expect(vectors.map { Int($0[1]) } == texts.map(\.utf8.count))
    #expect(backend.log == ["encode_8_x4", "encode_8", "encode", "encode"])
  }

  @Test func fillsMoreThanHalfOfABatchOrRunsOneByOne() async throws {
    for (count, calls) in [(2, ["encode_8", "encode_8"]), (3, ["encode_8_x4"])] {
      let backend = bucketedBackend()
      _ = try await fakeModel(backend).embeddings.encode(Array(repeating: "x", count: count))
      #expect(backend.log == calls)
    }
  }

  @Test func refusesWhatDoesNotFit() async throws {
    let embedder = try fakeModel(bucketedBackend()).embeddings
    #expect(embedder.maxLength == 32)
    for input in [
      EncoderInput(ids: [], pooling: []), EncoderInput(ids: [1], pooling: [0]),
      EncoderInput(ids: [1], pooling: [1, 1]),
      EncoderInput(ids: Array(repeating: 1, count: 33), pooling: Array(repeating: 1, count: 33)),
      EncoderInput(ids: [-1], pooling: [1]),
    ] {
      await #expect(throws: DolphinError.self) { try await embedder.encode([input]) }
    }
  }

  @Test func endsWithItsTask() async throws {
    let embedder = try fakeModel(FakeBackend(delay: .milliseconds(30))).embeddings
    let task = Task { try await embedder.encode(Array(repeating: "x", count: 1000)) }
    try await Task.sleep(for: .milliseconds(50))
    task.cancel()
    await #expect(throws: CancellationError.self) { try await task.value }
  }
}

@Suite(.enabled(if: canConvert)) struct AConvertedEncoder {
  private struct Case: Decodable {
    struct Input: Decodable {
      let instruction: String
      let text: String
      let mask: [Int]

      enum CodingKeys: String, CodingKey {
        case instruction, text
        case mask = "embed_mask"
      }
    }
    let name: String
    let inputs: [Input]
  }

  @Test func embedsTextsAsLLM2VecDoes() async throws {
    let folder = "goldens/llm2vec"
    let adapters = ["m1_mntp", "m1_supervised"].flatMap {
      ["--encoder-adapter", repository.appendingPathComponent("tests/data/models/\(folder)/adapters/\($0)").path]
    }
    let package = try ConvertedPackage(
      "\(folder)/models/bi_tiny_bf16",
      adapters + ["--set", "encoder.max_length=160", "--set", "encoder.lengths=[24]", "--set", "encoder.batch=4"],
      tokenizer: "tiny_llama3")
    let model = try await DolphinModel.load(from: package.url)

    let json = try Data(
      contentsOf: repository.appendingPathComponent("tests/data/tokenizers/llm2vec_inputs.json"))
    let cases = try JSONDecoder().decode([Case].self, from: json)
    let inputs = try #require(cases.first { $0.name == "t1_mntp_sup_mean" }).inputs
    let width = try model.embeddings.width
    let reference = try ReferenceFile("\(folder)/t1_mntp_sup_mean").values("embeddings_solo", as: Float.self)
    let pooled = inputs.indices.filter { inputs[$0].mask.contains(1) }
    for instruction in Set(pooled.map { inputs[$0].instruction }) {
      let rows = pooled.filter { inputs[$0].instruction == instruction }
      let vectors = try await model.embeddings.encode(rows.map { inputs[$0].text }, instruction: instruction)
      for (row, vector) in zip(rows, vectors) {
        let theirs = reference[row * width..<(row + 1) * width]
        #expect(zip(vector, theirs).allSatisfy { abs($0 - $1) < 2e-4 }, "\(inputs[row].text)")
      }
    }
  }
}
