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
  /// The columns that differ; all columns if the row was inserted or removed.
  public let columns: [Column]
  /// The first ``StateDiff/eventsMax`` events of the row between the two moments, in the order of the log.
  public internal(set) var events: [LoggedEvent] = []
  /// How many events the row has between the two moments.
  public internal(set) var eventCount = 0
  let last: LogPosition
}

/// The rows that differ between two moments.
public struct StateDiff: Sendable {
  public struct Count: Equatable, Sendable {
    public var inserted = 0
    public var changed = 0
    public var removed = 0
  }

  /// At most this many events of a row are named.
  public static let eventsMax = 20

  /// The counts of tables with differences.
  public internal(set) var counts: [String: Count] = [:]
  /// The first rows, in the order of their last events.
  public internal(set) var rows: [RowChange] = []
  /// Events between the two moments.
  public internal(set) var events = 0

  public var rowCount: Int {
    counts.values.reduce(0) { $0 + $1.inserted + $1.changed + $1.removed }
  }

  /// How many rows differ and are not in ``rows``.
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

  fileprivate func merged(with other: StateDiff, limit: Int) -> StateDiff {
    var sum = self
    sum.events += other.events
    sum.counts.merge(other.counts) { a, b in
      Count(
        inserted: a.inserted + b.inserted, changed: a.changed + b.changed,
        removed: a.removed + b.removed)
    }
    sum.rows += other.rows
    sum.keepFirst(limit)
    return sum
  }
}

extension TimeTravel {
  /// Finds the rows that differ between two moments. Folds only the streams with events between them.
  ///
  /// - Parameter limit: At most this many rows are described. All are counted.
  /// - Throws: `OPS_019` if the second moment is before the first.
  public static func diff(
    _ target: Session.Target, from: Int64, to: Int64, limit: Int,
    snapshots: (any StateSnapshots)? = nil, _ progress: ReplayProgress = ReplayProgress()
  ) throws(OpsError) -> StateDiff {
    guard from <= to else {
      throw OpsError(
        .badInput, "entry \(to) is before entry \(from)", hint: "give the earlier moment first")
    }
    guard from < to else { return StateDiff() }
    let session = try Session(target)
    let snapshot = try SharedSnapshot(session)
    defer { snapshot.end() }
    let range = (from + 1)...to
    let reader = try snapshot.reader()
    let slices = try reader.slices(changedIn: range, rows: session.estimate().rows)
    var diff = try snapshots.fallingBack { () throws(OpsError) in
      let base =
        reader.archivedLast < range.lowerBound
        ? try snapshots?.newest(upTo: from, on: session) : nil
      return try compare(
        slices, range, from: base, target, snapshot.id, readers: session.readers, limit: limit,
        progress)
    }
    try addEvents(to: &diff.rows, range, on: reader)
    return diff
  }

  /// Compares slices in parallel.
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
      merged.withLock {
        $0 = $0.flatMap { sum in result.map { sum.merged(with: $0, limit: limit) } }
      }
    }
    return try merged.withLock { $0 }.get()
  }

  private static func compareOne(
    _ slices: [Slice], _ range: ClosedRange<Int64>, from base: (any StateSnapshot)?,
    _ target: Session.Target, _ snapshot: String, limit: Int, _ progress: ReplayProgress
  ) throws(OpsError) -> StateDiff {
    let session = try Session(target)
    let reader = try SharedSnapshot.join(snapshot, session)
    var diff = StateDiff()
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
      diff.events += after.eventCount - before.eventCount
      var comparison = MomentComparison(limit: limit, before: before, after: after, diff: diff)
      try comparison.visitParentsFirst()
      diff = comparison.diff
    }
    return diff
  }

  /// Adds to each row its events between the two moments.
  private static func addEvents(
    to rows: inout [RowChange], _ range: ClosedRange<Int64>, on reader: LogReader
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
      let answer = try reader.query(eventsOfStreams, parameters)
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
  let limit: Int
  let before: Fold
  let after: Fold
  var diff: StateDiff

  mutating func visit<R: Row>(_ rowType: R.Type, _ table: WritableKeyPath<Fold, FoldTable<R>>) {
    guard R.name.isOfTheEight else { return }
    let (old, columns) = (before[keyPath: table], R.columns)
    for slot in after[keyPath: table].slots {
      let earlier = old.row(of: slot.stream)
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
