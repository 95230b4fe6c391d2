public import Ledger
public import Log
import Postgres
import Synchronization
import Threads

/// One row that differs between two moments.
public struct RowChange: Sendable {
  public enum Kind: String, Sendable {
    case inserted, changed, removed
  }

  public struct Column: Sendable {
    public let name: String
    public let from: Value
    public let to: Value
  }

  public let kind: Kind
  public let table: String
  public let stream: StreamID
  /// The row's primary key.
  public let key: Value
  /// Those that differ; all of them where the row was inserted or removed.
  public let columns: [Column]
  /// What made the difference, in the order of the log: at most ``StateDiff/eventsMax`` of them.
  public internal(set) var events: [LoggedEvent] = []
  /// How many there are.
  public internal(set) var eventCount = 0
  let last: LogPosition
}

/// What differs between two moments.
public struct StateDiff: Sendable {
  public struct Count: Equatable, Sendable {
    public var inserted = 0
    public var changed = 0
    public var removed = 0
  }

  /// So many events of one row are named.
  public static let eventsMax = 20

  /// By table, those without a difference left out.
  public internal(set) var counts: [String: Count] = [:]
  /// In the order in which they came to be what they are; the first ones, where there are many.
  public internal(set) var rows: [RowChange] = []
  /// Events between the two moments.
  public internal(set) var events = 0

  public var rowCount: Int {
    counts.values.reduce(0) { $0 + $1.inserted + $1.changed + $1.removed }
  }

  /// Rows that differ and are not described.
  public var leftOut: Int { rowCount - rows.count }

  fileprivate mutating func add(_ row: RowChange, limit: Int) {
    switch row.kind {
    case .inserted: counts[row.table, default: Count()].inserted += 1
    case .changed: counts[row.table, default: Count()].changed += 1
    case .removed: counts[row.table, default: Count()].removed += 1
    }
    rows.append(row)
    if rows.count > 2 * limit + 100 { keepFirst(limit) }
  }

  fileprivate mutating func keepFirst(_ limit: Int) {
    rows.sort { $0.last < $1.last }
    if rows.count > limit { rows.removeSubrange(limit...) }
  }

  fileprivate mutating func merge(_ other: StateDiff, limit: Int) {
    events += other.events
    counts.merge(other.counts) { a, b in
      Count(
        inserted: a.inserted + b.inserted, changed: a.changed + b.changed,
        removed: a.removed + b.removed)
    }
    rows += other.rows
    keepFirst(limit)
  }
}

extension TimeTravel {
  /// Finds the rows that differ between two moments. Only streams with events between them are folded.
  ///
  /// - Parameter limit: So many rows are described; all are counted.
  /// - Throws: `OPS_019` where the second is before the first.
  public static func diff(
    _ target: Session.Target, from: Int64, to: Int64, limit: Int,
    snapshots: (any StateSnapshots)? = nil, _ progress: ReplayProgress = ReplayProgress()
  ) throws(OpsError) -> StateDiff {
    guard from <= to else {
      throw OpsError(
        .badInput, "entry \(to) is before entry \(from)", hint: "say the earlier moment first")
    }
    guard from < to else { return StateDiff() }
    let session = try Session(target)
    let snapshot = try SharedSnapshot(session)
    defer { snapshot.end() }
    let range = (from + 1)...to
    // Both moments of a slice are in memory.
    let reader = try snapshot.reader()
    // What changed among events that have left the database is found by looking at every stream.
    let isHot = reader.archivedLast < range.lowerBound
    let rows =
      isHot ? try streamCount(range, on: session.connection()) : try session.estimate().rows
    let count = Slice.count(rows: 2 * rows)
    let slices: [Slice] =
      isHot
      ? (0..<count).map { .changed(in: range, remainder: $0, of: count) }
      : try reader.slices(count)
    var diff = try snapshots.fallingBack { () throws(OpsError) in
      let base = isHot ? try snapshots?.newest(upTo: from, on: session) : nil
      return try compare(
        slices, range, from: base, target, snapshot.id, readers: session.readers, limit: limit,
        progress)
    }
    try name(&diff.rows, range, on: reader)
    return diff
  }

  /// Compares slices side by side.
  private static func compare(
    _ slices: [Slice], _ range: ClosedRange<Int64>, from base: (any StateSnapshot)?,
    _ target: Session.Target, _ snapshot: String, readers: Int, limit: Int,
    _ progress: ReplayProgress
  ) throws(OpsError) -> StateDiff {
    let merged = Mutex<Result<StateDiff, OpsError>>(.success(StateDiff()))
    concurrently(readers) { worker in
      let mine = slices.indices.filter { $0 % readers == worker }.map { slices[$0] }
      let result = Result { () throws(OpsError) in
        try compareOne(mine, range, from: base, target, snapshot, limit: limit, progress)
      }
      merged.withLock { merged in
        merged = merged.flatMap { a in
          result.map { b in
            var sum = a
            sum.merge(b, limit: limit)
            return sum
          }
        }
      }
    }
    return try merged.withLock { $0 }.get()
  }

