import Ledger
import Log

/// Finds an event's row type and kind from the bytes of its type, without making a string.
package struct EventTypes: Sendable {
  struct Found: Sendable {
    let rowType: RowType
    /// Index into the row type's ``StreamEvent/Kind/all``.
    let kind: Int
  }

  private struct Entry: Sendable {
    let bytes: [UInt8]
    let found: Found
  }

  private var buckets: [[Entry]] = Array(repeating: [], count: 256)

  package init() {
    for rowType in RowType.allCases { add(rowType.type) }
  }

  private mutating func add<R: Row>(_ rowType: R.Type) {
    for (index, kind) in StreamEvent<R>.Kind.all.enumerated() {
      let bytes = Array(R.eventType(kind).utf8)
      let bucket = bytes.withUnsafeBytes(Self.hash)
      buckets[bucket].append(Entry(bytes: bytes, found: Found(rowType: R.name, kind: index)))
    }
  }

  private static func hash(_ bytes: UnsafeRawBufferPointer) -> Int {
    guard bytes.count > 6 else { return 0 }
    return
      (Int(bytes[0]) &* 31 &+ Int(bytes[5]) &* 7 &+ Int(bytes[bytes.count - 1]) &* 13
      &+ Int(bytes[bytes.count - 3]) &* 3 &+ bytes.count) & 255
  }

  package func knows(_ bytes: UnsafeRawBufferPointer) -> Bool { find(bytes) != nil }

  func find(_ bytes: UnsafeRawBufferPointer) -> Found? {
    for entry in buckets[Self.hash(bytes)] where entry.bytes.elementsEqual(bytes) {
      return entry.found
    }
    return nil
  }
}
