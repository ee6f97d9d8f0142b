#if canImport(CoreML)
  @preconcurrency import CoreML
  import Foundation

  /// Runs a package through Core ML: each function a model of its own, their state shared.
  public actor CoreMLBackend: PredictionBackend {
    public nonisolated let functions: [FunctionSignature]
    public nonisolated let metadata: [String: String]
    private let models: [String: MLModel]

    /// `units` chooses per function; functions that the package lacks are skipped.
    public init(
      package url: URL, functions wanted: [String] = ["init", "decode", "encode"],
      units: @Sendable (String) -> MLComputeUnits
    ) async throws {
      let compiled = url.pathExtension == "mlmodelc" ? url : try await MLModel.compileModel(at: url)
      let available = try await Self.functionNames(of: compiled)
      var models: [String: MLModel] = [:]
      for name in wanted where available.contains(name) {
        let configuration = MLModelConfiguration()
        configuration.computeUnits = units(name)
        configuration.functionName = name
        models[name] = try await MLModel.load(contentsOf: compiled, configuration: configuration)
      }
      guard let any = models.values.first else {
        throw DolphinError.invalidInput("\(url.path) has none of the functions \(wanted.joined(separator: ", "))")
      }
      self.models = models
      functions = wanted.compactMap { name in models[name].map { Self.signature(name, $0.modelDescription) } }
      metadata = any.modelDescription.metadata[.creatorDefinedKey] as? [String: String] ?? [:]
    }

    public func makeState() throws -> any PredictionState {
      guard let owner = models.values.first(where: { !$0.modelDescription.stateDescriptionsByName.isEmpty }) else {
        throw DolphinError.invalidInput("the package has no function with a state, so it cannot generate text")
      }
      return CoreMLState(owner.makeState())
    }

    public func call(
      _ function: String, inputs: [String: [Int32]], output: String, state: (any PredictionState)?
    ) async throws -> [Float] {
      guard let model = models[function] else {
        throw DolphinError.invalidArgument("the package has no function '\(function)'")
      }
      var features: [String: MLFeatureValue] = [:]
      for (name, values) in inputs {
        let shape = model.modelDescription.inputDescriptionsByName[name]?.multiArrayConstraint?.shape
        let array = try MLMultiArray(shape: shape ?? [NSNumber(value: values.count)], dataType: .int32)
        guard array.count == values.count else {
          throw DolphinError.invalidArgument("'\(name)' of '\(function)' takes \(array.count) values")
        }
        array.withUnsafeMutableBufferPointer(ofType: Int32.self) { buffer, _ in
          for (i, value) in values.enumerated() { buffer[i] = value }
        }
        features[name] = MLFeatureValue(multiArray: array)
      }
      let provider = try MLDictionaryFeatureProvider(dictionary: features)
      let result: any MLFeatureProvider
      if let state {
        guard let state = state as? CoreMLState else {
          throw DolphinError.invalidArgument("the state is of another backend")
        }
        result = try await model.prediction(from: provider, using: state.value, options: MLPredictionOptions())
      } else {
        result = try await model.prediction(from: provider, options: MLPredictionOptions())
      }
      guard let array = result.featureValue(for: output)?.multiArrayValue else {
        throw DolphinError.predictionFailed("'\(function)' gave no '\(output)'")
      }
      return MLShapedArray<Float>(converting: array).scalars
    }

    private static func functionNames(of url: URL) async throws -> [String] {
      try await MLModelAsset(url: url).functionNames
    }

    private static func signature(_ name: String, _ description: MLModelDescription) -> FunctionSignature {
      func features(_ all: [String: MLFeatureDescription]) -> [Feature] {
        all.sorted { $0.key < $1.key }.map { name, feature in
          let constraint = feature.multiArrayConstraint
          return Feature(
            name: name, element: element(constraint?.dataType),
            shape: constraint?.shape.map(\.intValue) ?? feature.stateConstraint?.bufferShape ?? [])
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
#endif
