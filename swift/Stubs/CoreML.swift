// What CoreMLBackend.swift uses of Core ML, so that it can be type-checked where there is no Core ML. Nothing here runs.
// Each declaration names its page below https://developer.apple.com/documentation/coreml/ and the iOS it is available from
// (macOS 15 and visionOS 2 have everything that iOS 18 has).
import Foundation

// mlmodel, 11.0
open class MLModel {
  // mlmodel/compilemodel(at:)-7khm0, 16.0
  open class func compileModel(at modelURL: URL) async throws -> URL { fatalError() }
  // mlmodel/load(contentsof:configuration:), 15.0
  open class func load(
    contentsOf url: URL, configuration: MLModelConfiguration = MLModelConfiguration()
  ) async throws -> MLModel { fatalError() }
  // mlmodel/makestate(), 18.0
  open func makeState() -> MLState { fatalError() }
  // mlmodel/prediction(from:using:options:), 18.0: synchronous and asynchronous
  open func prediction(
    from inputFeatures: any MLFeatureProvider, using state: MLState, options: MLPredictionOptions
  ) throws -> any MLFeatureProvider { fatalError() }
  open func prediction(
    from inputFeatures: any MLFeatureProvider, using state: MLState, options: MLPredictionOptions = .init()
  ) async throws -> any MLFeatureProvider { fatalError() }
  // mlmodel/prediction(from:options:), 11.0: synchronous
  open func prediction(
    from input: any MLFeatureProvider, options: MLPredictionOptions
  ) throws -> any MLFeatureProvider { fatalError() }
  // mlmodel/prediction(from:options:)-3vg03, 17.0: asynchronous
  open func prediction(
    from input: any MLFeatureProvider, options: MLPredictionOptions = .init()
  ) async throws -> any MLFeatureProvider { fatalError() }
}

// mlmodelasset, 16.0
open class MLModelAsset {
  // mlmodelasset/init(url:), 18.0
  public convenience init(url compiledModelURL: URL) throws { fatalError() }
  private init() {}
  // mlmodelasset/functionnames(completionhandler:), 18.0
  open var functionNames: [String] { get async throws { fatalError() } }
  // mlmodelasset/modeldescription(completionhandler:), 18.0
  open var modelDescription: MLModelDescription { get async throws { fatalError() } }
  // mlmodelasset/modeldescription(offunctionnamed:completionhandler:), 18.0
  open func modelDescription(of functionName: String) async throws -> MLModelDescription { fatalError() }
}

// mlmodelconfiguration, 12.0
open class MLModelConfiguration {
  public init() {}
  // mlmodelconfiguration/computeunits, 12.0
  open var computeUnits: MLComputeUnits = .all
  // mlmodelconfiguration/functionname, 18.0
  open var functionName: String?
}

// mlcomputeunits, 12.0; cpuAndNeuralEngine 16.0
public enum MLComputeUnits: Int, Sendable {
  case cpuOnly = 0
  case cpuAndGPU = 1
  case all = 2
  case cpuAndNeuralEngine = 3
}

// mlpredictionoptions, 11.0
open class MLPredictionOptions {
  public init() {}
}

// mlstate, 18.0
open class MLState {}

// mlmodeldescription, 11.0
open class MLModelDescription {
  // mlmodeldescription/inputdescriptionsbyname, 11.0
  open var inputDescriptionsByName: [String: MLFeatureDescription] { fatalError() }
  // mlmodeldescription/outputdescriptionsbyname, 11.0
  open var outputDescriptionsByName: [String: MLFeatureDescription] { fatalError() }
  // mlmodeldescription/statedescriptionsbyname, 18.0
  open var stateDescriptionsByName: [String: MLFeatureDescription] { fatalError() }
  // mlmodeldescription/metadata, 11.0
  open var metadata: [MLModelMetadataKey: Any] { fatalError() }
}

// mlmodelmetadatakey, 11.0
public struct MLModelMetadataKey: Hashable, RawRepresentable, Sendable {
  public let rawValue: String
  public init(rawValue: String) { self.rawValue = rawValue }
  // mlmodelmetadatakey/creatordefinedkey, 11.0: a dictionary of type [String: String]
  public static let creatorDefinedKey = MLModelMetadataKey(rawValue: "")
}

// mlfeaturedescription, 11.0
open class MLFeatureDescription {
  // mlfeaturedescription/multiarrayconstraint, 11.0
  open var multiArrayConstraint: MLMultiArrayConstraint? { fatalError() }
  // mlfeaturedescription/stateconstraint, 18.0: a value where the feature is a state
  open var stateConstraint: MLStateConstraint? { fatalError() }
}

// mlmultiarrayconstraint, 11.0
open class MLMultiArrayConstraint {
  // mlmultiarrayconstraint/shape, 11.0
  open var shape: [NSNumber] { fatalError() }
  // mlmultiarrayconstraint/datatype, 11.0
  open var dataType: MLMultiArrayDataType { fatalError() }
}

// mlstateconstraint, 18.0
open class MLStateConstraint {
  // mlstateconstraint/buffershape-4zb3w, 18.0
  open var bufferShape: [Int] { fatalError() }
  // mlstateconstraint/datatype, 18.0
  open var dataType: MLMultiArrayDataType { fatalError() }
}

// mlmultiarraydatatype, 11.0; float16 16.0
public enum MLMultiArrayDataType: Int, Sendable {
  case double = 0x10040
  case float32 = 0x10020
  case float16 = 0x10010
  case int32 = 0x20020
}

// mlmultiarray, 11.0
open class MLMultiArray {}

// mlshapedarrayscalar, 15.0
public protocol MLShapedArrayScalar {}
extension Int32: MLShapedArrayScalar {}
extension Float: MLShapedArrayScalar {}

// mlshapedarray, 15.0
public struct MLShapedArray<Scalar: MLShapedArrayScalar> {
  // mlshapedarray/init(scalars:shape:), 18.0; mlshapedarrayprotocol/init(scalars:shape:), 15.0
  public init<S: Sequence>(scalars: S, shape: [Int]) where S.Element == Scalar { fatalError() }
  // mlshapedarrayprotocol/init(converting:), 15.0
  public init(converting multiArray: MLMultiArray) { fatalError() }
  // mlshapedarrayprotocol/scalars, 15.0
  public var scalars: [Scalar] { fatalError() }
}

// mlfeaturevalue, 11.0
open class MLFeatureValue {
  // mlfeaturevalue/init(shapedarray:), 15.0
  public convenience init<Scalar: MLShapedArrayScalar>(shapedArray: MLShapedArray<Scalar>) { fatalError() }
  private init() {}
  // mlfeaturevalue/multiarrayvalue, 11.0
  open var multiArrayValue: MLMultiArray? { fatalError() }
}

// mlfeatureprovider, 11.0
public protocol MLFeatureProvider {
  // mlfeatureprovider/featurevalue(for:), 11.0
  func featureValue(for featureName: String) -> MLFeatureValue?
}

// mldictionaryfeatureprovider, 11.0
open class MLDictionaryFeatureProvider: MLFeatureProvider {
  // mldictionaryfeatureprovider/init(dictionary:), 11.0
  public init(dictionary: [String: Any]) throws {}
  public func featureValue(for featureName: String) -> MLFeatureValue? { fatalError() }
}
