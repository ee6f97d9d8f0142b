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
    /// Where Core ML's compiled packages are kept, so that each is compiled once; nil: nowhere.
    public var compiledModels: URL? = FileManager.default.urls(for: .cachesDirectory, in: .userDomainMask).first?
      .appendingPathComponent("dolphin2coreml", isDirectory: true)
    public var cpuPrecision: CPUBackend.Precision = .fp32
    /// Threads of the CPU runner; 0: one for each core.
    public var threads = 0
    /// A folder with tokenizer.json; nil: the package's own, which a compiled .mlmodelc does not have.
    public var tokenizerFolder: URL?
    /// nil: as the tokenizer's folder says.
    public var template: ChatTemplate?
    /// Runs every kind of call once while loading, so that the first answer does not wait for what is made on first use.
    public var warmsUp = false
    /// Receives what loading, answers and embeddings take.
    public var metrics: (any MetricsSink)?

    public init() {}

    /// Whether packages run through the CPU runner.
    package var runsOnCPU: Bool {
      #if canImport(CoreML)
        usesCPURunner
      #else
        true
      #endif
    }
  }

  public enum LoadingStage: Sendable, Equatable {
    case functions, tokenizer, warmUp, ready
  }

  public nonisolated let backend: any PredictionBackend
  public nonisolated let tokenizer: any TextTokenizer
  /// The chat model's own, unless the package's encoder was made from another model.
  public nonisolated let encoderTokenizer: any TextTokenizer
  /// Nothing where the model has no template known here; chats then need one from the configuration.
  public nonisolated let template: ChatTemplate?
  public nonisolated let facts: ModelFacts?
  public nonisolated let encoderFacts: EncoderFacts
  /// Tokens that end an answer.
  public nonisolated let stopTokens: Set<Int32>
  public nonisolated let loadTime: Duration
  public nonisolated let metrics: (any MetricsSink)?

  /// Loads a `.mlpackage`, or, with Core ML, a `.mlmodelc`.
  public static func load(
    from url: URL, configuration: Configuration = .init(),
    progress: (@Sendable (LoadingStage) -> Void)? = nil
  ) async throws -> DolphinModel {
    let span = MetricsSpan(configuration.metrics, .load)
    do {
      let model = try await loaded(from: url, configuration: configuration, progress: progress)
      span.end()
      progress?(.ready)
      return model
    } catch {
      span.end(throwing: error)
      throw error
    }
  }

  private static func loaded(
    from url: URL, configuration: Configuration, progress: (@Sendable (LoadingStage) -> Void)?
  ) async throws -> DolphinModel {
    let start = ContinuousClock.now
    progress?(.functions)
    let backend = try await backend(for: url, configuration: configuration)
    try Task.checkCancellation()
    progress?(.tokenizer)
    let folder = configuration.tokenizerFolder ?? assets(of: url)
    let tokenizer = try BPETokenizer(folder: folder)
    let own = folder.appendingPathComponent(encoderPrefix + "tokenizer.json")
    let encoderTokenizer =
      FileManager.default.fileExists(atPath: own.path) ? try BPETokenizer(folder: folder, prefix: encoderPrefix) : nil
    let template = configuration.template ?? (try? ChatTemplate(folder: folder))
    if configuration.warmsUp {
      progress?(.warmUp)
      try await warmUp(backend)
    }
    return try DolphinModel(
      backend: backend, tokenizer: tokenizer, encoderTokenizer: encoderTokenizer, template: template,
      tokenizerFolder: folder, loadTime: ContinuousClock.now - start, metrics: configuration.metrics)
  }

  /// A model of parts: another backend, or another library's tokenizer. `tokenizerFolder` may say what ends an answer.
  public init(
    backend: any PredictionBackend, tokenizer: any TextTokenizer, encoderTokenizer: (any TextTokenizer)? = nil,
    template: ChatTemplate?, tokenizerFolder: URL? = nil, loadTime: Duration = .zero,
    metrics: (any MetricsSink)? = nil
  ) throws {
    self.backend = backend
    self.tokenizer = tokenizer
    self.encoderTokenizer = encoderTokenizer ?? tokenizer
    self.template = template
    self.loadTime = loadTime
    self.metrics = metrics
    facts = try PackageMetadata.decode(ModelFacts.self, "d2c.model", of: backend.metadata)
    encoderFacts = try PackageMetadata.decode(EncoderFacts.self, "d2c.encoder", of: backend.metadata) ?? EncoderFacts()
    let named = ["<|im_end|>", "<|eot_id|>", "<|eom_id|>"].compactMap(tokenizer.token(named:))
    stopTokens = Set(facts?.eosTokens ?? []).union(named.filter(tokenizer.isSpecial))
      .union(tokenizerFolder.map { Self.endTokens($0, tokenizer) } ?? [])
  }

  /// Names of the package's other chat adapters, for `ChatSession`.
  public nonisolated var variants: [String] {
    backend.functions.compactMap { function in
      ["init_", "decode_"].lazy.filter(function.name.hasPrefix).map { String(function.name.dropFirst($0.count)) }.first
    }.reduce(into: []) { if !$0.contains($1) { $0.append($1) } }
  }

  /// The package's sentence encoder.
  public nonisolated var embeddings: Embedder { get throws { try Embedder(self) } }

  /// Lets go of what the backend can load again; sessions have a `releaseMemory` of their own.
  public nonisolated func releaseMemory() async { await backend.releaseMemory() }

  private static let encoderPrefix = "encoder."

  /// The folder of what travels beside the model.
  package static func assets(of package: URL) -> URL { package.appendingPathComponent("Data/dolphin2coreml") }

  /// What runs a package, without a tokenizer.
  package static func backend(for url: URL, configuration: Configuration) async throws -> any PredictionBackend {
    #if canImport(CoreML)
      if !configuration.runsOnCPU { return try await CoreMLBackend(package: url, configuration) }
    #endif
    return try CPUBackend(package: url, precision: configuration.cpuPrecision, threads: configuration.threads)
  }

  private static func warmUp(_ backend: any PredictionBackend) async throws {
    let names = Set(backend.functions.map(\.name))
    if !names.isDisjoint(with: ["init", "decode"]) {
      var feeder = try await TokenFeeder(backend)
      for count in [2, 1] where count <= feeder.remaining {
        _ = try await feeder.feed(Array(repeating: 0, count: count))
      }
    }
    if names.contains("encode") {
      _ = try await EncoderFunctions(backend, vocabulary: 0).encode([EncoderInput(ids: [0], pooling: [1])])
    }
  }

  private static func endTokens(_ folder: URL, _ tokenizer: any TextTokenizer) -> [Int32] {
    func object(_ name: String) -> [String: Any] {
      let data = try? Data(contentsOf: folder.appendingPathComponent(name))
      return data.flatMap { try? JSONSerialization.jsonObject(with: $0) as? [String: Any] } ?? [:]
    }
    let listed = object("generation_config.json")["eos_token_id"]
    let ids = listed as? [Int] ?? (listed as? Int).map { [$0] } ?? []
    let token = object("tokenizer_config.json")["eos_token"]
    let name = token as? String ?? (token as? [String: Any])?["content"] as? String
    return ids.compactMap { Int32(exactly: $0) } + [name.flatMap(tokenizer.token(named:))].compactMap { $0 }
  }
}
