import DolphinRuntime
import Foundation
import Observation

/// The user's notes, found by what they mean.
@MainActor @Observable public final class NotesModel {
  public struct Note: Identifiable, Codable, Equatable, Sendable {
    public let id: UUID
    public var text: String
    var vector: [Float]
  }

  public struct Match: Identifiable, Equatable, Sendable {
    public let note: Note
    public let similarity: Float
    public var id: UUID { note.id }
  }

  private struct Stored: Codable {
    let width: Int
    let notes: [Note]
  }

  /// What LLM2Vec puts before a question, and not before what is searched.
  private static let instruction = "Given a question, retrieve notes that answer it:"

  public private(set) var notes: [Note] = []
  public private(set) var matches: [Match] = []
  public private(set) var failure: String?
  private let embedder: Embedder
  private let file: URL
  private var searches = 0

  /// `file`: where the notes are kept. Throws where the model has no encoder.
  public init(_ model: DolphinModel, file: URL) throws {
    embedder = try model.embeddings
    self.file = file
    let stored = (try? Data(contentsOf: file)).flatMap { try? JSONDecoder().decode(Stored.self, from: $0) }
    notes = stored?.notes ?? []
    // Vectors of another model mean nothing to this one.
    if stored?.width != embedder.width { for i in notes.indices { notes[i].vector = [] } }
  }

  public func add(_ texts: [String]) async {
    let texts = texts.map { $0.trimmingCharacters(in: .whitespacesAndNewlines) }.filter { !$0.isEmpty }
    await attempt {
      let vectors = try await self.embedder.encode(texts, normalize: true)
      self.notes += zip(texts, vectors).map { Note(id: UUID(), text: $0, vector: $1) }
      try self.save()
    }
  }

  public func remove(_ id: Note.ID) async {
    notes.removeAll { $0.id == id }
    matches.removeAll { $0.id == id }
    await attempt { try self.save() }
  }

  /// The `count` best, best first. Of searches that overlap the last one counts.
  public func search(_ question: String, count: Int = 5) async {
    searches += 1
    let number = searches
    let question = question.trimmingCharacters(in: .whitespacesAndNewlines)
    guard !question.isEmpty else {
      matches = []
      return
    }
    await attempt {
      try await self.embedMissing()
      let query = try await self.embedder.encode([question], instruction: Self.instruction, normalize: true)[0]
      guard number == self.searches else { return }
      self.matches = Embedder.nearest(to: query, in: self.notes.map(\.vector), count: count).map {
        Match(note: self.notes[$0], similarity: Embedder.cosine(query, self.notes[$0].vector))
      }
    }
  }

  private func embedMissing() async throws {
    let missing = notes.filter(\.vector.isEmpty)
    if missing.isEmpty { return }
    let vectors = try await embedder.encode(missing.map(\.text), normalize: true)
    for (note, vector) in zip(missing, vectors) {
      if let place = notes.firstIndex(where: { $0.id == note.id }) { notes[place].vector = vector }
    }
    try save()
  }

  private func attempt(_ body: () async throws -> Void) async {
    do {
      try await body()
      failure = nil
    } catch {
      failure = error.localizedDescription
    }
  }

  private func save() throws {
    try JSONEncoder().encode(Stored(width: embedder.width, notes: notes)).write(to: file, options: .atomic)
  }
}
