import Crypto
import JSON
import Ledger
import Log
import Postgres

/// Compares the bookkeeping tables with the log: idempotency keys, tombstones, erasures, archived partitions and copies
/// of archived events.
///
/// The archived part of the log is read from the store, once for all tables.
struct BookkeepingCheck {
  private(set) var differences: [Difference] = []
  /// The keys of rows that differ from the log, or that should not exist.
  private(set) var wrongCommands: [StreamID] = []
  private(set) var wrongTombstones: [StreamID] = []
  private(set) var wrongErasures: [StreamID] = []
  /// Missing or wrong rows that follow from archived events.
  private(set) var archivedKeys: [JSON] = []
  private(set) var archivedTombstones: [JSON] = []
  private(set) var archivedErasures: [JSON] = []
  /// Copies of archived events that are wrong, or should not exist.
  private(set) var wrongCopies: [LogPosition] = []
  private(set) var missingCopies: [LoggedEvent] = []

  private let reader: LogReader
  private var archivedPart = ArchivedBookkeeping()

  init(_ reader: LogReader) { self.reader = reader }

  mutating func run() throws(OpsError) {
    if reader.archivedPart != nil { try readArchived() }
    try checkCommands()
    try checkTombstones()
    try checkErasures()
    try checkCopies()
    try checkArchived()
  }

  private mutating func note(
    _ table: String, _ row: String, _ column: String, _ expected: String?, _ found: String?
  ) {
    differences.append(
      Difference(table: table, row: row, column: column, expected: expected, found: found))
  }

  // MARK: Idempotency keys

  private mutating func checkCommands() throws(OpsError) {
    let rows = try reader.query(Self.wrongCommands, Parameters(reader.archivedLast))
    try onDatabase { () throws(PostgresError) in
      for row in 0..<rows.count {
        let command = StreamID(try rows.uuid(row, 0))
        let (entry, found) = (try rows.int8IfPresent(row, 1), try rows.int8IfPresent(row, 2))
        if found != nil { wrongCommands.append(command) }
        noteCommand(command, entry: entry, found: found)
      }
    }
  }

  private mutating func noteCommand(_ command: StreamID, entry: Int64?, found: Int64?) {
    let (table, row) = ("ledger.idempotency_keys", command.description)
    switch (entry, found) {
    case (let entry?, nil): note(table, row, "*", "a key of entry \(entry)", nil)
    case (nil, let found?): note(table, row, "*", nil, "a key of entry \(found)")
    case (let entry?, let found?) where entry != found:
      note(table, row, "entry", String(entry), String(found))
    default: note(table, row, "recorded_at", "the time of its entry", "another time")
    }
  }

  /// An entry has one command, so its first event is enough. The engine's own commands have no keys.
  private static let wrongCommands = Statement(
    """
    SELECT command, e.entry, c.entry
    FROM (SELECT command, entry, recorded_at FROM ledger.events
        WHERE index = 0 AND substr(command::text, 15, 1) = '5') AS e
      FULL JOIN (SELECT command, entry, recorded_at FROM ledger.idempotency_keys WHERE entry > $1::bigint) AS c
      USING (command)
    WHERE e.entry IS DISTINCT FROM c.entry OR e.recorded_at IS DISTINCT FROM c.recorded_at
    ORDER BY coalesce(e.entry, c.entry) LIMIT 10000
    """)

  // MARK: Tombstones

  private mutating func checkTombstones() throws(OpsError) {
    let rows = try reader.query(Self.tombstones, Parameters(reader.archivedPart != nil))
    var seen: Set<StreamID> = []
    for row in 0..<rows.count {
      let (stream, here, found) = try onDatabase { () throws(PostgresError) in
        (
          StreamID(try rows.uuid(row, 0)), try RowEnd(rows, row, from: 1),
          try Tombstone(rows, row, from: 6)
        )
      }
      seen.insert(stream)
      compare(stream, here.after(archivedPart.left[stream]), found)
    }
    for (stream, left) in archivedPart.left where !seen.contains(stream) {
      compare(stream, left, nil)
    }
  }

  private mutating func compare(_ stream: StreamID, _ end: RowEnd, _ found: Tombstone?) {
    let (table, row) = ("ledger.tombstones", stream.description)
    let count = differences.count
    switch (end.tombstone, found) {
    case (nil, nil): return
    case (nil, _?): note(table, row, "*", nil, "a row")
    case (_?, nil): note(table, row, "*", "a row", nil)
    case (let expected?, let found?):
      if !end.allows(found.version) {
        note(
          table, row, "version", end.isRemoved ? "\(end.last)" : "at most \(end.last)",
          "\(found.version)")
      }
      if found.rowType != expected.rowType {
        note(table, row, "row_type", expected.rowType, found.rowType)
      }
      if found.dedupeKey != expected.dedupeKey {
        note(table, row, "dedupe_key", expected.dedupeKey, found.dedupeKey)
      }
    }
    guard differences.count > count else { return }
    if found != nil { wrongTombstones.append(stream) }
    if let left = archivedPart.left[stream], let row = left.tombstone {
      archivedTombstones.append(
        .object([
          "stream": .string(stream.description), "row_type": .string(row.rowType),
          "version": .int(Int(left.isRemoved ? left.last : row.version)),
          "dedupe_key": row.dedupeKey.map(JSON.string) ?? .null,
        ]))
    }
  }

