import DolphinBench
import DolphinRuntime
import DolphinVerify
import Foundation

/// The commands of `dolphin`. Results go to stdout, everything else to stderr.
enum Commands {
  private static let usage = """
    dolphin chat  PACKAGE [--variant NAME] [--system TEXT] [--max-tokens N] [--temperature T] [--top-p P] [--seed N] [--overflow error|shift] [--json]
    dolphin embed PACKAGE [--instruction TEXT] [--normalize]     texts on stdin, one a line; JSON lines on stdout
    dolphin bench PACKAGE [--repetitions N] [--max-tokens N] [--csv FILE] [--jsonl FILE] [--min-tokens-per-second X]
    dolphin verify PACKAGE --golden FILE... [--json] [--report FILE] [--set verify.KEY=NUMBER...]
    dolphin manifest PACKAGE      the files with their SHA-256, as JSON, for those who download the package
    every other command: [--tokenizer DIR] [--chat-template chatml|llama3] [--precision fp32|fp16|fast] [--threads N] [--units all|cpuAndGPU|cpuAndNeuralEngine|cpuOnly] [--cpu-runner]

    """
  private static let common: Set = ["tokenizer", "chat-template", "precision", "threads", "units"]

  private struct CheckFailed: Error {}

  /// 0; 1 where a check fails, or what fails otherwise; 2 for wrong usage, 3 for bad input, 5 where this machine cannot run
  /// packages.
  static func run(_ words: [String]) async -> Int32 {
    do {
      switch words.first {
      case "chat": try await chat(words.dropFirst())
      case "embed": try await embed(words.dropFirst())
      case "bench": try await bench(words.dropFirst())
      case "manifest": try manifest(words.dropFirst())
      case "verify": try await verify(words.dropFirst())
      case "help", "--help", "-h": write(usage)
      default: throw DolphinError.invalidArgument("give a command:\n\(usage)")
      }
      return 0
    } catch is CheckFailed {
      return 1
    } catch {
      warn(error.localizedDescription)
      return exitCode(error)
    }
  }

  private static func exitCode(_ error: any Error) -> Int32 {
    switch error as? DolphinError {
    case .invalidArgument: 2
    case .invalidInput, .contextOverflow: 3
    case .unavailable: 5
    default: 1
    }
  }

  private static func chat(_ words: some Sequence<String>) async throws {
    let options: Set = ["variant", "system", "max-tokens", "temperature", "top-p", "seed", "overflow"]
    let arguments = try Arguments(words, known: common.union(options), flags: ["cpu-runner", "json"])
    let model = try await load(arguments)
    let overflow = try choice(arguments, "overflow", OverflowPolicy.error) { OverflowPolicy(rawValue: $0) }
    let session = ChatSession(
      model, instructions: arguments.text("system"), variant: arguments.text("variant"), overflow: overflow)
    let generation = GenerationOptions(
      maxTokens: try arguments.number("max-tokens", or: 512), temperature: try arguments.number("temperature", or: 0),
      topP: try arguments.number("top-p", or: 1), seed: try arguments.number("seed", or: 0))
    while let line = readLine() {
      if arguments.has("json") {
        write(try await reply(to: line, session, generation) + "\n")
      } else {
        for try await piece in session.streamResponse(to: line, options: generation) { write(piece) }
        write("\n")
      }
    }
  }

  /// What the converter's `chat --json` prints (docs/reports.md).
  private struct Reply: Encodable {
    var reply = ""
    var tokens: [Int32] = []
    var finish = FinishReason.stop
    var promptTokens = 0
    var reusedTokens = 0
    var evictedTokens = 0
    var firstTokenMilliseconds = 0.0
    var tokensPerSecond = 0.0

    enum CodingKeys: String, CodingKey {
      case reply, tokens, finish
      case promptTokens = "prompt_tokens"
      case reusedTokens = "reused_tokens"
      case evictedTokens = "evicted_tokens"
      case firstTokenMilliseconds = "first_token_ms"
      case tokensPerSecond = "tokens_per_second"
    }
  }

  private static func reply(
    to message: String, _ session: ChatSession, _ options: GenerationOptions
  ) async throws -> String {
    var reply = Reply()
    for try await event in session.streamDetails(to: message, options: options) {
      switch event {
      case .prefill: break
      case .token(let token, let piece):
        reply.tokens.append(token)
        reply.reply += piece
      case .text(let piece): reply.reply += piece
      case .finished(let reason, let metrics):
        reply.finish = reason
        reply.promptTokens = metrics.promptTokens
        reply.reusedTokens = metrics.reusedTokens
        reply.evictedTokens = metrics.evictedTokens
        reply.firstTokenMilliseconds = metrics.firstTokenSeconds * 1000
        reply.tokensPerSecond = metrics.decodeTokensPerSecond
      }
    }
    return String(decoding: try JSONEncoder().encode(reply), as: UTF8.self)
  }

  private static func embed(_ words: some Sequence<String>) async throws {
    let arguments = try Arguments(words, known: common.union(["instruction"]), flags: ["cpu-runner", "normalize"])
    let embedder = try await load(arguments).embeddings
    var texts: [String] = []
    while let line = readLine() { texts.append(line) }
    let vectors = try await embedder.encode(
      texts, instruction: arguments.text("instruction"), normalize: arguments.has("normalize"))
    for vector in vectors { write(String(decoding: try JSONEncoder().encode(vector), as: UTF8.self) + "\n") }
  }

