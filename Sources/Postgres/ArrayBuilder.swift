/// Builds one array parameter, element by element, in its binary form.
///
/// Only the appender that belongs to the element type is right: the server refuses others (22P03).
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
    putHeader()
  }

  /// Elements appended so far.
  public var count: Int { Int(elements) }
  public var isEmpty: Bool { elements == 0 }

  /// Begins again, keeping the memory.
  public mutating func removeAll() {
    wire.bytes.removeAll(keepingCapacity: true)
    elements = 0
    hasNulls = false
    putHeader()
  }

  private mutating func putHeader() {
    wire.put(Int32(1))
    wire.put(Int32(0))
    wire.put(type.element.rawValue)
    wire.put(Int32(0))
    wire.put(Int32(1))
  }

  /// Writes what is known only at the end into the header, and the array into `buffer`.
  func encode(into buffer: inout WireBuffer) {
    if elements == 0 {
      // No dimensions: an array without elements, not one with a dimension of length 0.
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

  @inlinable public mutating func bool(_ value: Bool?) {
    guard let value else { return null() }
    elements += 1
    wire.field(UInt8(value ? 1 : 0))
  }

  @inlinable public mutating func int2(_ value: Int16?) {
    guard let value else { return null() }
    elements += 1
    wire.field(value)
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

  @inlinable public mutating func float8(_ value: Double?) {
    guard let value else { return null() }
    elements += 1
    wire.field(value.bitPattern)
  }

  @inlinable public mutating func text(_ value: String?) {
    guard let value else { return null() }
    elements += 1
    wire.field(text: value)
  }

  /// The text as it is; it is stored byte for byte.
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

  /// Raw bytes of any type: UTF-8 of a text or json element, bytea, and so on.
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