  private static let removed = CommonKind.removed.typeSuffix
  private static let archived = CommonKind.archived.typeSuffix
  private static let erased = CommonKind.erased.typeSuffix

  /// For each row that was removed or archived, or has a tombstone: the last event that removed or archived it, its last
  /// version, its last version that was no erasure, and its tombstone. `$1`: all rows; else those where these disagree.
  private static let tombstones = Statement(
    """
    WITH gone AS MATERIALIZED (
      SELECT DISTINCT ON (e.stream) e.stream, split_part(e.type, '.', 1) AS row_type, e.version,
        CASE WHEN e.type LIKE '%\(archived)' THEN e.data ->> 'dedupe_key' END AS dedupe_key
      FROM ledger.events AS e WHERE e.type LIKE '%\(removed)' OR e.type LIKE '%\(archived)'
      ORDER BY e.stream, e.version DESC),
    ends AS (
      SELECT stream, g.row_type, g.version, g.dedupe_key, coalesce(e.last, 0) AS last,
        coalesce(e.other, 0) AS other, t.row_type AS found_row_type, t.version AS found_version,
        t.dedupe_key AS found_key
      FROM gone AS g FULL JOIN ledger.tombstones AS t USING (stream) CROSS JOIN LATERAL (
        SELECT max(e.version) AS last,
          max(e.version) FILTER (WHERE e.type NOT LIKE '%\(erased)') AS other
        FROM ledger.events AS e WHERE e.stream = coalesce(g.stream, t.stream)) AS e)
    SELECT * FROM ends AS d
    WHERE $1::boolean OR d.row_type IS DISTINCT FROM d.found_row_type
      OR d.dedupe_key IS DISTINCT FROM d.found_key
      OR NOT d.found_version BETWEEN CASE WHEN d.other = d.version THEN d.last ELSE d.version END AND d.last
    """)

  // MARK: Erasures

  private mutating func checkErasures() throws(OpsError) {
    let rows = try reader.query(Self.erasures, Parameters(reader.archivedPart != nil))
    var seen: Set<StreamID> = []
    for row in 0..<rows.count {
      let (stream, here, found) = try onDatabase { () throws(PostgresError) in
        (
          StreamID(try rows.uuid(row, 0)), try rows.int8IfPresent(row, 1),
          try rows.int8IfPresent(row, 2)
        )
      }
      seen.insert(stream)
      compare(stream, here ?? archivedPart.erased[stream], found)
    }
    for (stream, entry) in archivedPart.erased where !seen.contains(stream) {
      compare(stream, entry, nil)
    }
  }

  private mutating func compare(_ stream: StreamID, _ entry: Int64?, _ found: Int64?) {
    guard entry != found else { return }
    let (table, row) = ("ledger.erasures", stream.description)
    if let entry, let found {
      note(table, row, "entry", String(entry), String(found))
    } else {
      note(table, row, "*", entry == nil ? nil : "a row", found == nil ? nil : "a row")
    }
    if found != nil { wrongErasures.append(stream) }
    if let entry = archivedPart.erased[stream] {
      archivedErasures.append(
        .object(["stream": .string(stream.description), "entry": .int(Int(entry))]))
    }
  }

  private static let erasures = Statement(
    """
    SELECT stream, e.entry, x.entry
    FROM (SELECT e.stream, max(e.entry) AS entry FROM ledger.events AS e WHERE e.type LIKE '%\(erased)'
        GROUP BY e.stream) AS e FULL JOIN ledger.erasures AS x USING (stream)
    WHERE $1::boolean OR e.entry IS DISTINCT FROM x.entry
    """)

  // MARK: The archived part

  private mutating func readArchived() throws(OpsError) {
    var (found, keys) = (ArchivedBookkeeping(), ArchivedKeys())
    try reader.archived(nil, .all) { (event) throws(OpsError) in
      try found.take(event)
      if let full = keys.take(event) { try check(full) }
    }
    try check(keys.finish())
    archivedPart = found
    try checkExtra(keys.count)
  }

