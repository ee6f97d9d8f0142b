import CDolphinRuntime
import Foundation

/// Runs a `.mlpackage` on the CPU through dolphin2coreml's runtime library, which is loaded when the first package is.
public final class CPUBackend: PredictionBackend, @unchecked Sendable {  // the handle may be used from any thread
  public enum Precision: String, Sendable, CaseIterable {
    case fp32, fp16, fast
  }

  public let functions: [FunctionSignature]
  public let metadata: [String: String]
  private let package: Package
  private let queue = DispatchQueue(label: "dolphin.cpu")

  /// `threads` 0: one for each core. `library`: nil looks at D2C_RUNTIME, then where the system has its libraries.
  public init(package url: URL, precision: Precision = .fp32, threads: Int = 0, library: String? = nil) throws {
    guard let threads = UInt32(exactly: threads) else {
      throw DolphinError.invalidArgument("the number of threads must be 0 (all cores) or more")
    }
    package = try Package(url, precision, threads, RuntimeLibrary.load(library))
    functions = try package.readFunctions()
    metadata = package.readMetadata()
  }

  public func makeState() async throws -> any PredictionState { try State(package) }

  public func call(
    _ function: String, inputs: [String: [Int32]], output: String, state: (any PredictionState)?
  ) async throws -> [Float] {
    guard let feature = functions.first(where: { $0.name == function })?.output(output) else {
      throw DolphinError.invalidArgument("the package has no function '\(function)' with an output '\(output)'")
    }
    let own = state as? State
    if state != nil, own == nil { throw DolphinError.invalidArgument("the state is of another backend") }
    return try await withCheckedThrowingContinuation { continuation in
      queue.async {  // a call blocks its thread, which must not be one of the concurrency pool
        continuation.resume(
          with: Result { try self.package.call(function, inputs: inputs, output: feature, state: own) })
      }
    }
  }
}

/// Keeps the package open: a state may outlive its backend.
private final class State: PredictionState, @unchecked Sendable {  // used by the backend's queue only
  let handle: OpaquePointer
  private let package: Package

  init(_ package: Package) throws {
    self.package = package
    var made: OpaquePointer?
    try package.check(package.api.state_make(package.handle, &made))
    guard let made else { throw DolphinError.predictionFailed("the runtime made no state") }
    handle = made
  }

  deinit { package.api.state_free(handle) }
}

/// An open package of the C interface.
private final class Package: @unchecked Sendable {  // immutable; the C functions are thread-safe
  let api: dolphin_cpu_api
  let handle: OpaquePointer

  init(_ url: URL, _ precision: CPUBackend.Precision, _ threads: UInt32, _ api: dolphin_cpu_api) throws {
    self.api = api
    let code: d2c_rt_precision
    switch precision {
    case .fp32: code = d2c_rt_precision(D2C_RT_FP32)
    case .fp16: code = d2c_rt_precision(D2C_RT_FP16)
    case .fast: code = d2c_rt_precision(D2C_RT_FAST)
    }
    var opened: OpaquePointer?
    try Self.check(api, api.open(url.path, code, threads, &opened))
    guard let opened else { throw DolphinError.predictionFailed("the runtime opened no package") }
    handle = opened
  }

  deinit { api.close(handle) }

  func check(_ code: d2c_rt_code) throws { try Self.check(api, code) }

  private static func check(_ api: dolphin_cpu_api, _ code: d2c_rt_code) throws {
    if code == d2c_rt_code(D2C_RT_OK) { return }
    let text = api.last_error().map { String(cString: $0) } ?? "the runtime gave no reason"
    switch code {
    case d2c_rt_code(D2C_RT_USAGE): throw DolphinError.invalidArgument(text)
    case d2c_rt_code(D2C_RT_INPUT): throw DolphinError.invalidInput(text)
    default: throw DolphinError.predictionFailed(text)
    }
  }

  func readFunctions() throws -> [FunctionSignature] {
    try (0..<api.function_count(handle)).compactMap { api.function_name(handle, $0).map { String(cString: $0) } }
      .map { name in
        FunctionSignature(
          name: name, inputs: try features(name, D2C_RT_INPUTS), states: try features(name, D2C_RT_STATES),
          outputs: try features(name, D2C_RT_OUTPUTS))
      }
  }

