package import Ledger
package import Postgres

/// The SQL statements of one projection, made from its columns.
package struct TableText: Sendable {
  package struct ColumnText: Sendable {
    package let name: String
    /// The element type of the array that carries it.
    package let carrier: String
    /// The expression that turns one element of the array into the column.
    let value: String
  }

  /// The table's name in texts and in stores.
  package let table: String
  /// The table's name in statements, with its schema: the `search_path` of sessions has no schema that others may
  /// write to.
  package let relation: String
  package let key: String
  package let columns: [ColumnText]
  package let selectList: String
  package let insert: Statement
  /// Sets every column but the key, whatever the row's version is: for repairs only.
  package let overwrite: Statement
  /// Removes rows if they have the expected versions: `$1` keys, `$2` versions, `$3` the number of rows.
  let remove: Statement

  private static func columnText<R: Row>(_ column: Column<R>) -> ColumnText {
    let name = column.name
    return switch column.type {
    case .int: ColumnText(name: name, carrier: "integer", value: "v.\(name)")
    case .text: ColumnText(name: name, carrier: "text", value: "v.\(name)")
    case .uuid: ColumnText(name: name, carrier: "uuid", value: "v.\(name)")
    case .time: ColumnText(name: name, carrier: "timestamptz", value: "v.\(name)")
    case .json: ColumnText(name: name, carrier: "jsonb", value: "v.\(name)")
    // PostgreSQL's arrays of arrays must be rectangular, so each array is sent as text.
    case .ints: ColumnText(name: name, carrier: "text", value: "v.\(name)::integer[]")
    case .label(let type):
      ColumnText(name: name, carrier: "text", value: "v.\(name)::public.\(type)")
    }
  }

  init<R: Row>(_ rowType: R.Type) {
    table = R.table
    let relation = table.contains(".") ? table : "public." + table
    self.relation = relation
    key = R.columns[0].name
    columns = R.columns.map(Self.columnText)
    selectList = columns.map(\.name).joined(separator: ", ")
    let arrays = columns.enumerated().map { "$\($0 + 1)::\($1.carrier)[]" }
    insert = Statement(
      """
      INSERT INTO \(relation) (\(selectList))
      SELECT \(columns.map(\.value).joined(separator: ", "))
      FROM \(Self.elements(arrays)) AS v(\(selectList))
      """)
    remove = Statement(
      """
      WITH removed AS (
        DELETE FROM \(relation) AS t USING \(Self.elements(["$1::\(columns[0].carrier)[]", "$2::integer[]"]))
          AS v(k, expected)
        WHERE t.\(key) = v.k AND t.version = v.expected RETURNING 1)
      SELECT ledger.expect_rows(count(*), $3::integer) FROM removed
      """)
    let sets = columns.dropFirst().map { "\($0.name) = \($0.value)" }
    overwrite = Statement(
      """
      UPDATE \(relation) AS t SET \(sets.joined(separator: ", "))
      FROM \(Self.elements(arrays)) AS v(\(selectList)) WHERE t.\(key) = v.\(key)
      """)
  }

  /// The rows that arrays hold, one array for each column. If numbered, each row begins with its position, from 1.
  ///
  /// `unnest` in a select list reads an array in place; in FROM it would copy the array first.
  static func elements(_ arrays: [String], isNumbered: Bool = false) -> String {
    let number = isNumbered ? ["generate_subscripts(\(arrays[0]), 1)"] : []
    return "(SELECT \((number + arrays.map { "unnest(\($0))" }).joined(separator: ", ")))"
  }

  /// An UPDATE of the given columns, of rows that have the expected versions: `$1` keys, `$2` expected versions, `$3…`
  /// the columns' arrays, and last the number of rows.
  func update(_ changed: [Int]) -> Statement {
    let sets = changed.map { "\(columns[$0].name) = \(columns[$0].value)" }
    let arrays = changed.enumerated().map { "$\($0 + 3)::\(columns[$1].carrier)[]" }
    let names = changed.map { columns[$0].name }
    let elements = Self.elements(["$1::\(columns[0].carrier)[]", "$2::integer[]"] + arrays)
    return Statement(
      """
      WITH written AS (
        UPDATE \(relation) AS t SET \(sets.joined(separator: ", "))
        FROM \(elements) AS v(\((["k", "expected"] + names).joined(separator: ", ")))
        WHERE t.\(key) = v.k AND t.version = v.expected RETURNING 1)
      SELECT ledger.expect_rows(count(*), $\(changed.count + 3)::integer) FROM written
      """)
  }

  /// An INSERT inside of the statement that allocates the entry. A time `infinity` becomes the entry's time.
  ///
  /// - Parameter first: The number of its first parameter.
  func insertAllocated(first: Int, _ shape: FreshShape) -> String {
    let carriers = columns.enumerated().map { "$\($0 + first)::\($1.carrier)" }
    let values = columns.map { column in
      column.carrier == "timestamptz"
        ? "CASE WHEN v.\(column.name) = 'infinity' THEN d.recorded_at ELSE v.\(column.name) END"
        : column.value
    }
    return """
      INSERT INTO \(relation) (\(selectList))
      SELECT \(values.joined(separator: ", "))
      FROM d, \(shape.elements(of: carriers)) AS v(\(selectList))
      """
  }

  static let agentEvent = TableText(AgentEvent.self)
  static let reaction = TableText(Reaction.self)
  static let proposal = TableText(Proposal.self)
  static let mission = TableText(Mission.self)
  static let step = TableText(Step.self)
  static let run = TableText(Run.self)
  static let policy = TableText(Policy.self)
  static let radar = TableText(Radar.self)
  static let hold = TableText(Hold.self)
  static let ledger = TableText(LedgerRecord.self)

  package static func of(_ rowType: RowType) -> TableText {
    switch rowType {
    case .agentEvent: agentEvent
    case .reaction: reaction
    case .proposal: proposal
    case .mission: mission
    case .step: step
    case .run: run
    case .policy: policy
    case .radar: radar
    case .hold: hold
    case .ledger: ledger
    }
  }
}

/// Which columns of which table an UPDATE sets, by their positions.
struct UpdateShape: Hashable, Sendable {
  let rowType: RowType
  let columns: [Int]
}

/// Which tables a single-statement append writes, and whether it has one event only.
struct FreshShape: Hashable, Sendable {
  let tables: [RowType]
  let isSingle: Bool

  /// The rows that the parameters hold: plain values for one event, otherwise arrays. If numbered, each row begins with
  /// its position, from 1.
  func elements(of carriers: [String], isNumbered: Bool = false) -> String {
    if isSingle {
      return "(SELECT \(((isNumbered ? ["1"] : []) + carriers).joined(separator: ", ")))"
    }
    return TableText.elements(carriers.map { "\($0)[]" }, isNumbered: isNumbered)
  }
}

extension Row {
  package static var text: TableText { TableText.of(name) }
  /// The table's name in statements.
  package static var relation: String { text.relation }
}

extension TableText {
  package static let eight = RowType.allCases.filter(\.isOfTheEight).map(of)
  /// `table.column` for each column of the eight that the ledger defines.
  package static let columnsOfTheEight = eight.flatMap { text in
    text.columns.map { text.table + "." + $0.name }
  }
}