  /// Checks that the keys of archived entries exist.
  private mutating func check(_ keys: [ArchivedKeys.Key]) throws(OpsError) {
    var (entries, times) = (ArrayBuilder(.int8), ArrayBuilder(.timestamptz))
    for key in keys {
      entries.int8(key.entry)
      times.timestamptz(microsSince1970: key.at.micros)
    }
    var parameters = Parameters()
    parameters.uuids(keys.map(\.command))
    parameters.array(entries)
    parameters.array(times)
    let rows = try reader.query(Self.wrongArchivedKeys, parameters)
    for row in 0..<rows.count {
      let (at, time, found) = try onDatabase { () throws(PostgresError) in
        (Int(try rows.int8(row, 0)) - 1, try rows.text(row, 1), try rows.int8IfPresent(row, 2))
      }
      let key = keys[at]
      if found != nil { wrongCommands.append(key.command) }
      noteCommand(key.command, entry: key.entry, found: found)
      archivedKeys.append(
        .object([
          "command": .string(key.command.description), "entry": .int(Int(key.entry)),
          "recorded_at": .string(time),
        ]))
    }
  }

  private static let wrongArchivedKeys = Statement(
    """
    SELECT v.at, v.recorded_at::text, c.entry
    FROM unnest($1::uuid[], $2::bigint[], $3::timestamptz[])
      WITH ORDINALITY AS v(command, entry, recorded_at, at)
      LEFT JOIN ledger.idempotency_keys AS c ON c.command = v.command
    WHERE (c.entry, c.recorded_at) IS DISTINCT FROM (v.entry, v.recorded_at)
    """)

  /// Finds keys of archived entries that the store does not know.
  private mutating func checkExtra(_ count: Int) throws(OpsError) {
    let rows = try reader.query(Self.archivedKeys, Parameters(reader.archivedLast))
    if rows.count <= count - archivedKeys.count { return }
    var known: Set<StreamID> = []
    try reader.archived(nil, .all) { (event) in
      if event.index == 0, let command = event.command, command.isOutsideKey {
        known.insert(command)
      }
    }
    for row in 0..<rows.count {
      let (command, entry) = try onDatabase { () throws(PostgresError) in
        (StreamID(try rows.uuid(row, 0)), try rows.int8(row, 1))
      }
      guard !known.contains(command) else { continue }
      wrongCommands.append(command)
      noteCommand(command, entry: nil, found: entry)
    }
  }

  private static let archivedKeys = Statement(
    "SELECT c.command, c.entry FROM ledger.idempotency_keys AS c WHERE c.entry <= $1::bigint")

  // MARK: Copies of archived events

  private mutating func checkCopies() throws(OpsError) {
    let lines = try LogLines(of: "ledger.kept_events", on: reader.connection)
    var seen: Set<LogPosition> = []
    while let (event, leaf) = try lines.nextLeaf() {
      let place = LogPosition(event)
      seen.insert(place)
      guard let copy = archivedPart.copies[place] else {
        wrongCopies.append(place)
        note("ledger.kept_events", place.description, "*", nil, "an event")
        continue
      }
      guard copy.leaf != leaf else { continue }
      wrongCopies.append(place)
      missingCopies.append(copy.event)
      note("ledger.kept_events", place.description, "leaf", copy.leaf.hex, leaf.hex)
    }
    for (place, copy) in archivedPart.copies.sorted(by: { $0.key < $1.key })
    where !seen.contains(place) {
      missingCopies.append(copy.event)
      note("ledger.kept_events", place.description, "*", "an event", nil)
    }
  }

  // MARK: Archived partitions

  private mutating func checkArchived() throws(OpsError) {
    let rows = try reader.query(Self.wrongArchived)
    try onDatabase { () throws(PostgresError) in
      for row in 0..<rows.count {
        note(
          try rows.text(row, 0), try rows.text(row, 1), try rows.text(row, 2),
          try rows.textIfPresent(row, 3), try rows.textIfPresent(row, 4))
      }
    }
  }

  /// Also finds permits that are left over: a transaction removes its own at its end.
  private static let wrongArchived = Statement(
    """
    SELECT 'ledger.archived_partitions', d.last::text, 'last', 'no event up to it in the log', 'entry ' || e.entry
    FROM ledger.archived_partitions AS d CROSS JOIN LATERAL (
      SELECT min(e.entry) AS entry FROM ledger.events AS e WHERE e.entry <= d.last) AS e
    WHERE e.entry IS NOT NULL
    UNION ALL
    SELECT 'ledger.archived_partitions', d.last::text, 'root', encode(c.root, 'hex'), encode(d.root, 'hex')
    FROM ledger.archived_partitions AS d JOIN ledger.checkpoints AS c ON c.entry = d.last AND c.root IS NOT NULL
    WHERE c.root <> d.root
    UNION ALL
    SELECT 'ledger.archived_partitions', d.last::text, 'first', (d.last + 1 - \(EntryNumber.span))::text, d.first::text
    FROM ledger.archived_partitions AS d WHERE d.first <> d.last + 1 - \(EntryNumber.span)
    UNION ALL
    SELECT p.name, p.xid::text, '*', NULL, 'a permit that no transaction holds'
    FROM (SELECT 'ledger.ddl_permits' AS name, xid FROM ledger.ddl_permits
      UNION ALL SELECT 'ledger.erasure_permits', xid FROM ledger.erasure_permits) AS p
    """)
}

