import Foundation

/// Everything that the Dolphin libraries throw, besides `CancellationError`.
public enum DolphinError: LocalizedError, Sendable, Equatable {
  /// A file is missing, damaged, or of a form that is not supported.
  case invalidInput(String)
  /// A value that the caller chose is out of its range.
  case invalidArgument(String)
  /// The conversation does not fit into the model's context.
  case contextOverflow(needed: Int, context: Int)
  /// The session is answering already.
  case busy
  /// The machine cannot run packages as asked.
  case unavailable(String)
  /// The model could not be run.
  case predictionFailed(String)

  public var errorDescription: String? {
    switch self {
    case .invalidInput(let text), .invalidArgument(let text), .unavailable(let text), .predictionFailed(let text):
      text
    case .contextOverflow(let needed, let context):
      "The conversation takes \(needed) tokens, and the model's context holds \(context); start a new session, "
        + "shorten the message, or let old turns go with the overflow policy 'shift'."
    case .busy:
      "The session is still answering; wait for the answer, or cancel it."
    }
  }
}
