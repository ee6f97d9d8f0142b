#if canImport(CoreML)
  @preconcurrency import CoreML
  import Foundation

  /// Runs a package through Core ML: each function a model of its own, loaded when it is first called, their state shared.
  public actor CoreMLBackend: PredictionBackend {
    public nonisolated let functions: [FunctionSignature]
    public nonisolated let metadata: [String: String]
    private let compiled: URL
    private let units: @Sendable (String) -> MLComputeUnits
    private var models: [String: Task<LoadedModel, any Error>] = [:]
    private var states: [WeakState] = []

    /// `units` chooses per function. `cache`: a folder for compiled packages, so that each is compiled once; nil: none,
    /// and Core ML compiles into the folder for temporary files each time.
    public init(
      package url: URL, cache: URL? = nil, units: @escaping @Sendable (String) -> MLComputeUnits
    ) async throws {
      compiled = try await Self.compile(url, cache)
      self.units = units
      (functions, metadata) = try await Self.describe(compiled)
    }

    init(package url: URL, _ configuration: DolphinModel.Configuration) async throws {
      try await self.init(package: url, cache: configuration.compiledModels) { function in
        let units = function.hasPrefix("encode") ? configuration.encoderComputeUnits : nil
        switch units ?? configuration.computeUnits {
        case .all: return .all
        case .cpuAndGPU: return .cpuAndGPU
        case .cpuAndNeuralEngine: return .cpuAndNeuralEngine
        case .cpuOnly: return .cpuOnly
        }
      }
    }

    public func makeState() async throws -> any PredictionState {
      guard let owner = functions.first(where: { !$0.states.isEmpty }) else {
        throw DolphinError.invalidInput("the package has no function with a state, so it cannot generate text")
      }
      let state = CoreMLState(try await model(owner.name).value.makeState())
      states.removeAll { $0.state == nil }
      states.append(WeakState(state: state))
      return state
    }

    public func call(
      _ function: String, inputs: [String: [Int32]], output: String, state: (any PredictionState)?
    ) async throws -> [Float] {
      guard let signature = functions.first(where: { $0.name == function }) else {
        throw DolphinError.invalidArgument("the package has no function '\(function)'")
      }
      let own = state as? CoreMLState
      if state != nil, own == nil { throw DolphinError.invalidArgument("the state is of another backend") }
      let provider = try Self.features(inputs, signature)
      return try await model(function).predict(provider, own, output)
    }

    /// Functions whose state a session holds stay: Apple does not say that a state outlives its model.
    public func releaseMemory() {
      let isIdle = states.allSatisfy { $0.state == nil }
      let kept = isIdle ? [] : Set(functions.filter { !$0.states.isEmpty }.map(\.name))
      models = models.filter { kept.contains($0.key) }
    }

    /// Calls that come while a function is being loaded wait for the one loading.
    private func model(_ function: String) async throws -> LoadedModel {
      if let loading = models[function] { return try await loading.value }
      let configuration = MLModelConfiguration()
      configuration.computeUnits = units(function)
      configuration.functionName = function
      let loading = Task { [compiled] in
        LoadedModel(value: try await MLModel.load(contentsOf: compiled, configuration: configuration))
      }
      models[function] = loading
      do {
        return try await loading.value
      } catch {
        models[function] = nil
        throw error
      }
    }

    private nonisolated static func describe(_ url: URL) async throws -> ([FunctionSignature], [String: String]) {
      let asset = try MLModelAsset(url: url)
      var functions: [FunctionSignature] = []
      for name in try await asset.functionNames {
        functions.append(signature(name, try await asset.modelDescription(of: name)))
      }
      let metadata = try await asset.modelDescription.metadata[.creatorDefinedKey]
      return (functions, metadata as? [String: String] ?? [:])
    }

    private static func compile(_ url: URL, _ cache: URL?) async throws -> URL {
      if url.pathExtension == "mlmodelc" { return url }
      guard let cache else { return try await MLModel.compileModel(at: url) }
      let spec = url.appendingPathComponent("Data/com.apple.CoreML/model.mlmodel")
      let values = try spec.resourceValues(forKeys: [.contentModificationDateKey, .fileSizeKey])
      let made = Int(values.contentModificationDate?.timeIntervalSince1970 ?? 0)
      let name = url.deletingPathExtension().lastPathComponent
      let place = cache.appendingPathComponent("\(name)-\(made)-\(values.fileSize ?? 0).mlmodelc")
      if FileManager.default.fileExists(atPath: place.path) { return place }
      let compiled = try await MLModel.compileModel(at: url)
      try FileManager.default.createDirectory(at: cache, withIntermediateDirectories: true)
      try FileManager.default.moveItem(at: compiled, to: place)
      return place
    }

    private static func features(
      _ inputs: [String: [Int32]], _ signature: FunctionSignature
    ) throws -> MLDictionaryFeatureProvider {
      var features: [String: Any] = [:]
      for (name, values) in inputs {
        guard let shape = signature.input(name)?.shape, shape.reduce(1, *) == values.count else {
          throw DolphinError.invalidArgument("'\(signature.name)' takes no '\(name)' of \(values.count) values")
        }
        features[name] = MLFeatureValue(shapedArray: MLShapedArray<Int32>(scalars: values, shape: shape))
      }
      return try MLDictionaryFeatureProvider(dictionary: features)
    }

    private static func signature(_ name: String, _ description: MLModelDescription) -> FunctionSignature {
      func features(_ all: [String: MLFeatureDescription]) -> [Feature] {
        all.sorted { $0.key < $1.key }.map { name, feature in
          if let state = feature.stateConstraint {
            return Feature(name: name, element: element(state.dataType), shape: state.bufferShape)
          }
          let constraint = feature.multiArrayConstraint
          return Feature(
            name: name, element: element(constraint?.dataType), shape: constraint?.shape.map(\.intValue) ?? [])
        }
      }
      return FunctionSignature(
        name: name, inputs: features(description.inputDescriptionsByName),
        states: features(description.stateDescriptionsByName),
        outputs: features(description.outputDescriptionsByName))
    }

    private static func element(_ type: MLMultiArrayDataType?) -> Feature.Element {
      switch type {
      case .int32: .int32
      case .float16: .float16
      case .float32: .float32
      default: .other
      }
    }
  }

  private final class CoreMLState: PredictionState, @unchecked Sendable {  // a session uses it for one call at a time
    let value: MLState

    init(_ value: MLState) { self.value = value }
  }

  private struct WeakState {
    weak var state: CoreMLState?
  }

  private struct LoadedModel: @unchecked Sendable {  // asynchronous predictions of one model may run at once
    let value: MLModel

    func predict(
      _ provider: sending MLDictionaryFeatureProvider, _ state: CoreMLState?, _ output: String
    ) async throws -> [Float] {
      let options = MLPredictionOptions()
      let result =
        if let state {
          try await value.prediction(from: provider, using: state.value, options: options)
        } else {
          try await value.prediction(from: provider, options: options)
        }
      guard let array = result.featureValue(for: output)?.multiArrayValue else {
        throw DolphinError.predictionFailed("the model gave no '\(output)'")
      }
      return MLShapedArray<Float>(converting: array).scalars
    }
  }
#endif
