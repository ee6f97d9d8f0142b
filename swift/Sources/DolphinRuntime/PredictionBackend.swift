/// An input, state or output of a function.
public struct Feature: Sendable, Equatable {
  public enum Element: Sendable {
    case int32, float16, float32, other
  }

  public var name: String
  public var element: Element
  public var shape: [Int]

  public init(name: String, element: Element, shape: [Int]) {
    self.name = name
    self.element = element
    self.shape = shape
  }
}

/// What a function of a package takes, keeps and gives.
public struct FunctionSignature: Sendable, Equatable {
  public var name: String
  public var inputs: [Feature]
  public var states: [Feature]
  public var outputs: [Feature]

  public init(name: String, inputs: [Feature], states: [Feature], outputs: [Feature]) {
    self.name = name
    self.inputs = inputs
    self.states = states
    self.outputs = outputs
  }

  public func input(_ name: String) -> Feature? { inputs.first { $0.name == name } }
  public func output(_ name: String) -> Feature? { outputs.first { $0.name == name } }
}

/// The KV cache of one conversation, shared by the functions of a package. It serves one call at a time.
public protocol PredictionState: AnyObject, Sendable {}

/// What runs a package: Core ML, the CPU runner, or a stand-in of a test.
public protocol PredictionBackend: Sendable {
  var functions: [FunctionSignature] { get }
  /// The package's user-defined metadata.
  var metadata: [String: String] { get }
  func makeState() async throws -> any PredictionState
  /// Runs a function and returns one of its outputs, row-major.
  func call(
    _ function: String, inputs: [String: [Int32]], output: String, state: (any PredictionState)?
  ) async throws -> [Float]
  /// Lets go of what can be made again, at the price of a slower next call. States stay usable.
  func releaseMemory() async
}

extension PredictionBackend {
  public func releaseMemory() async {}
}
