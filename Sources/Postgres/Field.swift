/// One binary value in the server's answer. It is a view: the field of a COPY row is valid until the next row.
@frozen
public struct Field {
  /// nil: NULL.
  @usableFromInline let start: UnsafeRawPointer?
  @usableFromInline let count: Int

  @inlinable init(start: UnsafeRawPointer?, count: Int) {
    self.start = start
    self.count = count
  }

  @inlinable public var isNull: Bool { start == nil }

  /// The bytes; empty for NULL.
  @inlinable public var bytes: UnsafeRawBufferPointer {
    UnsafeRawBufferPointer(start: start, count: start == nil ? 0 : count)
  }

  @inlinable func load<Value: FixedWidthInteger>(
    _ type: Value.Type
  ) throws(PostgresError) -> Value {
    guard let start, count == MemoryLayout<Value>.size else { throw mismatch("\(Value.self)") }
    return Value(bigEndian: start.loadUnaligned(as: Value.self))
  }

  @usableFromInline @inline(never)
  func mismatch(_ expected: String) -> PostgresError {
    .protocolViolation(
      isNull ? "expected \(expected), got NULL" : "expected \(expected), got \(count) bytes")
  }
}

/// Each method throws `.protocolViolation` if the value is NULL or does not have the size of the type.
extension Field {
  @inlinable public func int4() throws(PostgresError) -> Int32 { try load(Int32.self) }
  @inlinable public func int8() throws(PostgresError) -> Int64 { try load(Int64.self) }

  @inlinable public func bool() throws(PostgresError) -> Bool {
    try load(UInt8.self) != 0
  }

  @inlinable public func float8() throws(PostgresError) -> Double {
    Double(bitPattern: try load(UInt64.self))
  }

  /// Text, json, or the label of an enum.
  @inlinable public func text() throws(PostgresError) -> String {
    guard start != nil else { throw mismatch("text") }
    return String(decoding: bytes, as: UTF8.self)
  }

  @inlinable public func json() throws(PostgresError) -> String { try text() }

  /// The UTF-8 of a jsonb value, without its version byte.
  @inlinable public func jsonbBytes() throws(PostgresError) -> UnsafeRawBufferPointer {
    guard let start, count >= 1, start.load(as: UInt8.self) == 1 else {
      throw mismatch("jsonb of version 1")
    }
    return UnsafeRawBufferPointer(start: start + 1, count: count - 1)
  }

  @inlinable public func jsonb() throws(PostgresError) -> String {
    String(decoding: try jsonbBytes(), as: UTF8.self)
  }

  @inlinable public func bytea() throws(PostgresError) -> [UInt8] {
    guard start != nil else { throw mismatch("bytea") }
    return Array(bytes)
  }

  @inlinable public func uuid() throws(PostgresError) -> (UInt64, UInt64) {
    guard let start, count == 16 else { throw mismatch("uuid") }
    return (
      UInt64(bigEndian: start.loadUnaligned(as: UInt64.self)),
      UInt64(bigEndian: start.loadUnaligned(fromByteOffset: 8, as: UInt64.self))
    )
  }

  /// Microseconds since 1970 UTC; `Int64.max` and `.min` are the infinities.
  @inlinable public func timestamptz() throws(PostgresError) -> Int64 {
    guard let micros = Epoch.microsSince1970(fromWire: try load(Int64.self)) else {
      throw .protocolViolation("a time later than 64 bits of microseconds can hold")
    }
    return micros
  }
}

extension Field {
  /// The elements of an array of integers with one dimension, in order.
  ///
  /// - Throws: `.protocolViolation` for more dimensions, another element type, missing bytes, or a NULL element.
  public func int4Array() throws(PostgresError) -> [Int32] {
    guard let start, count >= 12 else { throw mismatch("array") }
    let (dimensions, type) = (int(start, at: 0), int(start, at: 8))
    guard UInt32(bitPattern: type) == TypeOID.int4.rawValue else {
      throw .protocolViolation("expected an array of int4, got an array of type \(type)")
    }
    if dimensions == 0 { return [] }
    guard dimensions == 1, count >= 20, int(start, at: 12) >= 0 else {
      throw .protocolViolation("expected an array of one dimension, got \(dimensions) dimensions")
    }
    var values: [Int32] = []
    var offset = 20
    for _ in 0..<int(start, at: 12) {
      let length = offset + 4 <= count ? Int(int(start, at: offset)) : 0
      offset += 4
      guard length == 4, length <= count - offset else {
        throw .protocolViolation("element \(values.count) of an array is not an int4")
      }
      values.append(int(start, at: offset))
      offset += length
    }
    return values
  }

  /// Whether this is an empty array, or an array whose first index is 1, as PostgreSQL makes arrays by default.
  public var hasPlainBounds: Bool {
    guard let start, count >= 12 else { return false }
    let dimensions = int(start, at: 0)
    return dimensions == 0 || (dimensions == 1 && count >= 20 && int(start, at: 16) == 1)
  }

  private func int(_ start: UnsafeRawPointer, at offset: Int) -> Int32 {
    Int32(bigEndian: start.loadUnaligned(fromByteOffset: offset, as: Int32.self))
  }
}
