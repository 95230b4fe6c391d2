public import Ledger
public import Postgres

extension Rows {
  /// Reads one row of a projection, selected by ``Ledger/Row/select(_:)``.
  ///
  /// - Parameter first: The result's column at which that list begins.
  public func row<R: Row>(_ index: Int, of rowType: R.Type, first: Int = 0) throws(OpsError) -> R {
    try row(index, R.columns, first: first)
  }

  /// Takes the columns as a parameter: getting them from a generic type costs as much as reading some of them.
  private func row<R: Row>(
    _ index: Int, _ columns: [Column<R>], first: Int
  ) throws(OpsError) -> R {
    var row = R(blank: StreamID(high: 0, low: 0))
    do throws(PostgresError) {
      for offset in columns.indices {
        let value = try value(index, first + offset, columns[offset].type)
        guard columns[offset].set(&row, value) else {
          throw .protocolViolation(
            "\(R.table).\(columns[offset].name) holds a value that opsledger does not know")
        }
      }
    } catch {
      throw OpsError(
        .inconsistentRow, "a row of \(R.table) cannot be read: \(error.message)",
        hint: "was the table altered? see `opsledger doctor` and `opsledger verify`")
    }
    return row
  }

  /// Every row of the result.
  public func rows<R: Row>(of rowType: R.Type) throws(OpsError) -> [R] {
    var rows: [R] = []
    rows.reserveCapacity(count)
    let columns = R.columns
    for index in 0..<count { rows.append(try row(index, columns, first: 0)) }
    return rows
  }

  private func value(_ row: Int, _ column: Int, _ type: ColumnType) throws(PostgresError) -> Value {
    if try isNull(row, column) { return .null }
    return switch type {
    case .int: .int(try int4(row, column))
    case .text, .label: .text(try text(row, column))
    case .uuid: .uuid(StreamID(try uuid(row, column)))
    case .time: .time(Instant(micros: try timestamptz(row, column)))
    case .json: .json(try jsonb(row, column))
    case .ints: .ints(try int4Array(row, column))
    }
  }
}

extension Rows {
  /// What `body` reads from each row.
  package func map<R>(_ body: (Int) throws(PostgresError) -> R) throws(OpsError) -> [R] {
    var values: [R] = []
    values.reserveCapacity(count)
    do {
      for row in 0..<count { values.append(try body(row)) }
    } catch {
      throw OpsError(database: error)
    }
    return values
  }

  /// The texts of the first column.
  package func texts() throws(OpsError) -> [String] {
    try map { (row) throws(PostgresError) in try text(row, 0) }
  }

  /// The ids in one column, without its nulls.
  public func ids(_ column: Int = 0) throws(OpsError) -> [StreamID] {
    try map { (row) throws(PostgresError) in try uuidIfPresent(row, column) }
      .compactMap { $0.map { StreamID($0) } }
  }
}

extension StreamID {
  public init(_ halves: (UInt64, UInt64)) { self.init(high: halves.0, low: halves.1) }
}

extension Parameters {
  package init(_ id: StreamID) {
    self.init()
    uuid(id)
  }

  package init(_ text: String) {
    self.init()
    self.text(text)
  }

  package init(_ numbers: Int64...) {
    self.init()
    for number in numbers { int8(number) }
  }

  package init(_ entries: ClosedRange<Int64>) { self.init(entries.lowerBound, entries.upperBound) }

  package init(_ flag: Bool) {
    self.init()
    bool(flag)
  }

  package init(_ ids: some Sequence<StreamID>) {
    self.init()
    uuids(ids)
  }

  public mutating func uuid(_ id: StreamID) { uuid(id.high, id.low) }

  public mutating func time(_ instant: Instant) { timestamptz(microsSince1970: instant.micros) }

  public mutating func uuids(_ ids: some Sequence<StreamID>) {
    var array = ArrayBuilder(.uuid)
    for id in ids { array.uuid(id.high, id.low) }
    self.array(array)
  }

  mutating func int8s(_ numbers: some Sequence<Int64>) {
    var array = ArrayBuilder(.int8)
    for number in numbers { array.int8(number) }
    self.array(array)
  }

  public mutating func texts(_ texts: some Sequence<String>) {
    var array = ArrayBuilder(.text)
    for text in texts { array.text(text) }
    self.array(array)
  }

  /// A column's value, of the type that an element of the column's array has.
  mutating func value(_ value: Value, of type: ColumnType) {
    switch (value, type) {
    case (.null, .int): int4(nil)
    case (.null, .text), (.null, .label), (.null, .ints): text(nil)
    case (.null, .uuid): null(.uuid)
    case (.null, .time): timestamptz(microsSince1970: nil)
    case (.null, .json): jsonb(nil)
    case (.int(let number), _): int4(number)
    case (.text(let text), _): self.text(text)
    case (.uuid(let id), _): uuid(id)
    case (.time(let instant), _): time(instant)
    case (.json(let text), _): jsonb(text)
    case (.ints, _): text(value.printed)
    }
  }
}

extension ArrayBuilder {
  /// The array that carries a column of this type, with room for about `count` values.
  package init(for type: ColumnType, count: Int = 0) {
    switch type {
    case .int: self.init(.int4, reservingBytes: 8 * count)
    case .text, .label, .ints: self.init(.text, reservingBytes: 24 * count)
    case .uuid: self.init(.uuid, reservingBytes: 20 * count)
    case .time: self.init(.timestamptz, reservingBytes: 12 * count)
    case .json: self.init(.jsonb, reservingBytes: 256 * count)
    }
  }

  package mutating func append(_ value: Value) {
    switch value {
    case .null: null()
    case .int(let number): int4(number)
    case .text(let text): self.text(text)
    case .uuid(let id): uuid(id.high, id.low)
    case .time(let instant): timestamptz(microsSince1970: instant.micros)
    case .json(let text): jsonb(text)
    case .ints: text(value.printed)
    }
  }
}

extension Row {
  /// Every ledger column, comma-separated, each after the table's alias, in the order in which ``Postgres/Rows`` reads
  /// a row.
  public static func select(_ alias: String) -> String {
    columns.map { "\(alias).\($0.name)" }.joined(separator: ", ")
  }

  /// The same list, in which each column gets a name that begins with the prefix.
  public static func select(_ alias: String, prefix: String) -> String {
    columns.map { "\(alias).\($0.name) AS \(prefix)\($0.name)" }.joined(separator: ", ")
  }

  /// The list of the names that ``select(_:prefix:)`` has given.
  public static func prefixed(_ alias: String, _ prefix: String) -> String {
    columns.map { "\(alias).\(prefix)\($0.name)" }.joined(separator: ", ")
  }

  /// SQL that estimates the bytes of a row's long columns from their stored size, without reading them. Compressed json
  /// counts as the most that it can expand to.
  public static func bytes(_ alias: String) -> String {
    let sizes = columns.compactMap { column -> String? in
      let value = "\(alias).\(column.name)"
      return switch column.type {
      case .text: "coalesce(octet_length(\(value)), 0)::float8"
      case .ints: "coalesce(pg_column_size(\(value)), 0)::float8"
      case .json:
        """
        coalesce(pg_column_size(\(value)), 0)::float8 * CASE
          WHEN pg_column_size(\(value)) > 16384 AND pg_column_compression(\(value)) IS NOT NULL THEN 256 ELSE 1 END
        """
      case .int, .uuid, .time, .label: nil
      }
    }
    return "(" + sizes.joined(separator: " + ") + ")"
  }
}
