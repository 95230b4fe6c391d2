/// The parameters of one statement in binary form. The first value that is appended is `$1`.
///
/// All values are in one buffer. Each value is sent with its type, and the casts in the SQL convert it. `nil` is a NULL
/// of that type.
public struct Parameters: Sendable {
  /// The place of a value in the buffer. `length` -1 is NULL.
  @usableFromInline struct Slot: Sendable {
    @usableFromInline var offset: Int
    @usableFromInline var length: Int32
    @usableFromInline var type: UInt32

    @inlinable init(offset: Int, length: Int32, type: UInt32) {
      self.offset = offset
      self.length = length
      self.type = type
    }
  }

  @usableFromInline var wire = WireBuffer()
  @usableFromInline var slots: [Slot] = []

  public init() {}

  /// - Parameters:
  ///   - count: Expected number of parameters.
  ///   - bytes: Expected size of all values.
  public init(reserving count: Int, bytes: Int = 0) {
    slots.reserveCapacity(count)
    wire.bytes.reserveCapacity(bytes)
  }

  public var count: Int { slots.count }

  @inlinable mutating func close(_ start: Int, _ type: TypeOID) {
    slots.append(
      Slot(
        offset: start, length: Int32(truncatingIfNeeded: wire.count - start), type: type.rawValue))
  }

  /// NULL. Without a type, the server infers the type from the statement.
  @inlinable public mutating func null(_ type: TypeOID = .inferred) {
    slots.append(Slot(offset: 0, length: -1, type: type.rawValue))
  }

  @inlinable public mutating func bool(_ value: Bool?) {
    guard let value else { return null(.bool) }
    let start = wire.count
    wire.put(UInt8(value ? 1 : 0))
    close(start, .bool)
  }

  @inlinable public mutating func int4(_ value: Int32?) {
    guard let value else { return null(.int4) }
    let start = wire.count
    wire.put(value)
    close(start, .int4)
  }

  @inlinable public mutating func int8(_ value: Int64?) {
    guard let value else { return null(.int8) }
    let start = wire.count
    wire.put(value)
    close(start, .int8)
  }

  @inlinable public mutating func float8(_ value: Double?) {
    guard let value else { return null(.float8) }
    let start = wire.count
    wire.put(value.bitPattern)
    close(start, .float8)
  }

  @inlinable public mutating func text(_ value: String?) {
    guard let value else { return null(.text) }
    let start = wire.count
    wire.put(utf8: value)
    close(start, .text)
  }

  @inlinable public mutating func json(_ value: String?) {
    guard let value else { return null(.json) }
    let start = wire.count
    wire.put(utf8: value)
    close(start, .json)
  }

  @inlinable public mutating func jsonb(_ value: String?) {
    guard let value else { return null(.jsonb) }
    let start = wire.count
    wire.put(UInt8(1))
    wire.put(utf8: value)
    close(start, .jsonb)
  }

  @inlinable public mutating func bytes(_ value: [UInt8]?) {
    guard let value else { return null(.bytea) }
    let start = wire.count
    wire.put(value)
    close(start, .bytea)
  }

  @inlinable public mutating func uuid(_ high: UInt64, _ low: UInt64) {
    let start = wire.count
    wire.put(high)
    wire.put(low)
    close(start, .uuid)
  }

  /// - Parameter micros: Microseconds since 1970 UTC; `Int64.max` is `infinity`.
  @inlinable public mutating func timestamptz(microsSince1970 micros: Int64?) {
    guard let micros else { return null(.timestamptz) }
    let start = wire.count
    wire.put(Epoch.wire(fromMicrosSince1970: micros))
    close(start, .timestamptz)
  }

  public mutating func array(_ builder: ArrayBuilder) {
    let start = wire.count
    builder.encode(into: &wire)
    close(start, builder.type.array)
  }
}
