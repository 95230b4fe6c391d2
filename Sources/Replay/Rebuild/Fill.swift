import Ledger
import Log
import Postgres

/// The rows of a fold as a COPY into empty tables takes them: made where the fold was, while the slice
/// before is still being written.
struct Fill: RowVisitor {
  struct Filled {
    let table: String
    let sql: String
    let rows: CopyRows
  }

  /// What is left of it: holds and the ledger's own row are not of the eight, and may be there.
  private(set) var fold: Fold
  /// Parents before children.
  private(set) var tables: [Filled] = []
  private let prefix: String
  private let columns: StateColumns?

  /// - Parameters:
  ///   - prefix: The schema of the tables, with its point; `public.` for the live ones.
  ///   - columns: Those that are filled, where they are not all.
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
