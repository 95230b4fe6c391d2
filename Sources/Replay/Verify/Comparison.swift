import Glibc
import Ledger
import Log
import Postgres

/// Compares a folded slice with the live rows of the same streams, column by column and byte by byte.
struct Comparison: RowVisitor {
  /// At most this many differences are described. All are counted.
  static let describedMax = 10_000

  private(set) var fold: Fold
  private let slice: Slice
  private let connection: Connection
  private let leavingOut: RowType?
  private(set) var rowsCompared: [String: Int] = [:]
  private(set) var differences: [Difference] = []
  private(set) var differenceCount = 0
  /// The streams of all rows that differ, are missing, or should not exist.
  private(set) var streams: Set<StreamID> = []
  /// The keys of rows that the log does not have.
  private(set) var extra: [RowType: [Value]] = [:]
  private(set) var changed: [RowType: Set<StreamID>] = [:]
  private(set) var missing: [RowType: [StreamID]] = [:]
  /// JSON columns whose text differs from the fold's, perhaps only in spelling.
  private var respelled: [Respelled] = []

  private struct Respelled {
    let stream: StreamID
    let row: String
    let column: String
    let folded: String
    let live: String
  }

  /// - Parameter leavingOut: A row type to skip.
  init(
    _ fold: Fold, _ slice: Slice, on connection: Connection, leavingOut: RowType? = nil
  ) {
    self.fold = fold
    self.slice = slice
    self.connection = connection
    self.leavingOut = leavingOut
  }

  mutating func run() throws(OpsError) { try visitParentsFirst() }

  mutating func visit<R: Row>(
    _ rowType: R.Type, _ table: WritableKeyPath<Fold, FoldTable<R>>
  ) throws(OpsError) {
    if R.name == leavingOut { return }
    // The table is moved out: an access through the key path costs as much as comparing a row.
    var folded = FoldTable<R>()
    swap(&folded, &fold[keyPath: table])
    defer { swap(&folded, &fold[keyPath: table]) }
    do throws(PostgresError) {
      let columns = R.columns
      let reader = try connection.copyReader(slice.rows(of: R.self))
      var count = 0
      while let row = try reader.next() {
        count += 1
        try compare(row, columns, &folded)
      }
      rowsCompared[R.table, default: 0] += count
      try compareRespelled(R.self)
    } catch {
      throw OpsError(database: error)
    }
    for slot in folded.slots {
      guard let row = slot.row, !slot.isSeen, !slot.isBroken else { continue }
      missing[R.name, default: []].append(slot.stream)
      note(R.self, slot.stream, R.columns[0].get(row), "*", expected: "a row", found: nil)
    }
  }

  private mutating func compare<R: Row>(
    _ row: borrowing CopyRow, _ columns: [Column<R>], _ folded: inout FoldTable<R>
  ) throws(PostgresError) {
    let key = try row[0].value(columns[0].type)
    guard let stream = R.stream(ofKey: key) else {
      throw .protocolViolation("\(R.table) has a row without a key")
    }
    guard let slot = folded.find(stream) else { return noteExtra(R.self, stream, key) }
    // Possible if the primary key was dropped.
    if folded.slots[slot].isSeen {
      return note(R.self, stream, key, "*", expected: "one row", found: "a second row")
    }
    folded.markSeen(slot)
    if folded.slots[slot].isBroken { return }
    guard let expectedRow = folded.slots[slot].row else {
      return noteExtra(R.self, stream, key)
    }
    try withUnsafePointer(to: expectedRow) { (expectedRow) throws(PostgresError) in
      try compare(row, columns, at: expectedRow, stream, key)
    }
  }

