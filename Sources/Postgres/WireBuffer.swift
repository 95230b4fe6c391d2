/// The bytes of parameters and arrays, in network order.
@usableFromInline
struct WireBuffer: Sendable {
  @usableFromInline var bytes: [UInt8] = []

  @inlinable init() {}

  @inlinable var count: Int { bytes.count }

  @inlinable mutating func put<Value: FixedWidthInteger>(_ value: Value) {
    withUnsafeBytes(of: value.bigEndian) { bytes.append(contentsOf: $0) }
  }

  @inlinable mutating func put(_ raw: UnsafeRawBufferPointer) {
    bytes.append(contentsOf: raw)
  }

  @inlinable mutating func put(_ other: [UInt8]) {
    bytes.append(contentsOf: other)
  }

  @inlinable mutating func put(utf8 text: String) {
    bytes.append(contentsOf: text.utf8)
  }

  /// Overwrites four bytes: a length or a count that was not known when they were written.
  @inlinable mutating func patch(_ value: Int32, at offset: Int) {
    bytes.withUnsafeMutableBytes {
      $0.storeBytes(of: value.bigEndian, toByteOffset: offset, as: Int32.self)
    }
  }
}

/// Array elements: values with their length, an int32, before them. The length -1 is NULL.
extension WireBuffer {
  @inlinable mutating func field() { put(Int32(-1)) }

  @inlinable mutating func field<Value: FixedWidthInteger>(_ value: Value) {
    // One append instead of two, since the call costs more than the copy.
    withUnsafeTemporaryAllocation(byteCount: 20, alignment: 8) { spare in
      spare.storeBytes(of: Int32(MemoryLayout<Value>.size).bigEndian, as: Int32.self)
      spare.storeBytes(of: value.bigEndian, toByteOffset: 4, as: Value.self)
      bytes.append(
        contentsOf: UnsafeRawBufferPointer(
          start: spare.baseAddress, count: 4 + MemoryLayout<Value>.size))
    }
  }

  @inlinable mutating func field(text: String) {
    put(Int32(truncatingIfNeeded: text.utf8.count))
    put(utf8: text)
  }

  @inlinable mutating func field(raw: UnsafeRawBufferPointer) {
    put(Int32(truncatingIfNeeded: raw.count))
    put(raw)
  }

  @inlinable mutating func field(uuid high: UInt64, _ low: UInt64) {
    withUnsafeTemporaryAllocation(byteCount: 20, alignment: 8) { spare in
      spare.storeBytes(of: Int32(16).bigEndian, as: Int32.self)
      spare.storeBytes(of: high.bigEndian, toByteOffset: 4, as: UInt64.self)
      spare.storeBytes(of: low.bigEndian, toByteOffset: 12, as: UInt64.self)
      bytes.append(contentsOf: UnsafeRawBufferPointer(spare))
    }
  }

  @inlinable mutating func field(jsonb text: String) {
    put(Int32(truncatingIfNeeded: text.utf8.count + 1))
    put(UInt8(1))
    put(utf8: text)
  }
}

/// Converts microseconds since 1970 UTC, which opsledger uses, from and to PostgreSQL's, which begin in 2000.
@usableFromInline
enum Epoch {
  /// 10,957 days.
  @inlinable static var offsetMicros: Int64 { 946_684_800_000_000 }

  /// The extremes are `infinity` and `-infinity` in both.
  @inlinable static func wire(fromMicrosSince1970 micros: Int64) -> Int64 {
    if micros == .max { return .max }
    let (shifted, overflow) = micros.subtractingReportingOverflow(offsetMicros)
    return overflow ? .min : shifted
  }

  @inlinable static func microsSince1970(fromWire wire: Int64) -> Int64? {
    if wire == .max || wire == .min { return wire }
    let (shifted, overflow) = wire.addingReportingOverflow(offsetMicros)
    return overflow ? nil : shifted
  }
}
