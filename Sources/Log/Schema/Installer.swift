import Crypto
import JSON
public import Ledger
import Postgres

/// Lays the schema and seeds what a ledger starts with.
public enum Installer {
  /// This release, as migrations name the oldest one that they still serve.
  public static let release = "0.1.0"

  public struct Report: Equatable, Sendable {
    /// The schema is of a newer release that still serves this one; nothing was touched.
    public var isNewer = false
    /// The schema was laid now, where there was none.
    public var isFresh = false
    /// Files that were applied now.
    public var applied: [String]
    /// Files that `psql` had laid and that are recorded now.
    public var adopted: [String]
    /// Protections that were out of force, and what else was not as it was laid, for which the schema was laid again.
    public var repaired: [String] = []
    /// What is not as it was laid, and could not be put back, with the reason where the database gave one.
    public var unrepaired: [String] = []
    public var isNew: Bool
    public var seeded: [String]
    public var partitions: Int
    public var identity: StreamID?
    /// What was wrong with entry numbers, where something was; they are right now.
    public var numbers: NumbersSetRight?
  }

  /// Makes the ledger, or brings it up to this release. Doing it again does nothing; two at once wait
  /// for each other.
  ///
  /// - Parameter name: What the ledger is called, where it is new.
  /// - Throws: `OPS_013` without the rights, `OPS_014` where the schema is newer than this release or a
  ///   migration was changed after it was applied.
  public static func run(
    _ session: Session, name: String, actor: String
  ) throws(OpsError) -> Report {
    var report = Report(
      applied: [], adopted: [], isNew: false, seeded: [], partitions: 0, identity: nil)
    try applySchema(session, &report)
    if report.isNewer { return report }
    report.numbers = try session.setNumbersRight(by: actor)
    try seed(session, name: name, actor: actor, &report)
    let made = try session.query(Statement("SELECT ledger.add_partitions()::integer"))
    do { report.partitions = Int(try made.int4(0, 0)) } catch { throw OpsError(database: error) }
    return report
  }

  // MARK: - Schema

  /// Lays the schema and nothing in it, for a ledger that comes from its store.
  ///
  /// - Returns: Whether there was none.
  package static func apply(_ session: Session) throws(OpsError) -> Bool {
    var report = Report(
      applied: [], adopted: [], isNew: false, seeded: [], partitions: 0, identity: nil)
    // What is out of force is mended where the login may; it is in no restore's way.
    let rows = try session.query(
      Statement("SELECT r.rolsuper FROM pg_roles AS r WHERE r.rolname = current_user"))
    let repairs = try onDatabase { () throws(PostgresError) in try rows.bool(0, 0) }
    try applySchema(session, &report, repairs: repairs)
    return report.isFresh
  }

  /// What to type where something can neither stay nor be put back.
  public static let byAnotherWay =
    "Undo it by hand; or leave it, and bring the ledger into another database: "
    + "`opsledger archive push`, then `opsledger restore --to URL`"

  /// The check that compares what is there with what was laid.
  static let definitions = "definitions"

