/// Rows of a binary COPY as bytes. Any thread can make them before a ``CopyWriter`` sends them.
public class CopyRows {
  // Unchecked: no method calls a closure while it writes, and the check of each access costs more than the write.
  @exclusivity(unchecked) @usableFromInline final var wire = CopyBuffer(
    capacity: CopyRows.bufferBytes + 16 << 10)
  @exclusivity(unchecked) @usableFromInline final var fieldsLeft = 0
  @exclusivity(unchecked) public private(set) final var rowsWritten = 0
  private(set) final var full: [CopyBuffer] = []

  /// Large enough to make calls rare, small enough for the cache.
  static let bufferBytes = 128 << 10

  public init() {}

  deinit {
    wire.free()
    for buffer in full { buffer.free() }
  }

  /// Begins the next row.
  ///
  /// - Throws: `.usage` if the previous row has too few or too many values; the server's error.
  public func row(_ fieldCount: Int) throws(PostgresError) {
    guard fieldsLeft == 0, fieldCount >= 0, fieldCount <= 1664 else {
      throw .usage("row \(rowsWritten) lacks \(fieldsLeft) of its values")
    }
    if wire.count >= Self.bufferBytes { try spill() }
    wire.put(Int16(truncatingIfNeeded: fieldCount))
    fieldsLeft = fieldCount
    rowsWritten += 1
  }

  /// Makes room in a buffer that is full.
  func spill() throws(PostgresError) {
    full.append(wire)
    wire = CopyBuffer(capacity: Self.bufferBytes + 16 << 10)
  }
}

/// Appends the values of a row, in the order of its columns. `nil` is NULL.
extension CopyRows {
  @inlinable public func null() {
    fieldsLeft &-= 1
    wire.put(Int32(-1))
  }

  @inlinable public func int4(_ value: Int32?) {
    guard let value else { return null() }
    fieldsLeft &-= 1
    wire.field(value)
  }

  @inlinable public func int8(_ value: Int64?) {
    guard let value else { return null() }
    fieldsLeft &-= 1
    wire.field(value)
  }

  /// Text, or the label of an enum.
  @inlinable public func text(_ value: String?) {
    guard let value else { return null() }
    fieldsLeft &-= 1
    wire.field(text: value)
  }

  @inlinable public func json(_ value: String?) { text(value) }

  @inlinable public func jsonb(_ value: String?) {
    guard let value else { return null() }
    fieldsLeft &-= 1
    wire.field(jsonb: value)
  }

  @inlinable public func uuid(_ high: UInt64, _ low: UInt64) {
    fieldsLeft &-= 1
    wire.field(uuid: high, low)
  }

  /// - Parameter micros: Microseconds since 1970 UTC; `Int64.max` is `infinity`.
  @inlinable public func timestamptz(microsSince1970 micros: Int64?) {
    guard let micros else { return null() }
    fieldsLeft &-= 1
    wire.field(Epoch.wire(fromMicrosSince1970: micros))
  }

  public func array(_ builder: ArrayBuilder) {
    fieldsLeft &-= 1
    var array = WireBuffer()
    builder.encode(into: &array)
    array.bytes.withUnsafeBytes { wire.field(raw: $0) }
  }
}
