import DolphinRuntime
import Foundation

#if canImport(FoundationNetworking)
  import FoundationNetworking
#endif

/// Downloads through the system. In a background session transfers go on while the app is suspended.
public final class URLSessionTransport: FileTransport {
  private let session: URLSession
  private let delegate = DownloadDelegate()

  /// `backgroundIdentifier`: of a background session, one for each app; nil: an ordinary session.
  public init(backgroundIdentifier: String? = nil) {
    var configuration = URLSessionConfiguration.default
    #if canImport(Darwin)
      if let backgroundIdentifier {
        configuration = .background(withIdentifier: backgroundIdentifier)
        configuration.sessionSendsLaunchEvents = true
      }
    #endif
    session = URLSession(configuration: configuration, delegate: delegate, delegateQueue: nil)
  }

  deinit { session.finishTasksAndInvalidate() }

  public func fetch(
    _ address: URL, to file: URL, received: @escaping @Sendable (Int64) -> Void
  ) async throws {
    let task = session.downloadTask(with: address)
    try await withTaskCancellationHandler {
      try await withCheckedThrowingContinuation { continuation in
        delegate.expect(task.taskIdentifier, .init(file: file, received: received, continuation: continuation))
        task.resume()
      }
    } onCancel: {
      task.cancel()
    }
  }
}

private final class DownloadDelegate: NSObject, URLSessionDownloadDelegate, @unchecked Sendable {  // by the lock
  struct Expectation {
    let file: URL
    let received: @Sendable (Int64) -> Void
    let continuation: CheckedContinuation<Void, any Error>
    var failure: (any Error)?
  }

  private let lock = NSLock()
  private var expectations: [Int: Expectation] = [:]

  func expect(_ task: Int, _ expectation: Expectation) { lock.withLock { expectations[task] = expectation } }

  func urlSession(
    _ session: URLSession, downloadTask task: URLSessionDownloadTask, didWriteData bytesWritten: Int64,
    totalBytesWritten total: Int64, totalBytesExpectedToWrite expected: Int64
  ) {
    lock.withLock { expectations[task.taskIdentifier] }?.received(total)
  }

  /// The file is gone once this returns.
  func urlSession(_ session: URLSession, downloadTask task: URLSessionDownloadTask, didFinishDownloadingTo place: URL) {
    guard let expectation = lock.withLock({ expectations[task.taskIdentifier] }) else { return }
    do {
      let status = (task.response as? HTTPURLResponse)?.statusCode ?? 200
      guard status == 200 else {
        throw DolphinError.unavailable("\(task.originalRequest?.url?.absoluteString ?? "") answered with \(status)")
      }
      try FileManager.default.moveItem(at: place, to: expectation.file)
    } catch {
      lock.withLock { expectations[task.taskIdentifier]?.failure = error }
    }
  }

  func urlSession(_ session: URLSession, task: URLSessionTask, didCompleteWithError error: (any Error)?) {
    guard let expectation = lock.withLock({ expectations.removeValue(forKey: task.taskIdentifier) }) else { return }
    if (error as? URLError)?.code == .cancelled {
      expectation.continuation.resume(throwing: CancellationError())
    } else if let failure = error ?? expectation.failure {
      expectation.continuation.resume(throwing: failure)
    } else {
      expectation.continuation.resume()
    }
  }
}