  private static func applySchema(
    _ session: Session, _ report: inout Report, repairs: Bool = true
  ) throws(OpsError) {
    let connection = try session.connection()
    // Who may not lay it may not lock it either.
    if !repairs {
      let plan = try plan(session)
      report.isNewer = plan.isNewer
      if plan.apply.isEmpty { return }
    }
    // Before the transaction: where there is no schema yet, nothing of it can be looked at.
    let unapplied = repairs ? try session.unapplied() : []
    do throws(PostgresError) {
      // Only the installer takes this lock before it looks, so that the second sees the first's work.
      try connection.begin(.readCommitted, lockSchema.sql)
      try connection.execute("SET LOCAL lock_timeout = '30s'")
      // It puts back what was recorded, too.
      let application = try SchemaApplication(connection)
      let recorded = try self.recorded(connection)
      let plan = try Plan(files: SchemaFile.sql, recorded: recorded, isWhole: unapplied.isEmpty)
      if plan.apply.isEmpty {
        report.isNewer = plan.isNewer
        try connection.execute("ROLLBACK")
        return
      }
      for file in plan.apply { try connection.execute(file.text) }
      try record(plan, connection)
      let (repaired, unrepaired) = try application.finish()
      try connection.execute("COMMIT")
      report.isFresh = recorded.isEmpty
      report.applied = plan.record.filter { !plan.adopt.contains($0) }.map(\.path)
      report.adopted = plan.adopt.map(\.path)
      report.unrepaired = unrepaired
      if plan.record.isEmpty {
        report.repaired = unapplied.filter { $0 != Self.definitions } + repaired
      }
    } catch {
      try? connection.rollbackIfOpen()
      if let refusal = Plan.refusal(error) { throw refusal }
      let failure = OpsError(database: error)
      if failure.code != .notAllowed, error.isOfTheStatement, !unapplied.isEmpty {
        throw failure.saying(
          "the schema cannot be laid around what was changed by hand: \(error.message)",
          hint: "`opsledger doctor` names it. \(byAnotherWay)")
      }
      guard failure.code == .notAllowed else { throw failure }
      throw OpsError(
        .notAllowed, failure.message,
        hint:
          "the schema is laid by a superuser, once and after upgrades: roles and event triggers need one"
      )
    }
  }

  /// The files of this release's schema that the database has not, or has from another release.
  static func pending(_ session: Session) throws(OpsError) -> [String] {
    try plan(session).record.map(\.path)
  }

  private static func plan(_ session: Session) throws(OpsError) -> Plan {
    let connection = try session.connection()
    do throws(PostgresError) {
      return try Plan(files: SchemaFile.sql, recorded: try recorded(connection), isWhole: true)
    } catch {
      throw Plan.refusal(error) ?? OpsError(database: error)
    }
  }

  private static func recorded(
    _ connection: Connection
  ) throws(PostgresError) -> [String: Recorded] {
    let exists = try connection.query(
      Statement("SELECT to_regclass('ledger.migrations') IS NOT NULL"))
    guard try exists.bool(0, 0) else { return [:] }
    let rows = try connection.query(
      Statement("SELECT name, sha256, oldest_binary FROM ledger.migrations"))
    var recorded: [String: Recorded] = [:]
    for row in 0..<rows.count {
      recorded[try rows.text(row, 0)] = Recorded(
        digest: try rows.byteaIfPresent(row, 1).flatMap { Digest($0) },
        oldestBinary: try rows.text(row, 2))
    }
    return recorded
  }

  /// What `ledger.migrations` says of one file.
  private struct Recorded {
    /// Nil where `psql` laid it, which has no checksums.
    let digest: Digest?
    let oldestBinary: String
  }

  private static func record(_ plan: Plan, _ connection: Connection) throws(PostgresError) {
    var names = ArrayBuilder(.text)
    var digests = ArrayBuilder(.bytea)
    for file in plan.record {
      names.text(file.name)
      digests.bytes(file.sha256.bytes)
    }
    var parameters = Parameters()
    parameters.array(names)
    parameters.array(digests)
    parameters.text(release)
    try connection.query(
      Statement(
        """
        INSERT INTO ledger.migrations (name, sha256, oldest_binary)
        SELECT v.name, v.sha256, $3::text FROM unnest($1::text[], $2::bytea[]) AS v(name, sha256)
        ON CONFLICT (name) DO UPDATE SET sha256 = EXCLUDED.sha256, applied_at = DEFAULT
        """), parameters)
  }

  /// Which files to apply, and which to record.
  private struct Plan {
    var apply: [SchemaFile] = []
    var adopt: [SchemaFile] = []
    var record: [SchemaFile] = []

    /// A newer release was here, and serves this one.
    var isNewer = false

