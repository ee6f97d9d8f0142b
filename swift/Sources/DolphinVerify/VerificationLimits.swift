import DolphinRuntime
import Foundation

/// How far off a package may be: the limits of its own recipe's `[verify]`, or of what is set instead.
public struct VerificationLimits: Sendable, Equatable {
  /// nil: by the precision of the package.
  public var maxLogitError: Double?
  public var maxDivergence = 0.25
  public var minAgreement = 0.75
  public var minCosine = 0.99
  public var minCentredCosine = 0.9
  public var minRankCorrelation = 0.9

  public init() {}

  /// Of the recipe that travels in a package; the usual ones where it carries none.
  public init(package url: URL) throws {
    self.init()
    for (key, value) in try PackageRecipe(package: url).verify {
      if let number = value as? Double { try? set(key, to: number) }
    }
  }

  /// `key`: as in the recipe, "min_cosine".
  public mutating func set(_ key: String, to value: Double) throws {
    switch key {
    case "max_logit_error": maxLogitError = value
    case "max_divergence": maxDivergence = value
    case "min_agreement": minAgreement = value
    case "min_cosine": minCosine = value
    case "min_centred_cosine": minCentredCosine = value
    case "min_rank_correlation": minRankCorrelation = value
    default: throw DolphinError.invalidArgument("there is no limit 'verify.\(key)' that a golden file is held against")
    }
  }
}

/// The recipe that travels in a package, as far as reports need it.
package struct PackageRecipe {
  package private(set) var model = ""
  package private(set) var revision = ""
  package private(set) var verify: [String: Any] = [:]

  package init(package url: URL) throws {
    let file = DolphinModel.assets(of: url).appendingPathComponent("recipe.json")
    guard FileManager.default.fileExists(atPath: file.path) else { return }
    guard let data = try? Data(contentsOf: file),
      let recipe = try? JSONSerialization.jsonObject(with: data) as? [String: Any]
    else { throw DolphinError.invalidInput("\(file.path): is damaged") }
    let section = recipe["model"] as? [String: Any] ?? [:]
    model = section["source"] as? String ?? ""
    revision = section["revision"] as? String ?? ""
    verify = recipe["verify"] as? [String: Any] ?? [:]
  }
}