/// The end of a row's history, according to the log.
private struct RowEnd {
  /// From the last event that removed or archived the row; nil if there is none.
  var tombstone: Tombstone?
  /// The row's last version, and its last version that was no erasure.
  var last: Int32
  var other: Int32

  init(_ tombstone: Tombstone) {
    (self.tombstone, last, other) = (tombstone, tombstone.version, tombstone.version)
  }

  init(_ rows: Rows, _ row: Int, from column: Int) throws(PostgresError) {
    tombstone = try Tombstone(rows, row, from: column)
    last = try rows.int4(row, column + 3)
    other = try rows.int4(row, column + 4)
  }

  /// Whether only erasures happened since the row was removed or archived.
  var isRemoved: Bool { tombstone.map { $0.version == other } ?? false }

  /// A row that came back keeps its tombstone.
  func allows(_ version: Int32) -> Bool {
    guard let tombstone else { return false }
    return isRemoved ? version == last : tombstone.version...max(last, tombstone.version) ~= version
  }

  /// The end of the history whose archived part ends with `left`.
  func after(_ left: RowEnd?) -> RowEnd {
    guard let left else { return self }
    var end = self
    end.tombstone = tombstone ?? left.tombstone
    end.last = max(last, left.last)
    end.other = max(other, left.other)
    return end
  }
}

private struct Tombstone {
  let rowType: String
  let version: Int32
  let dedupeKey: String?

  init(rowType: String, version: Int32, dedupeKey: String?) {
    (self.rowType, self.version, self.dedupeKey) = (rowType, version, dedupeKey)
  }

  init?(_ rows: Rows, _ row: Int, from column: Int) throws(PostgresError) {
    guard let rowType = try rows.textIfPresent(row, column) else { return nil }
    self.rowType = rowType
    version = try rows.int4(row, column + 1)
    dedupeKey = try rows.textIfPresent(row, column + 2)
  }
}

extension LogPosition {
  fileprivate init(_ event: EventLine) { self.init(entry: event.entry, index: event.index) }
}

/// The bookkeeping that follows from archived events.
private struct ArchivedBookkeeping {
  struct Copy {
    let leaf: Digest
    let event: LoggedEvent
  }

  private(set) var left: [StreamID: RowEnd] = [:]
  private(set) var erased: [StreamID: Int64] = [:]
  /// Archived events of which the database keeps a copy.
  private(set) var copies: [LogPosition: Copy] = [:]
  private let hasher = LeafHasher()

  mutating func take(_ event: EventLine) throws(OpsError) {
    let type = String(decoding: event.type, as: UTF8.self)
    guard let rowType = RowType(ofType: type) else { return }
    let kind = EventType(type)?.common
    switch kind {
    case .removed, .archived:
      let key = kind == .archived ? Self.dedupeKey(event) : nil
      left[event.stream] = RowEnd(
        Tombstone(rowType: rowType.rawValue, version: event.version, dedupeKey: key))
    case .erased:
      erased[event.stream] = event.entry
      left[event.stream]?.last = event.version
    case .inserted, .amended, .restored, nil:
      left[event.stream]?.last = event.version
      left[event.stream]?.other = event.version
    }
    // The same choice as ledger.drop_partition.
    guard [.policy, .ledger, .hold].contains(rowType) || kind == .erased else { return }
    do throws(EventLineError) {
      copies[LogPosition(event)] = Copy(
        leaf: try hasher.leaf(of: event), event: LoggedEvent(event))
    } catch {
      throw OpsError(store: .damaged, "entry \(event.entry) in the store cannot be read: \(error)")
    }
  }

  private static func dedupeKey(_ event: EventLine) -> String? {
    let data = try? JSON(parsing: String(decoding: event.data, as: UTF8.self))
    return data?["dedupe_key"]?.stringValue
  }
}

/// Collects the idempotency keys of archived entries, some thousand at a time.
private struct ArchivedKeys {
  struct Key {
    let command: StreamID
    let entry: Int64
    let at: Instant
  }

  private var keys: [Key] = []
  private(set) var count = 0

  /// - Returns: Keys, once there are 5000.
  mutating func take(_ event: EventLine) -> [Key]? {
    guard event.index == 0, let command = event.command, command.isOutsideKey else { return nil }
    keys.append(Key(command: command, entry: event.entry, at: event.recordedAt))
    count += 1
    return keys.count == 5000 ? finish() : nil
  }

  mutating func finish() -> [Key] {
    defer { keys = [] }
    return keys
  }
}