    /// - Parameter isWhole: Whether what was laid is in force.
    init(
      files: [SchemaFile], recorded: [String: Recorded], isWhole: Bool
    ) throws(PostgresError) {
      let known = Set(files.filter(\.isMigration).map(\.name))
      for (name, migration) in recorded where !name.contains("/") && !known.contains(name) {
        if Release(migration.oldestBinary) > Release(release) { throw .usage("newer:\(name)") }
        isNewer = true
      }
      if isNewer { return }
      for file in files {
        guard let there = recorded[file.name] else {
          record.append(file)
          continue
        }
        if there.digest == nil {
          adopt.append(file)
          record.append(file)
        } else if there.digest != file.sha256 {
          if file.isMigration { throw .usage("changed:\(file.name)") }
          record.append(file)
        }
      }
      // The files stand on each other (a permit at the start, its end at the end), so they are laid
      // whole, or not at all; migrations that are recorded do nothing.
      if !record.isEmpty || !isWhole { apply = files }
    }

    static func refusal(_ error: PostgresError) -> OpsError? {
      guard error.kind == .usage else { return nil }
      if let name = error.message.suffix(after: "newer:") {
        return OpsError(
          .schemaMismatch,
          "the database has migration \(name), which no longer serves release \(release)",
          hint: "use the release that laid it, or a newer one")
      }
      if error.message == SchemaApplication.logIsGone.message {
        return OpsError(
          .schemaMismatch, "the log's table ledger.events is gone, or lacks a column",
          hint:
            "what is left cannot be laid again around it; make an empty database, and bring the ledger back "
            + "there with `opsledger restore`")
      }
      if let name = error.message.suffix(after: "changed:") {
        return OpsError(
          .schemaMismatch, "migration \(name) was changed after it was applied",
          hint: "migrations are never edited; restore the file and add a new one")
      }
      return nil
    }
  }

  // MARK: - Seeds

  /// Records the ledger's own row and the seeded policies, where they are not there. A policy that
  /// somebody edited is never overwritten.
  private static func seed(
    _ session: Session, name: String, actor: String, _ report: inout Report
  ) throws(OpsError) {
    let seeds = SchemaFile.policies
    var (streams, own) = (Parameters(), Parameters())
    streams.uuids(seeds.map { .policy($0.key) })
    own.uuid(.ledger)
    // Of two at once, one lays the schema and the other may begin the ledger: laying is no migration.
    let files = report.isFresh ? [] : report.applied
    var reads = Reads()
    _ = reads.add(lockSchema)
    let ownRead = reads.add(ownRow, own)
    let streamsRead = reads.add(knownStreams, streams) { (rows) throws(OpsError) in
      try streamsOf(rows)
    }
    let isKnown = reads.add(Session.hasTraces) { (rows) throws(OpsError) in
      try onDatabase { () throws(PostgresError) in try rows.bool(0, 0) }
    }
    let command = Command(reads) { (found, draft) throws(OpsError) -> (Bool, [String]) in
      let (known, ownRows) = (try found[streamsRead], try found[ownRead])
      let isNew = ownRows.isEmpty
      if isNew {
        if try found[isKnown] { throw .beginningLost }
        draft.append(
          .created(identity: draft.newID(), name: name), of: LedgerRecord.self, to: .ledger)
      } else if let row = try ownRecord(ownRows) {
        try draft.load(row, as: .ledger)
        for file in SchemaFile.sql where files.contains(file.path) {
          draft.append(
            .migrated(file: file.path, sha256: file.sha256.hex), of: LedgerRecord.self, to: .ledger)
        }
      }
      var seeded: [String] = []
      for (key, text) in seeds where !known.contains(.policy(key)) {
        guard let value = try? JSON(parsing: text) else {
          throw OpsError(.badInput, "the seeded policy \(key) is not JSON")
        }
        draft.append(
          .set(key: key, value: value.text, rollbackTo: nil, why: "seeded"), of: Policy.self,
          to: .policy(key))
        seeded.append(key)
      }
      return (isNew, seeded)
    }
    let key = CommandKey(id: newCommandID(), actor: actor)
    (report.isNew, report.seeded) = try session.perform(key, command).answer
    let row = try session.query(Statement("SELECT identity FROM ledger.ledger"))
    report.identity = try onDatabase { () throws(PostgresError) in
      row.isEmpty ? nil : StreamID(try row.uuid(0, 0))
    }
  }

