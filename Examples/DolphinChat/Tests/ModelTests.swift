import DolphinRuntime
import Foundation
import Testing

@testable import DolphinChatModels

#if canImport(FoundationNetworking)
  import FoundationNetworking
#endif

@MainActor @Suite(.timeLimit(.minutes(2))) struct AChatScreen {
  private let folder: TemporaryFolder
  private var file: URL { folder.url.appendingPathComponent("conversation.json") }

  init() throws { folder = try TemporaryFolder() }

  @Test func showsTheConversation() async throws {
    let chat = ChatModel(try fakeModel(), file: file)
    await chat.send("  Hi ")
    #expect(chat.lines.map(\.text) == ["Hi", "Yes."])
    #expect(chat.lines.map(\.role) == [.user, .assistant])
    #expect(chat.state == .idle)
    #expect(!chat.isAnswering)
  }

  @Test func nothingIsSentForBlanks() async throws {
    let chat = ChatModel(try fakeModel(), file: file)
    await chat.send(" \n")
    #expect(chat.lines.isEmpty)
  }

  @Test func goesOnWhereItWas() async throws {
    let first = ChatModel(try fakeModel(), file: file)
    await first.send("Hi")
    let second = ChatModel(try fakeModel(), file: file)
    #expect(second.lines == first.lines)
    await second.send("Again")
    #expect(second.lines.map(\.text) == ["Hi", "Yes.", "Again", "Yes."])
  }

  /// A screen whose model waits at a token, once it does.
  private func paused(at token: Character) async throws -> (ChatModel, Task<Void, Never>) {
    let pause = Pause(at: token)
    let chat = ChatModel(try fakeModel(FakeBackend(pause: pause)), file: file)
    let sending = Task { await chat.send("Hi") }
    while await !pause.hasBegun { try await Task.sleep(for: .milliseconds(1)) }
    return (chat, sending)
  }

  @Test func stoppingKeepsWhatWasSaid() async throws {
    let (chat, sending) = try await paused(at: "Y")
    await chat.enterBackground()
    await sending.value
    #expect(chat.state == .idle)
    #expect(chat.lines.map(\.text) == ["Hi", "Y"])
    #expect(ChatModel(try fakeModel(), file: file).lines == chat.lines)
    await chat.releaseMemory()
    await chat.send("Again")
    #expect(chat.lines.last?.text == "Yes.")
  }

  @Test func aMessageStoppedBeforeTheFirstTokenIsForgotten() async throws {
    let (chat, sending) = try await paused(at: "H")
    #expect(chat.isAnswering)
    chat.stop()
    await sending.value
    #expect(chat.lines.isEmpty)
    #expect(chat.state == .idle)
  }

  @Test func aFailureIsShownAndTheNextMessageAnswered() async throws {
    var backend = FakeBackend()
    backend.context = 100
    let chat = ChatModel(try fakeModel(backend), file: file)
    await chat.send(String(repeating: "x", count: 200))
    guard case .failed = chat.state else { throw DolphinError.invalidInput("\(chat.state)") }
    #expect(chat.lines.isEmpty)
    await chat.send("Hi")
    #expect(chat.lines.last?.text == "Yes.")
    await chat.clear()
    #expect(chat.lines.isEmpty)
  }
}

@MainActor @Suite(.timeLimit(.minutes(2))) struct ANotesScreen {
  private let folder: TemporaryFolder
  private var file: URL { folder.url.appendingPathComponent("notes.json") }

  init() throws { folder = try TemporaryFolder() }

  @Test func findsTheNearestNotesFirst() async throws {
    let notes = try NotesModel(try fakeModel(), file: file)
    await notes.add(["zzz", "abc", " ", "aab"])
    #expect(notes.notes.count == 3)
    await notes.search("aabb", count: 2)
    #expect(notes.matches.map(\.note.text) == ["aab", "abc"])
    #expect(notes.matches[0].similarity > notes.matches[1].similarity)
    await notes.search(" ")
    #expect(notes.matches.isEmpty)
  }

  @Test func keepsNotesAndForgetsThoseRemoved() async throws {
    let first = try NotesModel(try fakeModel(), file: file)
    await first.add(["abc", "xyz"])
    await first.remove(first.notes[0].id)
    let second = try NotesModel(try fakeModel(), file: file)
    #expect(second.notes.map(\.text) == ["xyz"])
    await second.search("x")
    #expect(second.matches.map(\.note.text) == ["xyz"])
  }

  @Test func vectorsOfAnotherModelAreMadeAgain() async throws {
    let other = #"{"width":2,"notes":[{"id":"\#(UUID())","text":"abc","vector":[1,0]}]}"#
    try Data(other.utf8).write(to: file)
    let notes = try NotesModel(try fakeModel(), file: file)
    await notes.search("a")
    #expect(notes.failure == nil)
    #expect(notes.matches.count == 1)
    #expect(notes.notes[0].vector.count == 26)
  }

  @Test func needsAnEncoder() throws {
    var backend = FakeBackend()
    backend.hasEncoder = false
    let model = try fakeModel(backend)
    #expect(throws: DolphinError.self) { try NotesModel(model, file: file) }
  }
}

