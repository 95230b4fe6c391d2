import Ledger
import Log
import Postgres

/// The rows of a fold in the binary format of COPY, for empty tables. The thread that folded makes them, while another
/// thread writes the slice before.
struct Fill: RowVisitor {
  struct Filled {
    let table: String
    let sql: String
    let rows: CopyRows
  }

  /// The rest of the fold: holds and the ledger's own row are not in the eight tables.
  private(set) var fold: Fold
  /// In an order that puts parents before children.
  private(set) var tables: [Filled] = []
  private let prefix: String
  private let columns: StateColumns?

  /// - Parameters:
  ///   - prefix: The schema of the tables, with a dot.
  ///   - columns: The columns to fill; nil for all.
  init(
    _ fold: consuming Fold, into prefix: String = "public.", _ columns: StateColumns? = nil
  ) throws(OpsError) {
    self.fold = fold
    self.prefix = prefix
    self.columns = columns
    try visitParentsFirst()
  }

  mutating func visit<R: Row>(
    _ rowType: R.Type, _ table: WritableKeyPath<Fold, FoldTable<R>>
  ) throws(OpsError) {
    guard R.name.isOfTheEight else { return }
    let filled = columns.map { $0[R.name] ?? [] } ?? Array(R.columns.indices)
    let columns = filled.map { R.columns[$0] }
    let rows = CopyRows()
    try onDatabase { () throws(PostgresError) in
      try fold[keyPath: table].withEachRow { (row) throws(PostgresError) in
        try rows.row(columns.count)
        for column in columns { rows.append(column.get(at: row)) }
      }
    }
    fold[keyPath: table] = FoldTable()
    guard rows.rowsWritten > 0 else { return }
    tables.append(
      Filled(
        table: R.table,
        sql: "COPY \(prefix)\(R.table) (\(columns.map(\.name).joined(separator: ", "))) "
          + "FROM STDIN (FORMAT binary)",
        rows: rows))
  }
}

extension Fill.Filled {
  /// - Returns: How many rows the server stored.
  func write(on connection: Connection) throws(OpsError) -> Int {
    try onDatabase { () throws(PostgresError) in
      let writer = try connection.copyIn(sql)
      try writer.rows(rows)
      return try writer.finish()
    }
  }
}

extension CopyRows {
  fileprivate func append(_ value: Value) {
    switch value {
    case .null: null()
    case .int(let number): int4(number)
    case .text(let text): self.text(text)
    case .uuid(let id): uuid(id.high, id.low)
    case .time(let instant): timestamptz(microsSince1970: instant.micros)
    case .json(let text): jsonb(text)
    case .ints(let numbers):
      var array = ArrayBuilder(.int4)
      for number in numbers { array.int4(number) }
      self.array(array)
    }
  }
}