  private mutating func compare<R: Row>(
    _ row: borrowing CopyRow, _ columns: [Column<R>], at expectedRow: UnsafePointer<R>,
    _ stream: StreamID, _ key: Value
  ) throws(PostgresError) {
    for index in columns.indices {
      let column = columns[index]
      let expected = column.get(at: expectedRow)
      if row[index].holds(expected) { continue }
      guard let found = try? row[index].value(column.type) else {
        noteChanged(
          R.self, stream, key, column.name, expected: expected.printed,
          found: "a value that cannot be read")
        continue
      }
      if case (.json(let folded), .json(let live)) = (expected, found) {
        respelled.append(
          Respelled(
            stream: stream, row: key.printed ?? "", column: column.name, folded: folded,
            live: live))
      } else {
        noteChanged(
          R.self, stream, key, column.name, expected: expected.printed, found: found.printed)
      }
    }
  }

  /// Asks the server about JSON texts that differ: its spelling of jsonb decides.
  private mutating func compareRespelled<R: Row>(_ rowType: R.Type) throws(PostgresError) {
    defer { respelled.removeAll() }
    for chunk in respelled.chunks(of: 1000) {
      var parameters = Parameters()
      parameters.texts(chunk.map(\.folded))
      parameters.texts(chunk.map(\.live))
      let rows = try connection.query(Self.respell, parameters)
      for row in 0..<rows.count {
        let item = chunk[chunk.startIndex + Int(try rows.int8(row, 0)) - 1]
        noteChanged(
          R.self, item.stream, .text(item.row), item.column, expected: item.folded,
          found: item.live)
      }
    }
  }

  private static let respell = Statement(
    """
    SELECT v.at FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS v(folded, live, at)
    WHERE v.folded::jsonb::text <> v.live
    """)

  private mutating func noteExtra<R: Row>(_ rowType: R.Type, _ stream: StreamID, _ key: Value) {
    extra[R.name, default: []].append(key)
    note(R.self, stream, key, "*", expected: nil, found: "a row")
  }

  private mutating func noteChanged<R: Row>(
    _ rowType: R.Type, _ stream: StreamID, _ key: Value, _ column: String, expected: String?,
    found: String?
  ) {
    changed[R.name, default: []].insert(stream)
    note(rowType, stream, key, column, expected: expected, found: found)
  }

  private mutating func note<R: Row>(
    _ rowType: R.Type, _ stream: StreamID, _ key: Value, _ column: String, expected: String?,
    found: String?
  ) {
    differenceCount += 1
    streams.insert(stream)
    guard differences.count < Self.describedMax else { return }
    differences.append(
      Difference(
        table: R.table, row: key.printed ?? "", column: column, expected: expected, found: found))
  }
}

extension Field {
  func value(_ type: ColumnType) throws(PostgresError) -> Value {
    if isNull { return .null }
    return switch type {
    case .int: .int(try int4())
    case .text, .label: .text(try text())
    case .uuid: .uuid(StreamID(try uuid()))
    case .time: .time(Instant(micros: try timestamptz()))
    case .json: .json(try jsonb())
    case .ints: .ints(try plainInts())
    }
  }

  /// Refuses an array with other bounds: it differs from the array of the same elements.
  private func plainInts() throws(PostgresError) -> [Int32] {
    guard hasPlainBounds else {
      throw .protocolViolation("an array that does not begin at 1")
    }
    return try int4Array()
  }

  /// Whether this field is the binary form of a value.
  func holds(_ value: Value) -> Bool {
    switch value {
    case .null: isNull
    case .int(let number): (try? int4()) == number
    case .text(let text): !isNull && bytes.same(as: text)
    case .uuid(let id): (try? uuid()).map { StreamID($0) } == id
    case .time(let instant): (try? timestamptz()) == instant.micros
    case .json(let text): (try? jsonbBytes())?.same(as: text) ?? false
    case .ints(let numbers): hasPlainBounds && (try? int4Array()) == numbers
    }
  }
}

extension UnsafeRawBufferPointer {
  fileprivate func same(as text: String) -> Bool {
    var text = text
    return text.withUTF8 { utf8 in
      guard count == utf8.count else { return false }
      guard let mine = baseAddress, let other = utf8.baseAddress, count > 0 else { return true }
      return memcmp(mine, other, count) == 0
    }
  }
}
