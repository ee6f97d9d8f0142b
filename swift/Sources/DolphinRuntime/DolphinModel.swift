import Foundation

/// A language model and sentence encoder, loaded from a package that dolphin2coreml wrote.
///
///     let model = try await DolphinModel.load(from: url)
///     let session = ChatSession(model, instructions: "Be brief.")
///     print(try await session.respond(to: "Hello"))
public actor DolphinModel {
  public enum ComputeUnits: String, Sendable, CaseIterable {
    case all, cpuAndGPU, cpuAndNeuralEngine, cpuOnly
  }

  public struct Configuration: Sendable {
    /// Where Core ML runs init and decode.
    public var computeUnits: ComputeUnits = .all
    /// Where Core ML runs encode; nil: as the other functions.
    public var encoderComputeUnits: ComputeUnits?
    /// Uses the CPU runner also where Core ML exists.
    public var usesCPURunner = false
    public var cpuPrecision: CPUBackend.Precision = .fp32
    /// Threads of the CPU runner; 0: one for each core.
    public var threads = 0
    /// A folder with tokenizer.json; nil: the package's own, which a compiled .mlmodelc does not have.
    public var tokenizerFolder: URL?
    /// nil: as the tokenizer's folder says.
    public var template: ChatTemplate?

    public init() {}
  }

  public enum LoadingStage: Sendable, Equatable {
    case functions, tokenizer, ready
  }

  public nonisolated let backend: any PredictionBackend
  public nonisolated let tokenizer: any TextTokenizer
  /// Nothing where the model has no template known here; chats then need one from the configuration.
  public nonisolated let template: ChatTemplate?
  public nonisolated let facts: ModelFacts?
  public nonisolated let encoderFacts: EncoderFacts
  /// Tokens that end an answer.
  public nonisolated let stopTokens: Set<Int32>
  public nonisolated let loadTime: Duration

  /// Loads a `.mlpackage`, or, with Core ML, a `.mlmodelc`.
  public static func load(
    from url: URL, configuration: Configuration = .init(),
    progress: (@Sendable (LoadingStage) -> Void)? = nil
  ) async throws -> DolphinModel {
    let start = ContinuousClock.now
    progress?(.functions)
    let backend = try await makeBackend(url, configuration)
    try Task.checkCancellation()
    progress?(.tokenizer)
    let folder = configuration.tokenizerFolder ?? url.appendingPathComponent("Data/dolphin2coreml")
    let tokenizer = try BPETokenizer(folder: folder)
    let template = configuration.template ?? (try? ChatTemplate(folder: folder))
    let model = try DolphinModel(
      backend: backend, tokenizer: tokenizer, template: template, generationConfig: folder,
      loadTime: ContinuousClock.now - start)
    progress?(.ready)
    return model
  }

  /// A model of parts: another backend, or another library's tokenizer.
  public init(
    backend: any PredictionBackend, tokenizer: any TextTokenizer, template: ChatTemplate?, generationConfig: URL? = nil,
    loadTime: Duration = .zero
  ) throws {
    self.backend = backend
    self.tokenizer = tokenizer
    self.template = template
    self.loadTime = loadTime
    facts = try PackageMetadata.decode(ModelFacts.self, "d2c.model", of: backend.metadata)
    encoderFacts = try PackageMetadata.decode(EncoderFacts.self, "d2c.encoder", of: backend.metadata) ?? EncoderFacts()
    var stops = Set(facts?.eosTokens ?? [])
    stops.formUnion(template?.stopTokenNames.compactMap(tokenizer.token(named:)) ?? [])
    stops.formUnion(Self.endTokens(generationConfig))
    stopTokens = stops
  }

  /// The package's sentence encoder.
  public nonisolated var embeddings: Embedder { get throws { try Embedder(self) } }

  private static func makeBackend(_ url: URL, _ configuration: Configuration) async throws -> any PredictionBackend {
    #if canImport(CoreML)
      if !configuration.usesCPURunner { return try await coreML(url, configuration) }
    #endif
    return try CPUBackend(package: url, precision: configuration.cpuPrecision, threads: configuration.threads)
  }

  private static func endTokens(_ folder: URL?) -> [Int32] {
    guard let data = folder.flatMap({ try? Data(contentsOf: $0.appendingPathComponent("generation_config.json")) }),
      let config = try? JSONSerialization.jsonObject(with: data) as? [String: Any]
    else { return [] }
    let ids = config["eos_token_id"] as? [Int] ?? (config["eos_token_id"] as? Int).map { [$0] } ?? []
    return ids.compactMap { Int32(exactly: $0) }
  }
}

#if canImport(CoreML)
  import CoreML

  extension DolphinModel {
    private static func coreML(_ url: URL, _ configuration: Configuration) async throws -> any PredictionBackend {
      try await CoreMLBackend(package: url) { function in
        let units = function == "encode" ? configuration.encoderComputeUnits : nil
        switch units ?? configuration.computeUnits {
        case .all: return .all
        case .cpuAndGPU: return .cpuAndGPU
        case .cpuAndNeuralEngine: return .cpuAndNeuralEngine
        case .cpuOnly: return .cpuOnly
        }
      }
    }
  }
#endif
