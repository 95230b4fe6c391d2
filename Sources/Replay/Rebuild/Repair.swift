import Ledger
import Log
import Postgres

/// What a repair wrote into one table.
public struct RepairCount: Equatable, Sendable {
  public var inserted = 0
  public var updated = 0
  public var removed = 0
}

/// Writes what a comparison found: the rows that differ become what the log says.
///
/// It runs as the repair role, whose writes make no events, since they change no history.
struct Repair {
  private let comparison: Comparison
  private let connection: Connection
  private(set) var counts: [String: RepairCount] = [:]

  init(_ comparison: Comparison, on connection: Connection) {
    self.comparison = comparison
    self.connection = connection
  }

  /// Unique values are taken from rows that are wrong before others get them; parents come before
  /// their children, and go after them.
  mutating func run() throws(OpsError) {
    var free = FreeUniqueValues(comparison: comparison, connection: connection)
    try free.visitParentsFirst()
    var insert = InsertMissing(comparison: comparison, connection: connection)
    try insert.visitParentsFirst()
    var overwrite = OverwriteChanged(comparison: comparison, connection: connection)
    try overwrite.visitParentsFirst()
    var remove = RemoveExtra(comparison: comparison, connection: connection)
    try remove.visitChildrenFirst()
    for (table, count) in insert.counts { counts[table, default: RepairCount()].inserted = count }
    for (table, count) in overwrite.counts { counts[table, default: RepairCount()].updated = count }
    for (table, count) in remove.counts { counts[table, default: RepairCount()].removed = count }
  }
}

private protocol RepairStep: RowVisitor {
  var comparison: Comparison { get }
  var connection: Connection { get }
}

extension RepairStep {
  fileprivate func query(_ statement: Statement, _ parameters: Parameters) throws(OpsError) {
    do { try connection.query(statement, parameters) } catch { throw OpsError(database: error) }
  }

  fileprivate func keys<R: Row>(_ values: [Value], of rowType: R.Type) -> Parameters {
    var array = ArrayBuilder(for: R.columns[0].type)
    for value in values { array.append(value) }
    var parameters = Parameters()
    parameters.array(array)
    return parameters
  }

  fileprivate func rows<R: Row>(
    _ streams: some Sequence<StreamID>, _ table: WritableKeyPath<Fold, FoldTable<R>>
  ) -> [R] {
    let folded = comparison.fold[keyPath: table]
    return streams.compactMap { folded.find($0).flatMap { folded.slots[$0].row } }
  }

  /// Sends rows a thousand at a time.
  fileprivate func send<R: Row>(_ rows: [R], _ statement: Statement) throws(OpsError) {
    for chunk in rows.chunks(of: 1000) {
      try query(statement, Draft.columnArrays(Array(chunk), Array(R.columns.indices)))
    }
  }
}

private struct FreeUniqueValues: RepairStep {
  let comparison: Comparison
  let connection: Connection

  mutating func visit<R: Row>(
    _ rowType: R.Type, _ table: WritableKeyPath<Fold, FoldTable<R>>
  ) throws(OpsError) {
    guard let unique = R.uniqueColumn else { return }
    let changed = rows(comparison.changed[R.name] ?? [], table).map { R.columns[0].get($0) }
    let keys = changed + (comparison.extra[R.name] ?? [])
    guard !keys.isEmpty else { return }
    let carrier = R.text.columns[0].carrier
    try query(
      Statement(
        "UPDATE \(R.relation) SET \(unique) = NULL WHERE \(R.text.key) = ANY ($1::\(carrier)[])"),
      self.keys(keys, of: R.self))
  }
}

private struct InsertMissing: RepairStep {
  let comparison: Comparison
  let connection: Connection
  var counts: [String: Int] = [:]

  mutating func visit<R: Row>(
    _ rowType: R.Type, _ table: WritableKeyPath<Fold, FoldTable<R>>
  ) throws(OpsError) {
    let missing = rows(comparison.missing[R.name] ?? [], table)
    guard !missing.isEmpty else { return }
    try send(missing, R.text.insert)
    counts[R.table] = missing.count
  }
}

private struct OverwriteChanged: RepairStep {
  let comparison: Comparison
  let connection: Connection
  var counts: [String: Int] = [:]

  mutating func visit<R: Row>(
    _ rowType: R.Type, _ table: WritableKeyPath<Fold, FoldTable<R>>
  ) throws(OpsError) {
    let changed = rows(comparison.changed[R.name] ?? [], table)
    guard !changed.isEmpty else { return }
    try send(changed, R.text.overwrite)
    counts[R.table] = changed.count
  }
}

private struct RemoveExtra: RepairStep {
  let comparison: Comparison
  let connection: Connection
  var counts: [String: Int] = [:]

  mutating func visit<R: Row>(
    _ rowType: R.Type, _ table: WritableKeyPath<Fold, FoldTable<R>>
  ) throws(OpsError) {
    guard let extra = comparison.extra[R.name], !extra.isEmpty else { return }
    let carrier = R.text.columns[0].carrier
    try query(
      Statement("DELETE FROM \(R.relation) WHERE \(R.text.key) = ANY ($1::\(carrier)[])"),
      keys(extra, of: R.self))
    counts[R.table] = extra.count
  }
}

extension Row {
  /// The nullable column on which the origin's table has a unique key.
  fileprivate static var uniqueColumn: String? {
    switch name {
    case .agentEvent, .proposal: "dedupe_key"
    case .run: "run_id"
    case .reaction, .mission, .step, .policy, .radar, .hold, .ledger: nil
    }
  }
}