  private static func bench(_ words: some Sequence<String>) async throws {
    let options: Set = ["repetitions", "max-tokens", "csv", "jsonl", "min-tokens-per-second"]
    let arguments = try Arguments(words, known: common.union(options), flags: ["cpu-runner"])
    var runner = BenchmarkRunner()
    runner.repetitions = try arguments.number("repetitions", or: runner.repetitions)
    runner.maxTokens = try arguments.number("max-tokens", or: runner.maxTokens)
    guard runner.repetitions > 0 else { throw DolphinError.invalidArgument("--repetitions must be above 0") }
    var sinks: [any BenchmarkSink] = []
    if let path = arguments.text("csv") { sinks.append(CSVSink(URL(fileURLWithPath: path))) }
    if let path = arguments.text("jsonl") { sinks.append(JSONLinesSink(URL(fileURLWithPath: path))) }
    let least: Double = try arguments.number("min-tokens-per-second", or: 0)
    runner.packageDigest = try PackageManifest(of: try packageURL(arguments)).digest
    let rows = try await runner.run(try await load(arguments), sinks: sinks)
    summarize(rows)
    let median = percentile(rows.map(\.tokensPerSecond), 50)
    if median < least {
      warn("\(median) tokens per second are fewer than the \(least) asked for")
      throw CheckFailed()
    }
  }

  private static func verify(_ words: some Sequence<String>) async throws {
    let arguments = try Arguments(
      words, known: common.union(["golden", "report", "set"]), flags: ["cpu-runner", "json"])
    let package = try packageURL(arguments)
    var limits = try VerificationLimits(package: package)
    for setting in arguments.all("set") { try set(setting, &limits) }
    var verification = try await Verification(
      package: package, configuration: try configuration(arguments), limits: limits)
    for path in arguments.all("golden") {
      let golden = try Golden(contentsOf: URL(fileURLWithPath: path))
      if golden.isEmpty { warn("\(path): holds neither prompts nor sentences") }
      try await verification.compare(with: golden)
    }
    let report = verification.report
    let json = try report.json() + "\n"
    if let path = arguments.text("report") { try json.write(toFile: path, atomically: true, encoding: .utf8) }
    write(arguments.has("json") ? json : report.summary)
    if !report.isPassed { throw CheckFailed() }
  }

  private static func manifest(_ words: some Sequence<String>) throws {
    let manifest = try PackageManifest(of: try packageURL(try Arguments(words, known: [])))
    write(String(decoding: try manifest.json(), as: UTF8.self) + "\n")
  }

  /// `setting`: "verify.KEY=NUMBER".
  private static func set(_ setting: String, _ limits: inout VerificationLimits) throws {
    let parts = setting.split(separator: "=", maxSplits: 1)
    guard parts.count == 2, parts[0].hasPrefix("verify."), let number = Double(parts[1]) else {
      throw DolphinError.invalidArgument("--set: '\(setting)' is not of the form verify.KEY=NUMBER")
    }
    try limits.set(String(parts[0].dropFirst("verify.".count)), to: number)
  }

  private static func summarize(_ rows: [BenchmarkRow]) {
    let columns: [(String, (BenchmarkRow) -> Double)] = [
      ("tokens_per_second", \.tokensPerSecond), ("init_ms", \.initMilliseconds), ("ttft_ms", \.firstTokenMilliseconds),
      ("decode_ms_per_token", \.decodeMillisecondsPerToken), ("embed_ms", \.embedMilliseconds),
    ]
    for (name, value) in columns {
      let samples = rows.map(value)
      let parts = [50.0, 90, 99].map { "p\(Int($0)) \(String(format: "%.3f", percentile(samples, $0)))" }
      write("\(name): \(parts.joined(separator: "  "))\n")
    }
  }

  private static func load(_ arguments: Arguments) async throws -> DolphinModel {
    try await DolphinModel.load(from: try packageURL(arguments), configuration: try configuration(arguments))
  }

  private static func packageURL(_ arguments: Arguments) throws -> URL {
    guard arguments.positional.count == 1 else { throw DolphinError.invalidArgument("give one package:\n\(usage)") }
    return URL(fileURLWithPath: arguments.positional[0])
  }

  private static func configuration(_ arguments: Arguments) throws -> DolphinModel.Configuration {
    var configuration = DolphinModel.Configuration()
    configuration.tokenizerFolder = arguments.text("tokenizer").map { URL(fileURLWithPath: $0) }
    configuration.template = try choice(arguments, "chat-template", nil) { ChatTemplate(named: $0) }
    configuration.threads = try arguments.number("threads", or: 0)
    configuration.usesCPURunner = arguments.has("cpu-runner")
    configuration.cpuPrecision = try choice(arguments, "precision", .fp32) { CPUBackend.Precision(rawValue: $0) }
    configuration.computeUnits = try choice(arguments, "units", .all) { DolphinModel.ComputeUnits(rawValue: $0) }
    return configuration
  }

  private static func choice<Value>(
    _ arguments: Arguments, _ name: String, _ usual: Value, _ parse: (String) -> Value?
  ) throws -> Value {
    guard let text = arguments.text(name) else { return usual }
    guard let value = parse(text) else { throw DolphinError.invalidArgument("--\(name) has no value '\(text)'") }
    return value
  }

  private static func warn(_ text: String) { FileHandle.standardError.write(Data("dolphin: \(text)\n".utf8)) }

  private static func write(_ text: String) { FileHandle.standardOutput.write(Data(text.utf8)) }
}
