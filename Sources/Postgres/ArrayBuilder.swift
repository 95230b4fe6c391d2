/// Builds one array parameter, element by element, in its binary form.
///
/// Append each element with the method of the array's element type. The server refuses other values (22P03).
///
/// - Source: array_recv in src/backend/utils/adt/arrayfuncs.c: int32 dimensions, int32 has-nulls,
///   int32 element type, then for the dimension int32 length and int32 lower bound, then elements.
public struct ArrayBuilder: Sendable {
  @usableFromInline var wire = WireBuffer()
  @usableFromInline var elements: Int32 = 0
  @usableFromInline var hasNulls = false
  public let type: ElementType

  /// - Parameter reservingBytes: Expected size of all elements, to save growing.
  public init(_ type: ElementType, reservingBytes: Int = 0) {
    self.type = type
    wire.bytes.reserveCapacity(reservingBytes + 20)
    wire.put(Int32(1))
    wire.put(Int32(0))
    wire.put(type.element.rawValue)
    wire.put(Int32(0))
    wire.put(Int32(1))
  }

  /// Writes the array into `buffer`, with its length and its nulls in the header.
  func encode(into buffer: inout WireBuffer) {
    if elements == 0 {
      // An array without elements has no dimensions. One with a dimension of length 0 is not equal to it.
      buffer.put(Int32(0))
      buffer.put(Int32(0))
      buffer.put(type.element.rawValue)
      return
    }
    let start = buffer.count
    buffer.put(wire.bytes)
    buffer.patch(hasNulls ? 1 : 0, at: start + 4)
    buffer.patch(elements, at: start + 12)
  }
}

extension ArrayBuilder {
  @inlinable public mutating func null() {
    elements += 1
    hasNulls = true
    wire.field()
  }

  @inlinable public mutating func int4(_ value: Int32?) {
    guard let value else { return null() }
    elements += 1
    wire.field(value)
  }

  @inlinable public mutating func int8(_ value: Int64?) {
    guard let value else { return null() }
    elements += 1
    wire.field(value)
  }

  @inlinable public mutating func text(_ value: String?) {
    guard let value else { return null() }
    elements += 1
    wire.field(text: value)
  }

  @inlinable public mutating func json(_ value: String?) { text(value) }

  @inlinable public mutating func jsonb(_ value: String?) {
    guard let value else { return null() }
    elements += 1
    wire.field(jsonb: value)
  }

  @inlinable public mutating func bytes(_ value: [UInt8]?) {
    guard let value else { return null() }
    elements += 1
    value.withUnsafeBytes { wire.field(raw: $0) }
  }

  /// Bytes in the binary form of the element type.
  @inlinable public mutating func raw(_ value: UnsafeRawBufferPointer) {
    elements += 1
    wire.field(raw: value)
  }

  @inlinable public mutating func uuid(_ high: UInt64, _ low: UInt64) {
    elements += 1
    wire.field(uuid: high, low)
  }

  /// - Parameter micros: Microseconds since 1970 UTC; `Int64.max` is `infinity`.
  @inlinable public mutating func timestamptz(microsSince1970 micros: Int64?) {
    guard let micros else { return null() }
    elements += 1
    wire.field(Epoch.wire(fromMicrosSince1970: micros))
  }
}
