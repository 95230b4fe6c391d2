import JSON
import Ledger
import Log
import Postgres

/// How many rows of one table a repair wrote.
public struct RepairCount: Equatable, Sendable {
  public var inserted = 0
  public var updated = 0
  public var removed = 0

  static func + (a: RepairCount, b: RepairCount) -> RepairCount {
    RepairCount(
      inserted: a.inserted + b.inserted, updated: a.updated + b.updated,
      removed: a.removed + b.removed)
  }
}

extension [String: RepairCount] {
  /// The counts by table, as the log records them.
  var json: JSON {
    .object(
      mapValues { count in
        .object([
          "inserted": .int(count.inserted), "updated": .int(count.updated),
          "removed": .int(count.removed),
        ])
      })
  }
}

/// Repairs the rows that a comparison found wrong: each becomes what the log says.
///
/// It runs as the repair role, whose writes make no events: they change no history.
struct Repair: RowVisitor {
  private enum Pass {
    case freeUniqueValues, insertMissing, overwriteChanged, removeExtra
  }

  private let comparison: Comparison
  private let connection: Connection
  private var pass = Pass.freeUniqueValues
  private(set) var counts: [String: RepairCount] = [:]

  init(_ comparison: Comparison, on connection: Connection) {
    self.comparison = comparison
    self.connection = connection
  }

  /// Wrong rows give up their unique values before other rows take them. Parents are written before their children, and
  /// removed after them.
  mutating func run() throws(OpsError) {
    for next in [Pass.freeUniqueValues, .insertMissing, .overwriteChanged] {
      pass = next
      try visitParentsFirst()
    }
    pass = .removeExtra
    try visitChildrenFirst()
  }

  mutating func visit<R: Row>(
    _ rowType: R.Type, _ table: WritableKeyPath<Fold, FoldTable<R>>
  ) throws(OpsError) {
    let extra = comparison.extra[R.name] ?? []
    switch pass {
    case .freeUniqueValues:
      guard let unique = R.uniqueColumn else { return }
      let changed = rows(comparison.changed[R.name] ?? [], table).map { R.columns[0].get($0) }
      try send(changed + extra, of: R.self, "UPDATE \(R.relation) SET \(unique) = NULL")
    case .insertMissing:
      let missing = rows(comparison.missing[R.name] ?? [], table)
      guard !missing.isEmpty else { return }
      try send(missing, R.text.insert)
      counts[R.table, default: RepairCount()].inserted = missing.count
    case .overwriteChanged:
      let changed = rows(comparison.changed[R.name] ?? [], table)
      guard !changed.isEmpty else { return }
      try send(changed, R.text.overwrite)
      counts[R.table, default: RepairCount()].updated = changed.count
    case .removeExtra:
      guard !extra.isEmpty else { return }
      try send(extra, of: R.self, "DELETE FROM \(R.relation)")
      counts[R.table, default: RepairCount()].removed = extra.count
    }
  }

  private func rows<R: Row>(
    _ streams: some Sequence<StreamID>, _ table: WritableKeyPath<Fold, FoldTable<R>>
  ) -> [R] {
    let folded = comparison.fold[keyPath: table]
    return streams.compactMap(folded.row(of:))
  }

  /// Sends rows, a thousand at a time.
  private func send<R: Row>(_ rows: [R], _ statement: Statement) throws(OpsError) {
    for chunk in rows.chunks(of: 1000) {
      try query(statement, Draft.columnArrays(Array(chunk), Array(R.columns.indices)))
    }
  }

  /// Runs a statement on the rows with these keys.
  private func send<R: Row>(
    _ keys: [Value], of rowType: R.Type, _ sql: String
  ) throws(OpsError) {
    if keys.isEmpty { return }
    var array = ArrayBuilder(for: R.columns[0].type)
    for key in keys { array.append(key) }
    var parameters = Parameters()
    parameters.array(array)
    let carrier = R.text.columns[0].carrier
    try query(Statement("\(sql) WHERE \(R.text.key) = ANY ($1::\(carrier)[])"), parameters)
  }

  private func query(_ statement: Statement, _ parameters: Parameters) throws(OpsError) {
    _ = try onDatabase { () throws(PostgresError) in
      try connection.query(statement, parameters)
    }
  }
}

extension Row {
  /// The nullable column with a unique key, if the table has one.
  fileprivate static var uniqueColumn: String? {
    switch name {
    case .agentEvent, .proposal: "dedupe_key"
    case .run: "run_id"
    case .reaction, .mission, .step, .policy, .radar, .hold, .ledger: nil
    }
  }
}
