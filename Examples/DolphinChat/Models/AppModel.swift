import DolphinRuntime
import Foundation
import Observation

/// From an app without a package to one that talks.
@MainActor @Observable public final class AppModel {
  public enum Stage {
    case needsPackage
    case downloading(done: Int64, total: Int64)
    case loading(DolphinModel.LoadingStage)
    case ready(chat: ChatModel, notes: NotesModel?)
    case failed(String)
  }

  public typealias Loader =
    @Sendable (URL, @escaping @Sendable (DolphinModel.LoadingStage) -> Void) async throws -> DolphinModel

  public private(set) var stage = Stage.needsPackage
  private let folder: URL
  private let transport: any FileTransport
  private let loader: Loader
  private var work: Task<Void, Never>?

  /// `folder`: where the app keeps the package, the conversation and the notes.
  public init(folder: URL, transport: any FileTransport, loader: @escaping Loader = AppModel.load) {
    self.folder = folder
    self.transport = transport
    self.loader = loader
  }

  public static let load: Loader = { package, progress in
    var configuration = DolphinModel.Configuration()
    configuration.warmsUp = true
    #if canImport(Darwin)
      configuration.metrics = OSLogSink(subsystem: Bundle.main.bundleIdentifier ?? "DolphinChat")
    #endif
    return try await DolphinModel.load(from: package, configuration: configuration, progress: progress)
  }

  private var package: URL { folder.appendingPathComponent("Model.mlpackage") }

  /// Loads the package if it is here already.
  public func start() async {
    guard FileManager.default.fileExists(atPath: package.path) else { return }
    await run { try await self.open() }
  }

  /// Downloads the package, then loads it. A second call meanwhile does nothing.
  public func download(from source: URL) async {
    await run {
      try FileManager.default.createDirectory(at: self.folder, withIntermediateDirectories: true)
      self.stage = .downloading(done: 0, total: 0)
      let download = PackageDownload(from: source, transport: self.transport)
      try await download.run(into: self.package) { done, total in Task { @MainActor in self.show(done, total) } }
      try await self.open()
    }
  }

  public func cancelDownload() { work?.cancel() }

  /// Frees what can be made again.
  public func releaseMemory() async {
    guard case .ready(let chat, _) = stage else { return }
    await chat.releaseMemory()
  }

  /// The app leaves the screen: the system lets it use neither GPU nor Neural Engine for long.
  public func enterBackground() async {
    guard case .ready(let chat, _) = stage else { return }
    await chat.enterBackground()
  }

  private func run(_ body: @escaping @MainActor () async throws -> Void) async {
    guard work == nil else { return }
    let task = Task {
      do {
        try await body()
      } catch is CancellationError {
        stage = .needsPackage
      } catch {
        stage = .failed(error.localizedDescription)
      }
    }
    work = task
    await task.value
    work = nil
  }

  private func open() async throws {
    stage = .loading(.functions)
    let model = try await loader(package) { step in Task { @MainActor in self.show(step) } }
    let chat = ChatModel(model, file: folder.appendingPathComponent("conversation.json"))
    let notes = try? NotesModel(model, file: folder.appendingPathComponent("notes.json"))
    stage = .ready(chat: chat, notes: notes)
  }

  /// Steps may be told of late, and out of order.
  private func show(_ done: Int64, _ total: Int64) {
    if case .downloading(let before, _) = stage, done >= before { stage = .downloading(done: done, total: total) }
  }

  private func show(_ step: DolphinModel.LoadingStage) {
    if case .loading = stage { stage = .loading(step) }
  }
}
