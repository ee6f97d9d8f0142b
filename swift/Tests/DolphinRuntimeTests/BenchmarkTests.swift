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
    let rows = try await runner.run(try fakeModel(), sinks: [CSVSink(csv), JSONLinesSink(lines)])
    #expect(rows.count == 3)
    let table = try String(contentsOf: csv, encoding: .utf8).split(separator: "\n")
    #expect(table.count == 4)
    #expect(table[0].hasPrefix("timestamp,tokens_per_second,init_ms,decode_ms_per_token,embed_ms,"))
    #expect(table.allSatisfy { $0.split(separator: ",").count == 9 })
    #expect(table[1].wholeMatch(of: /\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z,.*/) != nil)
    #expect(try String(contentsOf: lines, encoding: .utf8).split(separator: "\n").count == 3)
  }

  @Test func percentilesInterpolate() {
    #expect(percentile([4, 1, 3, 2], 50) == 2.5)
    #expect(percentile([], 90) == 0)
    #expect(percentile([7], 99) == 7)
  }
}
