// What OSLogSink uses of the module os, so that it can be type-checked on Linux. Nothing here runs. Each declaration names
// its page below https://developer.apple.com/documentation/os/ and the iOS it is available from.

// oslogmessage, 14.0
public struct OSLogMessage: ExpressibleByStringInterpolation {
  public init(stringLiteral value: String) {}
  public init(stringInterpolation: OSLogInterpolation) {}
}

// osloginterpolation, 14.0
public struct OSLogInterpolation: StringInterpolationProtocol {
  public init(literalCapacity: Int, interpolationCount: Int) {}
  public mutating func appendLiteral(_ literal: String) {}
  // osloginterpolation/appendinterpolation(_:align:privacy:), 14.0
  public mutating func appendInterpolation(_ text: @autoclosure @escaping () -> String, privacy: OSLogPrivacy = .auto) {
  }
}

// oslogprivacy, 14.0
public struct OSLogPrivacy: Sendable {
  public static let auto = OSLogPrivacy()
  public static let `public` = OSLogPrivacy()
}

// logger, 14.0
public struct Logger: @unchecked Sendable {
  // logger/init(subsystem:category:), 14.0
  public init(subsystem: String, category: String) {}
  // logger/info(_:), 14.0
  public func info(_ message: OSLogMessage) {}
}

// ossignposter, 15.0
public struct OSSignposter: @unchecked Sendable {
  // ossignposter/init(subsystem:category:), 15.0
  public init(subsystem: String, category: String) {}
  // ossignposter/makesignpostid(), 15.0
  public func makeSignpostID() -> OSSignpostID { fatalError() }
  // ossignposter/begininterval(_:id:), 15.0
  public func beginInterval(_ name: StaticString, id: OSSignpostID = .exclusive) -> OSSignpostIntervalState {
    fatalError()
  }
  // ossignposter/endinterval(_:_:), 15.0
  public func endInterval(_ name: StaticString, _ state: OSSignpostIntervalState) {}
}

// ossignpostid, 12.0
public struct OSSignpostID: Sendable {
  // ossignpostid/exclusive, 12.0
  public static let exclusive = OSSignpostID()
}

// ossignpostintervalstate, 15.0
public class OSSignpostIntervalState {}

// osallocatedunfairlock, 16.0
public struct OSAllocatedUnfairLock<State>: @unchecked Sendable {
  // osallocatedunfairlock/init(uncheckedstate:), 16.0
  public init(uncheckedState initialState: State) { fatalError() }
  // osallocatedunfairlock/withlockunchecked(_:), 16.0
  public func withLockUnchecked<R>(_ body: (inout State) throws -> R) rethrows -> R { fatalError() }
}