  static func streamCount(
    _ range: ClosedRange<Int64>, on connection: Connection
  ) throws(OpsError) -> Int {
    var parameters = Parameters()
    parameters.int8(range.lowerBound)
    parameters.int8(range.upperBound)
    return try onDatabase { () throws(PostgresError) in
      let rows = try connection.query(
        Statement(
          """
          SELECT count(DISTINCT e.stream) FROM ledger.events AS e
          WHERE e.entry BETWEEN $1::bigint AND $2::bigint
          """), parameters)
      return Int(try rows.int8(0, 0))
    }
  }

  private static func compareOne(
    _ slices: [Slice], _ range: ClosedRange<Int64>, from base: (any StateSnapshot)?,
    _ target: Session.Target, _ snapshot: String, limit: Int, _ progress: ReplayProgress
  ) throws(OpsError) -> StateDiff {
    let session = try Session(target)
    let reader = try SharedSnapshot.join(snapshot, session)
    var comparison = MomentComparison(limit: limit)
    for slice in slices {
      var before = Fold()
      if let base {
        let streams = try slice.streams(in: range, on: reader)
        try before.seed(from: base, streams, of: Set(RowType.allCases))
      }
      let first = base.map { $0.entry + 1 } ?? 0
      if first < range.lowerBound {
        try slice.read(
          into: &before, on: reader, entries: first...(range.lowerBound - 1), progress)
      }
      before.finish()
      var after = before
      try slice.read(into: &after, on: reader, entries: range, progress)
      after.finish()
      try after.requireSound()
      comparison.diff.events += after.eventCount - before.eventCount
      comparison.begin(before, after)
      try comparison.visitParentsFirst()
    }
    return comparison.diff
  }

  /// The events that made the rows what they are.
  private static func name(
    _ rows: inout [RowChange], _ range: ClosedRange<Int64>, on reader: LogReader
  ) throws(OpsError) {
    let places = Dictionary(
      rows.enumerated().map { ($1.stream, $0) }, uniquingKeysWith: { a, _ in a })
    try reader.archived(range, .these(Set(places.keys))) { (event) throws(OpsError) in
      guard let place = places[event.stream] else { return }
      rows[place].eventCount += 1
      if rows[place].events.count < StateDiff.eventsMax {
        rows[place].events.append(LoggedEvent(event))
      }
    }
    let archived = rows.map(\.eventCount)
    for chunk in rows.indices.chunks(of: 500) {
      var parameters = Parameters()
      parameters.uuids(rows[chunk].map(\.stream))
      parameters.int8(range.lowerBound)
      parameters.int8(range.upperBound)
      let answer = try onDatabase { () throws(PostgresError) in
        try reader.connection.query(eventsOfStreams, parameters)
      }
      let events = try answer.events()
      for (row, event) in events.enumerated() {
        guard let place = places[event.stream] else { continue }
        if rows[place].events.count < StateDiff.eventsMax { rows[place].events.append(event) }
        let hot = try onDatabase { () throws(PostgresError) in try answer.int8(row, 13) }
        rows[place].eventCount = archived[place] + Int(hot)
      }
    }
  }

  private static let eventsOfStreams = Statement(
    """
    SELECT * FROM (
      SELECT \(LoggedEvent.columns), count(*) OVER (PARTITION BY e.stream) AS events,
        row_number() OVER (PARTITION BY e.stream ORDER BY e.entry, e.index) AS place
      FROM ledger.events AS e
      WHERE e.stream = ANY ($1::uuid[]) AND e.entry BETWEEN $2::bigint AND $3::bigint) AS e
    WHERE e.place <= \(StateDiff.eventsMax) ORDER BY e.entry, e.index
    """)
}

/// Compares the same streams at two moments.
private struct MomentComparison: RowVisitor {
  private let limit: Int
  private var before = Fold()
  private var after = Fold()
  var diff = StateDiff()

  init(limit: Int) { self.limit = limit }

  mutating func begin(_ before: Fold, _ after: Fold) {
    self.before = before
    self.after = after
  }

  mutating func visit<R: Row>(
    _ rowType: R.Type, _ table: WritableKeyPath<Fold, FoldTable<R>>
  ) throws(OpsError) {
    guard R.name.isOfTheEight else { return }
    let (old, columns) = (before[keyPath: table], R.columns)
    for slot in after[keyPath: table].slots {
      let earlier = old.find(slot.stream).flatMap { old.slots[$0].row }
      let kind: RowChange.Kind
      switch (earlier, slot.row) {
      case (nil, nil): continue
      case (nil, _): kind = .inserted
      case (_, nil): kind = .removed
      case (_, _): kind = .changed
      }
      var changed: [RowChange.Column] = []
      for column in columns {
        let (from, to) = (
          earlier.map(column.get) ?? .null, slot.row.map(column.get) ?? .null
        )
        if kind != .changed || !from.same(as: to) {
          changed.append(RowChange.Column(name: column.name, from: from, to: to))
        }
      }
      guard let row = slot.row ?? earlier, !changed.isEmpty else { continue }
      diff.add(
        RowChange(
          kind: kind, table: R.table, stream: slot.stream, key: columns[0].get(row),
          columns: changed, last: slot.last), limit: limit)
    }
  }
}
