import DolphinRuntime
import Foundation

/// Fetches one file; a test puts its own in place of the network.
public protocol FileTransport: Sendable {
  /// Writes what the address gives to a file that does not exist yet. `received`: bytes so far.
  func fetch(_ address: URL, to file: URL, received: @escaping @Sendable (Int64) -> Void) async throws
}

/// Downloads a package file by file, each held against the manifest's digest. What is there and whole is not fetched again,
/// so a download that was interrupted goes on where it was.
public struct PackageDownload: Sendable {
  /// The manifest's name beside the package's files on the server, as `dolphin manifest` writes it.
  public static let manifestName = "package.json"

  private let source: URL
  private let transport: any FileTransport

  /// `source`: the folder on the server that holds the package's files.
  public init(from source: URL, transport: any FileTransport) {
    self.source = source
    self.transport = transport
  }

  /// The package is in its place only once all of it is there and checked. `progress`: bytes done, and of how many.
  public func run(
    into place: URL, progress: @escaping @Sendable (_ done: Int64, _ total: Int64) -> Void = { _, _ in }
  ) async throws {
    let partial = place.appendingPathExtension("download")
    try FileManager.default.createDirectory(at: partial, withIntermediateDirectories: true)
    let manifest = try await manifest(partial)
    var done: Int64 = 0
    for file in manifest.files {
      try Task.checkCancellation()
      let target = partial.appendingPathComponent(file.path)
      if (try? file.check(target)) == nil {
        let before = done
        try await fetch(file, to: target) { progress(before + min($0, file.size), manifest.size) }
      }
      done += file.size
      progress(done, manifest.size)
    }
    try? FileManager.default.removeItem(at: place)
    try FileManager.default.moveItem(at: partial, to: place)
  }

  private func manifest(_ folder: URL) async throws -> PackageManifest {
    let file = folder.appendingPathComponent(Self.manifestName)
    try? FileManager.default.removeItem(at: file)
    try await transport.fetch(source.appendingPathComponent(Self.manifestName), to: file) { _ in }
    defer { try? FileManager.default.removeItem(at: file) }
    return try PackageManifest(json: Data(contentsOf: file))
  }

  private func fetch(
    _ file: PackageManifest.File, to target: URL, received: @escaping @Sendable (Int64) -> Void
  ) async throws {
    try FileManager.default.createDirectory(
      at: target.deletingLastPathComponent(), withIntermediateDirectories: true)
    try? FileManager.default.removeItem(at: target)
    try await transport.fetch(source.appendingPathComponent(file.path), to: target, received: received)
    do {
      try file.check(target)
    } catch {
      try? FileManager.default.removeItem(at: target)
      throw error
    }
  }
}
