import Foundation

/// SHA-256 of bytes that come piece by piece.
///
///     var hash = SHA256Hash()
///     hash.update(data)
///     print(hash.hex())
public struct SHA256Hash: Sendable {
  private static let blockSize = 64
  private static let readSize = 1 << 20
  private static let constants: [UInt32] = fractions(of: 64) { cbrt($0) }

  private var state = fractions(of: 8) { $0.squareRoot() }
  private var pending: [UInt8] = []
  private var count: UInt64 = 0

  public init() {}

  public mutating func update(_ data: some DataProtocol) {
    for region in data.regions { region.withUnsafeBytes { update($0) } }
  }

  /// The digest of everything so far, in lower-case hexadecimal.
  public func hex() -> String {
    var copy = self
    copy.pad()
    return copy.state.map { String(format: "%08x", $0) }.joined()
  }

  /// Of a file, read in pieces. Ends with its task.
  public static func hex(of file: URL) throws -> String {
    guard let handle = try? FileHandle(forReadingFrom: file) else {
      throw DolphinError.invalidInput("\(file.path) cannot be read")
    }
    defer { try? handle.close() }
    var hash = SHA256Hash()
    while let data = try handle.read(upToCount: readSize), !data.isEmpty {
      try Task.checkCancellation()
      hash.update(data)
    }
    return hash.hex()
  }

  private mutating func update(_ bytes: UnsafeRawBufferPointer) {
    count += UInt64(bytes.count)
    var rest = bytes[...]
    if !pending.isEmpty {
      let taken = rest.prefix(Self.blockSize - pending.count)
      pending += taken
      rest = rest.dropFirst(taken.count)
      if pending.count < Self.blockSize { return }
      pending.withUnsafeBytes { Self.compress($0, &state) }
      pending = []
    }
    while rest.count >= Self.blockSize {
      Self.compress(UnsafeRawBufferPointer(rebasing: rest.prefix(Self.blockSize)), &state)
      rest = rest.dropFirst(Self.blockSize)
    }
    pending += rest
  }

  private mutating func pad() {
    let bits = count * 8
    let zeros = (Self.blockSize * 2 - 9 - pending.count) % Self.blockSize
    update(Data([0x80] + [UInt8](repeating: 0, count: zeros)))
    update(Data(withUnsafeBytes(of: bits.bigEndian, Array.init)))
  }

  private static func compress(_ block: UnsafeRawBufferPointer, _ state: inout [UInt32]) {
    withUnsafeTemporaryAllocation(of: UInt32.self, capacity: 64) { w in
      for i in 0..<16 { w[i] = UInt32(bigEndian: block.loadUnaligned(fromByteOffset: i * 4, as: UInt32.self)) }
      for i in 16..<64 {
        let (a, b) = (w[i - 15], w[i - 2])
        let small0 = rotate(a, 7) ^ rotate(a, 18) ^ a >> 3
        let small1 = rotate(b, 17) ^ rotate(b, 19) ^ b >> 10
        w[i] = w[i - 16] &+ small0 &+ w[i - 7] &+ small1
      }
      var (a, b, c, d) = (state[0], state[1], state[2], state[3])
      var (e, f, g, h) = (state[4], state[5], state[6], state[7])
      for i in 0..<64 {
        let big1 = rotate(e, 6) ^ rotate(e, 11) ^ rotate(e, 25)
        let first = h &+ big1 &+ (e & f ^ ~e & g) &+ constants[i] &+ w[i]
        let big0 = rotate(a, 2) ^ rotate(a, 13) ^ rotate(a, 22)
        let second = big0 &+ (a & b ^ a & c ^ b & c)
        (h, g, f, e, d, c, b, a) = (g, f, e, d &+ first, c, b, a, first &+ second)
      }
      for (i, value) in [a, b, c, d, e, f, g, h].enumerated() { state[i] &+= value }
    }
  }

  private static func rotate(_ x: UInt32, _ count: UInt32) -> UInt32 { x >> count | x << (32 - count) }

  /// The first 32 bits of the fractional parts of the roots of the first primes.
  private static func fractions(of count: Int, root: (Double) -> Double) -> [UInt32] {
    var primes: [Int] = []
    var number = 2
    while primes.count < count {
      if primes.allSatisfy({ number % $0 != 0 }) { primes.append(number) }
      number += 1
    }
    return primes.map { prime in
      let value = root(Double(prime))
      return UInt32((value - value.rounded(.down)) * 0x1p32)
    }
  }
}
