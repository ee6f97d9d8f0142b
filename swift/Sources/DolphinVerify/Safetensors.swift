import DolphinRuntime
import Foundation

/// A safetensors file, as far as golden files need it.
struct Safetensors {
  struct Tensor {
    let type: String
    let shape: [Int]
    let bytes: Data
  }

  /// Of the tensors that golden files hold; others are ignored.
  private static let types: Set = ["I32", "F32"]

  let path: String
  let metadata: [String: String]
  private let tensors: [String: Tensor]

  init(_ url: URL) throws {
    path = url.path
    guard let file = try? Data(contentsOf: url, options: .mappedIfSafe) else {
      throw DolphinError.invalidInput("\(path): cannot be read")
    }
    func damaged(_ what: String) -> DolphinError { .invalidInput("\(url.path): is no safetensors file: \(what)") }
    guard file.count >= 8 else { throw damaged("it is too short") }
    let size = file.prefix(8).reversed().reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
    guard size <= UInt64(file.count - 8) else { throw damaged("its header ends after the file") }
    let data = file[(8 + Int(size))...]
    guard var header = try? JSONSerialization.jsonObject(with: file[8..<8 + Int(size)]) as? [String: [String: Any]]
    else {
      throw damaged("its header is no table")
    }
    metadata = header.removeValue(forKey: "__metadata__")?.compactMapValues { $0 as? String } ?? [:]
    tensors = try header.reduce(into: [:]) { tensors, entry in
      guard let type = entry.value["dtype"] as? String, let shape = entry.value["shape"] as? [Int],
        let range = entry.value["data_offsets"] as? [Int], range.count == 2, 0 <= range[0], range[0] <= range[1],
        range[1] <= data.count, shape.allSatisfy({ $0 >= 0 }),
        !Self.types.contains(type) || Self.size(shape) == range[1] - range[0]
      else { throw damaged("'\(entry.key)' has no place in it") }
      tensors[entry.key] = Tensor(
        type: type, shape: shape, bytes: data[data.startIndex + range[0]..<data.startIndex + range[1]])
    }
  }

  func has(_ name: String) -> Bool { tensors[name] != nil }

  func tokens(_ name: String) throws -> [Int32] { try values(name, "I32", rank: 1).values }

  func floats(_ name: String, rank: Int) throws -> (shape: [Int], values: [Float]) {
    try values(name, "F32", rank: rank)
  }

  /// Both types that golden files hold take four bytes; nothing where the product is too large.
  private static func size(_ shape: [Int]) -> Int? {
    var size = 4
    for count in shape {
      let (product, overflows) = size.multipliedReportingOverflow(by: count)
      if overflows { return nil }
      size = product
    }
    return size
  }

  private func values<Value: BitwiseCopyable>(
    _ name: String, _ type: String, rank: Int
  ) throws -> (shape: [Int], values: [Value]) {
    guard let tensor = tensors[name] else { throw DolphinError.invalidInput("\(path): lacks the tensor \(name)") }
    guard tensor.type == type, tensor.shape.count == rank else {
      throw DolphinError.invalidInput(
        "\(path): \(name) is \(tensor.type) \(tensor.shape); expected \(type) of rank \(rank)")
    }
    let values = tensor.bytes.withUnsafeBytes { bytes in
      (0..<bytes.count / 4).map { bytes.loadUnaligned(fromByteOffset: $0 * 4, as: Value.self) }
    }
    return (tensor.shape, values)
  }
}