  /// As `schema/migrations/0001_roles.sql` does: two at once lay and seed once.
  private static let lockSchema = Statement(
    "LOCK TABLE pg_catalog.pg_event_trigger IN SHARE UPDATE EXCLUSIVE MODE")
  /// Whether the ledger was created, by the log; and its row, where it is there.
  private static let ownRow = Statement(
    """
    SELECT \(LedgerRecord.select("l"))
    FROM (SELECT) AS one LEFT JOIN ledger.ledger AS l ON l.key = 'main'
    WHERE EXISTS (SELECT FROM ledger.events_in_database AS e WHERE e.stream = $1::uuid)
    """)
  /// A policy whose row was lost is for `rebuild`, not to be seeded again.
  private static let knownStreams = Statement(
    """
    SELECT s FROM unnest($1::uuid[]) AS s
    WHERE EXISTS (SELECT FROM ledger.events_in_database AS e WHERE e.stream = s)
      OR EXISTS (SELECT FROM public.ops_policy AS p WHERE \(Policy.streamSQL) = s)
    """)

  private static func streamsOf(_ rows: Rows) throws(OpsError) -> Set<StreamID> {
    try onDatabase { () throws(PostgresError) in
      var streams = Set<StreamID>()
      for row in 0..<rows.count { streams.insert(StreamID(try rows.uuid(row, 0))) }
      return streams
    }
  }

  private static func ownRecord(_ rows: Rows) throws(OpsError) -> LedgerRecord? {
    let isThere = try onDatabase { () throws(PostgresError) in try !rows.isNull(0, 0) }
    return isThere ? try rows.row(0, of: LedgerRecord.self) : nil
  }
}

extension String {
  fileprivate func suffix(after prefix: String) -> String? {
    hasPrefix(prefix) ? String(dropFirst(prefix.count)) : nil
  }
}

/// A release's number, compared part by part: 0.10.0 comes after 0.9.0.
private struct Release: Comparable {
  let parts: [Int]

  init(_ text: String) { parts = text.split(separator: ".").map { Int($0) ?? 0 } }

  static func < (a: Release, b: Release) -> Bool { a.parts.lexicographicallyPrecedes(b.parts) }
}

extension Session {
  /// Checks that the database holds a ledger that this release can use: one round trip.
  ///
  /// - Throws: `OPS_014` where there is none, it is too new, or nobody has begun it; `OPS_015` where a restore of it
  ///   was cut short.
  public func requireLedger() throws(OpsError) {
    var parameters = Parameters()
    parameters.uuid(.ledger)
    let rows = try query(Self.whatIsApplied, parameters)
    let (oldest, isBegun) = try onDatabase { () throws(PostgresError) in
      var (oldest, isBegun) = (Release("0"), false)
      for row in 0..<rows.count {
        oldest = max(oldest, Release(try rows.text(row, 0)))
        isBegun = try rows.bool(row, 1)
      }
      return (oldest, isBegun)
    }
    if oldest > Release(Installer.release) {
      throw OpsError(
        .schemaMismatch,
        "the database's schema needs release \(oldest.parts.map(String.init).joined(separator: ".")) "
          + "or newer; this is \(Installer.release)", hint: "install the newer release")
    }
    // What is recorded before `ledger.created` would belong to no ledger.
    guard isBegun else { throw try noLedger() }
  }

  private static let whatIsApplied = Statement(
    """
    SELECT DISTINCT oldest_binary,
      EXISTS (SELECT FROM ledger.events_in_database AS e WHERE e.stream = $1::uuid)
        OR EXISTS (SELECT FROM ledger.confirmed_archived_partitions())
    FROM ledger.migrations
    """)
}
