internal import CPostgres

/// The answer to one statement.
///
/// Values are read in libpq's memory, which lives as long as this object. Row and column numbers begin at 0. A number
/// that is out of range throws `.protocolViolation`.
public final class Rows {
  private let handle: OpaquePointer
  public let count: Int
  public let columnCount: Int

  /// Takes ownership of the result.
  init(owning handle: OpaquePointer) {
    self.handle = handle
    count = Int(PQntuples(handle))
    columnCount = Int(PQnfields(handle))
  }

  deinit { PQclear(handle) }

  public var isEmpty: Bool { count == 0 }

  /// Rows that the command selected, inserted, updated, deleted or copied; 0 for other commands.
  var rowsAffected: Int {
    guard let text = PQcmdTuples(handle) else { return 0 }
    var count = 0
    var cursor = text
    while case let digit = cursor.pointee, digit >= 48, digit <= 57 {
      count = count &* 10 &+ Int(digit - 48)
      cursor += 1
    }
    return count
  }

  /// The field is valid while this object lives.
  private func field(_ row: Int, _ column: Int) throws(PostgresError) -> Field {
    guard row >= 0, row < count, column >= 0, column < columnCount else {
      throw .protocolViolation(
        "no value at row \(row), column \(column): \(count) rows of \(columnCount) columns")
    }
    if PQgetisnull(handle, Int32(row), Int32(column)) != 0 { return Field(start: nil, count: 0) }
    return Field(
      start: PQgetvalue(handle, Int32(row), Int32(column)),
      count: Int(PQgetlength(handle, Int32(row), Int32(column))))
  }

  private func read<Value>(
    _ row: Int, _ column: Int, _ body: (Field) throws(PostgresError) -> Value
  ) throws(PostgresError) -> Value {
    defer { withExtendedLifetime(self) {} }
    return try body(field(row, column))
  }

  private func readIfPresent<Value>(
    _ row: Int, _ column: Int, _ body: (Field) throws(PostgresError) -> Value
  ) throws(PostgresError) -> Value? {
    defer { withExtendedLifetime(self) {} }
    let field = try field(row, column)
    return field.isNull ? nil : try body(field)
  }
}

/// Values by type. Each method throws `.protocolViolation` for NULL and for a value of another size.
extension Rows {
  public func isNull(_ row: Int, _ column: Int) throws(PostgresError) -> Bool {
    try read(row, column) { $0.isNull }
  }

  public func int4(_ row: Int, _ column: Int) throws(PostgresError) -> Int32 {
    try read(row, column) { (field) throws(PostgresError) in try field.int4() }
  }

  public func int8(_ row: Int, _ column: Int) throws(PostgresError) -> Int64 {
    try read(row, column) { (field) throws(PostgresError) in try field.int8() }
  }

  public func bool(_ row: Int, _ column: Int) throws(PostgresError) -> Bool {
    try read(row, column) { (field) throws(PostgresError) in try field.bool() }
  }

  public func float8(_ row: Int, _ column: Int) throws(PostgresError) -> Double {
    try read(row, column) { (field) throws(PostgresError) in try field.float8() }
  }

  /// Text, json, or the label of an enum.
  public func text(_ row: Int, _ column: Int) throws(PostgresError) -> String {
    try read(row, column) { (field) throws(PostgresError) in try field.text() }
  }

  public func json(_ row: Int, _ column: Int) throws(PostgresError) -> String {
    try read(row, column) { (field) throws(PostgresError) in try field.json() }
  }

  public func jsonb(_ row: Int, _ column: Int) throws(PostgresError) -> String {
    try read(row, column) { (field) throws(PostgresError) in try field.jsonb() }
  }

  public func bytea(_ row: Int, _ column: Int) throws(PostgresError) -> [UInt8] {
    try read(row, column) { (field) throws(PostgresError) in try field.bytea() }
  }

  public func uuid(_ row: Int, _ column: Int) throws(PostgresError) -> (UInt64, UInt64) {
    try read(row, column) { (field) throws(PostgresError) in try field.uuid() }
  }

  /// Microseconds since 1970 UTC.
  public func timestamptz(_ row: Int, _ column: Int) throws(PostgresError) -> Int64 {
    try read(row, column) { (field) throws(PostgresError) in try field.timestamptz() }
  }

  public func int4Array(_ row: Int, _ column: Int) throws(PostgresError) -> [Int32] {
    try read(row, column) { (field) throws(PostgresError) in try field.int4Array() }
  }
}

/// Values by type, with nil for NULL. Each method throws `.protocolViolation` for a value of another size.
extension Rows {
  public func int4IfPresent(_ row: Int, _ column: Int) throws(PostgresError) -> Int32? {
    try readIfPresent(row, column) { (field) throws(PostgresError) in try field.int4() }
  }

  public func int8IfPresent(_ row: Int, _ column: Int) throws(PostgresError) -> Int64? {
    try readIfPresent(row, column) { (field) throws(PostgresError) in try field.int8() }
  }

  public func float8IfPresent(_ row: Int, _ column: Int) throws(PostgresError) -> Double? {
    try readIfPresent(row, column) { (field) throws(PostgresError) in try field.float8() }
  }

  public func textIfPresent(_ row: Int, _ column: Int) throws(PostgresError) -> String? {
    try readIfPresent(row, column) { (field) throws(PostgresError) in try field.text() }
  }

  public func jsonIfPresent(_ row: Int, _ column: Int) throws(PostgresError) -> String? {
    try readIfPresent(row, column) { (field) throws(PostgresError) in try field.json() }
  }

  public func jsonbIfPresent(_ row: Int, _ column: Int) throws(PostgresError) -> String? {
    try readIfPresent(row, column) { (field) throws(PostgresError) in try field.jsonb() }
  }

  public func byteaIfPresent(_ row: Int, _ column: Int) throws(PostgresError) -> [UInt8]? {
    try readIfPresent(row, column) { (field) throws(PostgresError) in try field.bytea() }
  }

  public func uuidIfPresent(_ row: Int, _ column: Int) throws(PostgresError) -> (UInt64, UInt64)? {
    try readIfPresent(row, column) { (field) throws(PostgresError) in try field.uuid() }
  }

  public func timestamptzIfPresent(_ row: Int, _ column: Int) throws(PostgresError) -> Int64? {
    try readIfPresent(row, column) { (field) throws(PostgresError) in try field.timestamptz() }
  }
}