@Suite(.timeLimit(.minutes(2))) struct APackageDownload {
  private let server: TemporaryFolder
  private let place: URL
  private let source: URL
  private let transport = FolderTransport()
  private let manifest: PackageManifest

  init() throws {
    server = try TemporaryFolder()
    place = server.url.appendingPathComponent("here/Model.mlpackage")
    source = server.url.appendingPathComponent("package")
    for (name, text) in [("Manifest.json", "{}"), ("Data/weights.bin", "0123456789"), ("Data/empty", "")] {
      let file = source.appendingPathComponent(name)
      try FileManager.default.createDirectory(
        at: file.deletingLastPathComponent(), withIntermediateDirectories: true)
      try Data(text.utf8).write(to: file)
    }
    manifest = try PackageManifest(of: source)
    try manifest.json().write(to: source.appendingPathComponent(PackageDownload.manifestName))
  }

  private var download: PackageDownload { PackageDownload(from: source, transport: transport) }

  @Test func putsTheWholePackageInPlace() async throws {
    let steps = Steps()
    try await download.run(into: place) { done, total in steps.add(done, total) }
    #expect(try PackageManifest(of: place) == manifest)
    #expect((steps.all.last ?? (0, 0)) == (12, 12))
    #expect(steps.all.map(\.0) == steps.all.map(\.0).sorted())
  }

  @Test func goesOnAfterAnInterruption() async throws {
    await transport.breakOff(at: ["weights.bin"])
    await #expect(throws: URLError.self) { try await download.run(into: place) }
    #expect(!FileManager.default.fileExists(atPath: place.path))
    await transport.breakOff(at: [])
    await transport.forget()
    try await download.run(into: place)
    #expect(await transport.fetched.contains("weights.bin"))
    #expect(await !transport.fetched.contains("empty"))
    try manifest.check(place)
  }

  @Test func whatIsNotWhatTheManifestSaysIsThrownAway() async throws {
    await transport.damage(["weights.bin"])
    await #expect(throws: DolphinError.self) { try await download.run(into: place) }
    await transport.damage([])
    try await download.run(into: place)
    try manifest.check(place)
  }

  @Test(.enabled(if: WebServer.isAvailable)) func comesOverTheNetwork() async throws {
    let web = try WebServer(source)
    let download = PackageDownload(from: web.address, transport: URLSessionTransport())
    try await download.run(into: place)
    try manifest.check(place)
    try FileManager.default.removeItem(at: source.appendingPathComponent("Data/weights.bin"))
    let again = server.url.appendingPathComponent("again")
    await #expect(throws: DolphinError.self) { try await download.run(into: again) }
    #expect(!FileManager.default.fileExists(atPath: again.path))
  }

  @MainActor @Test func theAppShowsEachStage() async throws {
    let folder = server.url.appendingPathComponent("app")
    let app = AppModel(folder: folder, transport: transport) { package, _ in
      #expect(FileManager.default.fileExists(atPath: package.path))
      return try fakeModel()
    }
    await app.start()
    guard case .needsPackage = app.stage else { throw DolphinError.invalidInput("\(app.stage)") }
    await transport.breakOff(at: ["weights.bin"])
    await app.download(from: source)
    guard case .failed = app.stage else { throw DolphinError.invalidInput("\(app.stage)") }
    await transport.breakOff(at: [])
    await app.download(from: source)
    guard case .ready(let chat, let notes) = app.stage else { throw DolphinError.invalidInput("\(app.stage)") }
    #expect(notes != nil)
    await chat.send("Hi")
    await app.enterBackground()
    await app.releaseMemory()
    let again = AppModel(folder: folder, transport: transport) { _, _ in try fakeModel() }
    await again.start()
    guard case .ready(let kept, _) = again.stage else { throw DolphinError.invalidInput("\(again.stage)") }
    #expect(kept.lines == chat.lines)
  }
}

private final class Steps: @unchecked Sendable {  // guarded by the lock
  private let lock = NSLock()
  private var stored: [(Int64, Int64)] = []

  var all: [(Int64, Int64)] { lock.withLock { stored } }

  func add(_ done: Int64, _ total: Int64) { lock.withLock { stored.append((done, total)) } }
}

/// Python's server of a folder.
private final class WebServer {
  private static let python = "/usr/bin/python3"
  static var isAvailable: Bool { FileManager.default.isExecutableFile(atPath: python) }

  let address: URL
  private let process = Process()

  init(_ folder: URL) throws {
    let output = Pipe()
    process.executableURL = URL(fileURLWithPath: Self.python)
    process.arguments = ["-u", "-m", "http.server", "0", "--bind", "127.0.0.1", "--directory", folder.path]
    process.standardOutput = output
    process.standardError = FileHandle.nullDevice
    try process.run()
    // "Serving HTTP on 127.0.0.1 port 40123 (http://127.0.0.1:40123/) ..."
    let line = String(decoding: output.fileHandleForReading.availableData, as: UTF8.self)
    let port = try #require(line.firstMatch(of: /port (\d+)/)?.1)
    address = try #require(URL(string: "http://127.0.0.1:\(port)"))
  }

  deinit { process.terminate() }
}
