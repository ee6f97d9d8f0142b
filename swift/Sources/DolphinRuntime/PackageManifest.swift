import Foundation

/// The files of a package with their digests, as a download needs them.
///
///     let manifest = try PackageManifest(of: package)
///     try manifest.check(copy)
public struct PackageManifest: Codable, Sendable, Equatable {
  public struct File: Codable, Sendable, Equatable {
    /// Relative to the package, with "/" between folders.
    public let path: String
    public let size: Int64
    public let sha256: String

    public init(path: String, size: Int64, sha256: String) {
      self.path = path
      self.size = size
      self.sha256 = sha256
    }

    /// Throws where the file is not this one.
    public func check(_ url: URL) throws {
      let size = try? FileManager.default.attributesOfItem(atPath: url.path)[.size] as? Int64
      guard size == self.size, try SHA256Hash.hex(of: url) == sha256 else {
        throw DolphinError.invalidInput("\(path) is damaged or another version; download it again")
      }
    }
  }

  /// Sorted by path.
  public let files: [File]

  public var size: Int64 { files.reduce(0) { $0 + $1.size } }

  /// Reads every file of a package.
  public init(of package: URL) throws {
    files = try Self.paths(of: package).map { path in
      let url = package.appendingPathComponent(path)
      let size = try FileManager.default.attributesOfItem(atPath: url.path)[.size] as? Int64
      return File(path: path, size: size ?? 0, sha256: try SHA256Hash.hex(of: url))
    }
  }

  /// Throws for paths that leave the package, sizes below zero, and a sum that is too large.
  public init(json: Data) throws {
    do {
      self = try JSONDecoder().decode(Self.self, from: json)
    } catch {
      throw DolphinError.invalidInput("the package's manifest is damaged: \(error)")
    }
    var sum: Int64 = 0
    for file in files {
      let parts = file.path.split(separator: "/", omittingEmptySubsequences: false)
      guard !parts.contains(where: { ["", ".", ".."].contains($0) || $0.contains("\\") }), file.size >= 0 else {
        throw DolphinError.invalidInput("the package's manifest names no file of a package: '\(file.path)'")
      }
      let (total, overflows) = sum.addingReportingOverflow(file.size)
      if overflows { throw DolphinError.invalidInput("the package's manifest has sizes that cannot be") }
      sum = total
    }
  }

  /// Keys sorted.
  public func json() throws -> Data {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
    return try encoder.encode(self)
  }

  /// Throws where a file is missing or another one. Files beyond the manifest's do not matter.
  public func check(_ package: URL) throws {
    for file in files { try file.check(package.appendingPathComponent(file.path)) }
  }

  /// One digest for all: of the lines "SHA256  PATH".
  public var digest: String {
    var hash = SHA256Hash()
    for file in files { hash.update(Data("\(file.sha256)  \(file.path)\n".utf8)) }
    return hash.hex()
  }

  private static func paths(of package: URL) throws -> [String] {
    guard let files = FileManager.default.enumerator(atPath: package.path) else {
      throw DolphinError.invalidInput("\(package.path) cannot be read")
    }
    var paths: [String] = []
    while let path = files.nextObject() as? String {
      var isFolder: ObjCBool = false
      let whole = package.appendingPathComponent(path).path
      if FileManager.default.fileExists(atPath: whole, isDirectory: &isFolder), !isFolder.boolValue {
        paths.append(path)
      }
    }
    return paths.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
  }
}
