import Foundation

/// Where a benchmark runs, and what it has used.
public enum Machine {
  public static var system: String { ProcessInfo.processInfo.operatingSystemVersionString }

  /// "nominal", "fair", "serious" or "critical"; "unknown" where the system does not tell.
  public static var thermalState: String {
    #if canImport(Darwin)
      switch ProcessInfo.processInfo.thermalState {
      case .nominal: "nominal"
      case .fair: "fair"
      case .serious: "serious"
      case .critical: "critical"
      @unknown default: "unknown"
      }
    #else
      "unknown"
    #endif
  }
}

#if canImport(Darwin)
  import Darwin

  extension Machine {
    /// The hardware's name, "Mac15,3".
    public static var device: String {
      #if os(macOS)
        let name = "hw.model"
      #else
        let name = "hw.machine"
      #endif
      var size = 0
      guard sysctlbyname(name, nil, &size, nil, 0) == 0, size > 0 else { return "unknown" }
      var bytes = [UInt8](repeating: 0, count: size)
      guard sysctlbyname(name, &bytes, &size, nil, 0) == 0 else { return "unknown" }
      return String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
    }

    /// Most memory that the process has held at once; 0 where that is unknown.
    public static var peakMemoryBytes: Int {
      var usage = rusage()
      return getrusage(RUSAGE_SELF, &usage) == 0 ? usage.ru_maxrss : 0
    }
  }
#else
  extension Machine {
    /// The processor's name.
    public static var device: String { field("model name", of: "/proc/cpuinfo") ?? "unknown" }

    /// Most memory that the process has held at once; 0 where that is unknown.
    public static var peakMemoryBytes: Int {
      let kilobytes = field("VmHWM", of: "/proc/self/status")?.split(separator: " ").first.flatMap { Int($0) }
      return (kilobytes ?? 0) * 1024
    }

    /// The first value of a file of lines "name: value".
    private static func field(_ name: String, of file: String) -> String? {
      let text = (try? String(contentsOfFile: file, encoding: .utf8)) ?? ""
      let line = text.split(separator: "\n").first { $0.hasPrefix(name) }
      return line?.split(separator: ":", maxSplits: 1).last?.trimmingCharacters(in: .whitespaces)
    }
  }
#endif
