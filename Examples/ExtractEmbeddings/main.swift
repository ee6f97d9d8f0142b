// Embeds the lines of a file that are not empty, batch by batch, one JSON line for each; goes on where an earlier run ended.
//
//     swift run -c release extract-embeddings Model.mlpackage texts.txt vectors.jsonl
import DolphinRuntime
import Foundation

struct Row: Codable {
  let index: Int
  let embedding: [Float]
}

/// Enough for a package's batched functions to be full, little enough to be written often.
let batchSize = 64

func linesWritten(_ file: URL) throws -> Int {
  guard let data = try? Data(contentsOf: file) else { return 0 }
  let whole = data.lastIndex(of: UInt8(ascii: "\n")).map { data[...$0] } ?? Data()
  // A run that was cut off may have left half a line.
  if whole.count < data.count { try whole.write(to: file) }
  return whole.count { $0 == UInt8(ascii: "\n") }
}

func run(_ package: URL, _ texts: URL, _ output: URL) async throws {
  let embedder = try await DolphinModel.load(from: package).embeddings
  let lines = try String(contentsOf: texts, encoding: .utf8).split(separator: "\n").map(String.init)
  var next = try linesWritten(output)
  if next == 0 { try Data().write(to: output) }
  let file = try FileHandle(forWritingTo: output)
  try file.seekToEnd()
  while next < lines.count {
    let batch = Array(lines[next..<min(next + batchSize, lines.count)])
    let vectors = try await embedder.encode(batch, normalize: true)
    let rows = try vectors.enumerated().map { try JSONEncoder().encode(Row(index: next + $0, embedding: $1)) }
    try file.write(contentsOf: rows.reduce(into: Data()) { $0 += $1 + Data("\n".utf8) })
    next += batch.count
    FileHandle.standardError.write(Data("\(next) of \(lines.count)\n".utf8))
  }
  try file.close()
}

let arguments = CommandLine.arguments.dropFirst().map { URL(fileURLWithPath: $0) }
guard arguments.count == 3 else {
  FileHandle.standardError.write(Data("extract-embeddings PACKAGE TEXTS OUTPUT\n".utf8))
  exit(2)
}
do {
  try await run(arguments[0], arguments[1], arguments[2])
} catch {
  FileHandle.standardError.write(Data("extract-embeddings: \(error.localizedDescription)\n".utf8))
  exit(1)
}
