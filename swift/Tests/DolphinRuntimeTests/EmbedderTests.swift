import DolphinRuntime
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
