public import Crypto
private import Ledger

/// Computes the leaf of an event in the Merkle tree over the log: the RFC 6962 leaf hash of
///
/// ```
/// "opsledger/event/v1\n" ‖ u64 entry ‖ u32 index ‖ 16 B stream ‖ u32 version ‖ i64 recorded_at
/// ‖ u16 length ‖ type ‖ u16 length ‖ actor ‖ u64 cause ‖ 16 B command ‖ SHA-256(data) ‖ SHA-256(salt ‖ content)
/// ```
///
/// Numbers are big-endian, the time is in microseconds since 1970 in UTC, and a missing cause or command is zero. The
/// last hash is zero if there never was content, and the commitment if the content was erased.
///
/// Allocates nothing for an event. One thread owns it at a time.
public final class LeafHasher {
  private let hasher = SHA256()
  private static let prefix = [0] + Array("opsledger/event/v1\n".utf8)
  private let leaf = UnsafeMutableRawBufferPointer.allocate(
    byteCount: prefix.count + 144 + 2 * Int(UInt16.max), alignment: 16)
  @exclusivity(unchecked) private var used = 0

  public init() { leaf.copyBytes(from: Self.prefix) }

  deinit { leaf.deallocate() }

  /// - Throws: For a type or an actor of more than 65,535 bytes, or content that is not salted or erased.
  public func leaf(of event: EventLine) throws(EventLineError) -> Digest {
    let data = hasher.hash(event.data)
    used = Self.prefix.count
    put(UInt64(bitPattern: event.entry))
    put(UInt32(bitPattern: event.index))
    put(event.stream.high)
    put(event.stream.low)
    put(UInt32(bitPattern: event.version))
    put(event.recordedAt.micros)
    try put(event.type, "type")
    try put(event.actor, "actor")
    put(UInt64(bitPattern: event.cause ?? 0))
    put(event.command?.high ?? 0)
    put(event.command?.low ?? 0)
    put(data)
    put(try commitment(to: event))
    return hasher.hash(UnsafeRawBufferPointer(rebasing: leaf[..<used]))
  }

  /// Takes the stored commitment only if the content has no values; otherwise hashes the content.
  private func commitment(to event: EventLine) throws(EventLineError) -> Digest {
    switch (event.content, event.salt, event.commitment) {
    case (nil, nil, nil): return .zero
    case (let content?, let salt?, nil):
      hasher.update(salt)
      return hasher.hash(content)
    case (let content?, nil, let commitment?):
      guard content.isEmptied else {
        throw EventLineError("content", "has a commitment, as if erased, but also has values")
      }
      return commitment
    default: throw EventLineError("content", "needs a salt, or a commitment if it was erased")
    }
  }

  private func put<Value: FixedWidthInteger>(_ value: Value) {
    leaf.storeBytes(of: value.bigEndian, toByteOffset: used, as: Value.self)
    used += MemoryLayout<Value>.size
  }

  private func put(_ digest: Digest) {
    digest.withUnsafeBytes { leaf[used...].copyBytes(from: $0) }
    used += Digest.byteCount
  }

  private func put(_ text: UnsafeRawBufferPointer, _ column: String) throws(EventLineError) {
    guard let count = UInt16(exactly: text.count) else {
      throw EventLineError(column, "has more than 65535 bytes")
    }
    put(count)
    UnsafeMutableRawBufferPointer(rebasing: leaf[used...]).copyMemory(from: text)
    used += text.count
  }

  public func leaf(of event: LoggedEvent) throws(EventLineError) -> Digest {
    var line: [UInt8] = []
    event.writeLine(to: &line)
    let reader = EventLineReader()
    return try line.withUnsafeBytes { line in
      Result { () throws(EventLineError) in try leaf(of: reader.read(line)) }
    }.get()
  }
}

extension UnsafeRawBufferPointer {
  /// Whether this is a JSON object whose values are all null, as `ledger.emptied` leaves it.
  fileprivate var isEmptied: Bool {
    var rest = self[...]
    func skip(_ text: StaticString) -> Bool {
      guard
        rest.starts(
          with: UnsafeRawBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount))
      else { return false }
      rest = rest.dropFirst(text.utf8CodeUnitCount)
      return true
    }
    func skipName() -> Bool {
      guard skip("\"") else { return false }
      while let byte = rest.popFirst() {
        if byte == UInt8(ascii: "\"") { return skip(": null") }
        if byte == UInt8(ascii: "\\") { rest = rest.dropFirst() }
      }
      return false
    }
    guard skip("{") else { return false }
    if skip("}") { return rest.isEmpty }
    repeat { guard skipName() else { return false } } while skip(", ")
    return skip("}") && rest.isEmpty
  }
}
