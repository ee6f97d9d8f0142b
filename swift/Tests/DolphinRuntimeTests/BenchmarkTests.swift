import DolphinBench
import DolphinRuntime
import Foundation
import Testing

@Suite struct ABenchmark {
  @Test func writesEachRepetitionWithTheFiveOldColumnsFirst() async throws {
    let folder = FileManager.default.temporaryDirectory.appendingPathComponent(UUID().uuidString)
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: folder) }
    let csv = folder.appendingPathComponent("a.csv")
    let lines = folder.appendingPathComponent("a.jsonl")
    var runner = BenchmarkRunner()
    runner.repetitions = 3
    runner.prompt = "Hi"
    runner.packageDigest = "abc"
    let rows = try await runner.run(try fakeModel(), sinks: [CSVSink(csv), JSONLinesSink(lines)])
    #expect(rows.count == 3)
    let table = try String(contentsOf: csv, encoding: .utf8).split(separator: "\n")
    #expect(table.count == 4)
    #expect(table[0].hasPrefix("timestamp,tokens_per_second,init_ms,decode_ms_per_token,embed_ms,"))
    #expect(table.allSatisfy { $0.split(separator: ",").count == 15 })
    #expect(table[1].wholeMatch(of: /\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z,.*/) != nil)
    #expect(try String(contentsOf: lines, encoding: .utf8).split(separator: "\n").count == 3)
  }

  @Test func percentilesInterpolate() {
    #expect(percentile([4, 1, 3, 2], 50) == 2.5)
    #expect(percentile([], 90) == 0)
    #expect(percentile([7], 99) == 7)
  }

  @Test func aDigestIsThatOfTheStandard() throws {
    for (text, hex) in [
      ("", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
      ("abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
      (String(repeating: "a", count: 100_000), "6d1cf22d7cc09b085dfc25ee1a1f3ae0265804c607bc2074ad253bcc82fd81ee"),
    ] {
      var whole = SHA256Hash()
      whole.update(Data(text.utf8))
      #expect(whole.hex() == hex)
      var pieces = SHA256Hash()
      var rest = Data(text.utf8)[...]
      for size in [1, 62, 1, 64, 63, 200] {
        pieces.update(rest.prefix(size))
        rest = rest.dropFirst(size)
      }
      pieces.update(rest)
      #expect(pieces.hex() == hex)
    }
  }
}

@Suite struct AManifest {
  @Test func findsWhatIsDamagedOrMissing() throws {
    let folder = try TemporaryFolder()
    let file = folder.url.appendingPathComponent("a/b.txt")
    try FileManager.default.createDirectory(
      at: file.deletingLastPathComponent(), withIntermediateDirectories: true)
    try Data("abc".utf8).write(to: file)
    let manifest = try PackageManifest(of: folder.url)
    #expect(manifest.files.map(\.path) == ["a/b.txt"])
    #expect(try PackageManifest(json: manifest.json()) == manifest)
    try manifest.check(folder.url)
    try Data("abd".utf8).write(to: file)
    #expect(throws: DolphinError.self) { try manifest.check(folder.url) }
    try FileManager.default.removeItem(at: file)
    #expect(throws: DolphinError.self) { try manifest.check(folder.url) }
  }

  @Test(arguments: ["../x", "/etc/x", "a/../x", "a//b", "", "a\\b"]) func leavesThePackageNever(path: String) throws {
    let file: [String: Any] = ["path": path, "size": 1, "sha256": ""]
    let json = try JSONSerialization.data(withJSONObject: ["files": [file]])
    #expect(throws: DolphinError.self) { try PackageManifest(json: json) }
  }
}

/// Keeps what it is told.
private final class MemorySink: MetricsSink {
  let begun = Mutex<[UUID]>([])
  let events = Mutex<[(UUID, MetricsEvent)]>([])

  func began(_ kind: MetricsEvent.Kind, id: UUID) { begun.update { $0.append(id) } }
  func ended(_ event: MetricsEvent, id: UUID) { events.update { $0.append((id, event)) } }
}

@Suite struct AMetricsSink {
  @Test func isToldOfAnswersEmbeddingsAndFailures() async throws {
    let sink = MemorySink()
    let model = try DolphinModel(
      backend: FakeBackend(context: 100), tokenizer: ByteTokenizer(), template: .chatML(), metrics: sink)
    _ = try await ChatSession(model).respond(to: "Hi")
    _ = try await model.embeddings.encode(["a", "b"])
    _ = try? await ChatSession(model).respond(to: String(repeating: "x", count: 200))
    let events = sink.events.value
    #expect(events.map(\.0) == sink.begun.value)
    #expect(events.map(\.1.kind) == [.answer, .embedding, .answer])
    #expect(events[0].1.answer?.generatedTokens == 15)
    #expect(events[0].1.finish == .stop)
    #expect(events[1].1.texts == 2)
    #expect(events[2].1.failure?.isEmpty == false)
  }

  @Test func mayBeAFileOfJSONLines() async throws {
    let folder = try TemporaryFolder()
    let file = folder.url.appendingPathComponent("metrics.jsonl")
    let model = try DolphinModel(
      backend: FakeBackend(), tokenizer: ByteTokenizer(), template: .chatML(), metrics: JSONLinesSink(file))
    for message in ["Hi", "Again"] { _ = try await ChatSession(model).respond(to: message) }
    let lines = try String(contentsOf: file, encoding: .utf8).split(separator: "\n")
    let decoder = JSONDecoder()
    decoder.dateDecodingStrategy = .iso8601
    let events = try lines.map { try decoder.decode(MetricsEvent.self, from: Data($0.utf8)) }
    #expect(events.map(\.finish) == [.stop, .stop])
  }
}
