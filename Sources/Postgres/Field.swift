/// One binary value as the server sent it: a view, valid only as long as what it was taken from
/// (a row of a COPY: until the next row).
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

/// Each throws `.protocolViolation` where the value is NULL or has not the size of the type.
extension Field {
  @inlinable public func int2() throws(PostgresError) -> Int16 { try load(Int16.self) }
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

  /// A copy of the bytes.
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
  /// Calls `body` with each element of an array of one dimension, in order.
  ///
  /// - Throws: `.protocolViolation` for more dimensions, another element type, or bytes missing.
  public func forEachElement(
    of type: ElementType, _ body: (Field) throws(PostgresError) -> Void
  ) throws(PostgresError) {
    guard let start, count >= 12 else { throw mismatch("array") }
    func int(_ offset: Int) -> Int32 {
      Int32(bigEndian: start.loadUnaligned(fromByteOffset: offset, as: Int32.self))
    }
    guard UInt32(bitPattern: int(8)) == type.element.rawValue else {
      throw .protocolViolation("expected an array of \(type), got element type \(int(8))")
    }
    if int(0) == 0 { return }
    guard int(0) == 1, count >= 20, int(12) >= 0 else {
      throw .protocolViolation("expected an array of one dimension")
    }
    var offset = 20
    for _ in 0..<int(12) {
      guard offset + 4 <= count else { throw .protocolViolation("array cut short") }
      let length = Int(int(offset))
      offset += 4
      if length == -1 {
        try body(Field(start: nil, count: 0))
        continue
      }
      guard length >= 0, length <= count - offset else {
        throw .protocolViolation("array cut short")
      }
      try body(Field(start: start + offset, count: length))
      offset += length
    }
  }

  /// Whether this is an array that begins at 1, as PostgreSQL makes them unless told otherwise, or an
  /// empty one.
  public var hasPlainBounds: Bool {
    guard let start, count >= 12 else { return false }
    func int(_ offset: Int) -> Int32 {
      Int32(bigEndian: start.loadUnaligned(fromByteOffset: offset, as: Int32.self))
    }
    return int(0) == 0 || (int(0) == 1 && count >= 20 && int(16) == 1)
  }

  /// - Throws: `.protocolViolation` also for a NULL element.
  public func int4Array() throws(PostgresError) -> [Int32] {
    var values: [Int32] = []
    try forEachElement(of: .int4) { (field) throws(PostgresError) in
      values.append(try field.int4())
    }
    return values
  }

  public func int8Array() throws(PostgresError) -> [Int64] {
    var values: [Int64] = []
    try forEachElement(of: .int8) { (field) throws(PostgresError) in
      values.append(try field.int8())
    }
    return values
  }

  public func textArray() throws(PostgresError) -> [String] {
    var values: [String] = []
    try forEachElement(of: .text) { (field) throws(PostgresError) in
      values.append(try field.text())
    }
    return values
  }
}
