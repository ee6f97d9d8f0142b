import Dispatch

/// What the system says when memory gets scarce.
enum MemoryPressure {
  static var warnings: AsyncStream<Void> {
    AsyncStream { continuation in
      // Made and cancelled by this stream alone; not every SDK says that a source may be sent.
      nonisolated(unsafe) let source = DispatchSource.makeMemoryPressureSource(
        eventMask: [.warning, .critical], queue: .main)
      source.setEventHandler { continuation.yield() }
      continuation.onTermination = { _ in source.cancel() }
      source.activate()
    }
  }
}
