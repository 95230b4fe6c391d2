internal import CPostgres

/// The answer to one statement: its rows, in binary, and how many it touched.
///
/// Values are read in place, in libpq's memory, which lives as long as this object.
/// Row and column numbers begin at 0; one out of range throws `.protocolViolation`.
public final class Rows {
  private let handle: OpaquePointer
  public let count: Int
  public let columnCount: Int

  /// Takes the result over and frees it.
  init(owning handle: OpaquePointer) {
    self.handle = handle
    count = Int(PQntuples(handle))
    columnCount = Int(PQnfields(handle))
  }

  deinit { PQclear(handle) }

  public var isEmpty: Bool { count == 0 }

  /// Rows that the command selected, inserted, updated, deleted or copied; 0 for other commands.
  public var rowsAffected: Int {
    guard let text = PQcmdTuples(handle) else { return 0 }
    var count = 0
    var cursor = text
    while case let digit = cursor.pointee, digit >= 48, digit <= 57 {
      count = count &* 10 &+ Int(digit - 48)
      cursor += 1
    }
    return count
  }

  /// Name of a column; empty where there is no such column.
  public func columnName(_ column: Int) -> String {
    guard let name = PQfname(handle, Int32(clamping: column)) else { return "" }
    return String(cString: name)
  }

  /// Type of a column; 0 where there is no such column.
  public func columnType(_ column: Int) -> TypeOID {
    TypeOID(column >= 0 && column < columnCount ? PQftype(handle, Int32(column)) : 0)
  }

  /// The object must outlive the use of the field; the callers here see to it.
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

  /// Calls `body` with the value, for what the accessors do not cover. It must not keep it.
  public func withField<Value, Failure: Error>(
    _ row: Int, _ column: Int, _ body: (Field) throws(Failure) -> Value
  ) throws -> Value {
    defer { withExtendedLifetime(self) {} }
    return try body(field(row, column))
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

/// Values by type; each throws `.protocolViolation` for NULL or a value of another size.
extension Rows {
  public func isNull(_ row: Int, _ column: Int) throws(PostgresError) -> Bool {
    try read(row, column) { $0.isNull }
  }

  public func int2(_ row: Int, _ column: Int) throws(PostgresError) -> Int16 {
    try read(row, column) { (field) throws(PostgresError) in try field.int2() }
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

  public func int8Array(_ row: Int, _ column: Int) throws(PostgresError) -> [Int64] {
    try read(row, column) { (field) throws(PostgresError) in try field.int8Array() }
  }

  public func textArray(_ row: Int, _ column: Int) throws(PostgresError) -> [String] {
    try read(row, column) { (field) throws(PostgresError) in try field.textArray() }
  }
}

/// Values by type, NULL as nil; each throws `.protocolViolation` for a value of another size.
extension Rows {
  public func int2IfPresent(_ row: Int, _ column: Int) throws(PostgresError) -> Int16? {
    try readIfPresent(row, column) { (field) throws(PostgresError) in try field.int2() }
  }

  public func int4IfPresent(_ row: Int, _ column: Int) throws(PostgresError) -> Int32? {
    try readIfPresent(row, column) { (field) throws(PostgresError) in try field.int4() }
  }

  public func int8IfPresent(_ row: Int, _ column: Int) throws(PostgresError) -> Int64? {
    try readIfPresent(row, column) { (field) throws(PostgresError) in try field.int8() }
  }

  public func boolIfPresent(_ row: Int, _ column: Int) throws(PostgresError) -> Bool? {
    try readIfPresent(row, column) { (field) throws(PostgresError) in try field.bool() }
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

  public func int4ArrayIfPresent(_ row: Int, _ column: Int) throws(PostgresError) -> [Int32]? {
    try readIfPresent(row, column) { (field) throws(PostgresError) in try field.int4Array() }
  }

  public func int8ArrayIfPresent(_ row: Int, _ column: Int) throws(PostgresError) -> [Int64]? {
    try readIfPresent(row, column) { (field) throws(PostgresError) in try field.int8Array() }
  }

  public func textArrayIfPresent(_ row: Int, _ column: Int) throws(PostgresError) -> [String]? {
    try readIfPresent(row, column) { (field) throws(PostgresError) in try field.textArray() }
  }
}