  func readMetadata() -> [String: String] {
    var all: [String: String] = [:]
    for i in 0..<api.metadata_count(handle) {
      guard let key = api.metadata_key(handle, i), let value = api.metadata(handle, key) else { continue }
      all[String(cString: key)] = String(cString: value)
    }
    return all
  }

  private func features(_ function: String, _ kind: some BinaryInteger) throws -> [Feature] {
    let kind = d2c_rt_kind(kind)
    return try (0..<api.feature_count(handle, function, kind)).map { index in
      var name: UnsafePointer<CChar>?
      var dtype = d2c_rt_dtype(0)
      var rank = 0
      var dimensions: UnsafePointer<Int64>?
      try check(api.feature(handle, function, kind, index, &name, &dtype, &rank, &dimensions))
      return Feature(
        name: name.map { String(cString: $0) } ?? "", element: Self.element(dtype),
        shape: UnsafeBufferPointer(start: dimensions, count: dimensions == nil ? 0 : rank).map { Int($0) })
    }
  }

  private static func element(_ dtype: d2c_rt_dtype) -> Feature.Element {
    switch dtype {
    case d2c_rt_dtype(D2C_RT_INT32): .int32
    case d2c_rt_dtype(D2C_RT_FLOAT16): .float16
    case d2c_rt_dtype(D2C_RT_FLOAT32): .float32
    default: .other
    }
  }

  func call(_ function: String, inputs: [String: [Int32]], output: Feature, state: State?) throws -> [Float] {
    let count = output.shape.reduce(1, *)
    switch output.element {
    case .float32:
      var values = [Float](repeating: 0, count: count)
      try values.withUnsafeMutableBytes { try run(function, inputs, output.name, $0, state) }
      return values
    case .float16:
      var values = [UInt16](repeating: 0, count: count)
      try values.withUnsafeMutableBytes { try run(function, inputs, output.name, $0, state) }
      return values.map(HalfPrecision.float)
    default:
      throw DolphinError.invalidInput("the output '\(output.name)' of '\(function)' has no floating-point values")
    }
  }

  private func run(
    _ function: String, _ inputs: [String: [Int32]], _ output: String, _ result: UnsafeMutableRawBufferPointer,
    _ state: State?
  ) throws {
    let ordered = inputs.sorted { $0.key < $1.key }
    let names = ordered.map { strdup($0.key) } + [strdup(output)]
    defer { for name in names { free(name) } }
    let values = ordered.flatMap(\.value)  // one array, so that one pointer holds for the call
    let sizes = ordered.map { $0.value.count * MemoryLayout<Int32>.size }
    try values.withUnsafeBytes { bytes in
      var offset = 0
      let data = sizes.map { size -> UnsafeRawPointer? in
        defer { offset += size }
        return bytes.baseAddress?.advanced(by: offset)
      }
      let inputNames = names.dropLast().map { UnsafePointer<CChar>($0) }
      let outputNames = [UnsafePointer<CChar>(names[names.count - 1])]
      let outputData = [result.baseAddress]
      let outputSizes = [result.count]
      try check(
        api.call(
          handle, function, state?.handle, inputNames.count, inputNames, data, sizes, 1, outputNames, outputData,
          outputSizes))
    }
  }
}

/// The runtime library of the process.
private enum RuntimeLibrary {
  #if os(Linux)
    private static let fileName = "libdolphin2coreml_runtime.so.1"
  #else
    private static let fileName = "libdolphin2coreml_runtime.dylib"
  #endif
  private static let variable = "D2C_RUNTIME"

  static func load(_ path: String?) throws -> dolphin_cpu_api {
    let name = path ?? ProcessInfo.processInfo.environment[variable] ?? fileName
    var api = dolphin_cpu_api()
    if let reason = dolphin_cpu_load(name, &api) {
      defer { free(reason) }
      throw DolphinError.unavailable(
        "The CPU runner's library cannot be loaded (\(String(cString: reason))). Install dolphin2coreml, or set "
          + "\(variable) to the path of \(fileName).")
    }
    return api
  }
}
