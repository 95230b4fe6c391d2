import Crypto
import JSON
public import Ledger
import Postgres

/// Applies the schema, and records what a ledger starts with.
public enum Installer {
  /// This release. A migration names the oldest release that still works with it.
  public static let release = "0.1.0"

  public struct Report: Equatable, Sendable {
    /// The schema is of a newer release, and this one still works with it. Nothing was changed.
    public var isNewer = false
    /// There was no schema before.
    public var isFresh = false
    /// Files that were applied now.
    public var applied: [String] = []
    /// Files that `psql` had applied, and that are recorded now.
    public var adopted: [String] = []
    /// Protections that were switched off or missing, and other definitions that were repaired.
    public var repaired: [String] = []
    /// Definitions that could not be repaired, with the database's reason.
    public var unrepaired: [String] = []
    public var isNew = false
    public var seeded: [String] = []
    public var partitions = 0
    public var identity: StreamID?
    /// The entry numbers that were wrong, and are corrected now; nil if they were right.
    public var numbers: NumbersSetRight?
  }

  /// Creates the ledger, or brings it up to this release. A second run changes nothing, and waits for the first.
  ///
  /// - Parameter name: The name of a new ledger.
  /// - Throws: `OPS_013` without the rights; `OPS_014` if this release cannot work with the schema, or a migration was
  ///   changed after it was applied.
  public static func run(
    _ session: Session, name: String, actor: String
  ) throws(OpsError) -> Report {
    var report = Report()
    try applySchema(session, &report)
    if report.isNewer { return report }
    report.numbers = try session.setNumbersRight(by: actor)
    try seed(session, name: name, actor: actor, &report)
    report.partitions = Int(try session.number(Statement("SELECT ledger.add_partitions()::bigint")))
    return report
  }

  /// Applies the schema only, for a ledger that is restored from its store.
  ///
  /// - Returns: Whether there was no schema before.
  package static func apply(_ session: Session) throws(OpsError) -> Bool {
    var report = Report()
    // Only a superuser can repair definitions. A restore works without.
    let repairs = try session.boolean(
      Statement("SELECT r.rolsuper FROM pg_roles AS r WHERE r.rolname = current_user"))
    try applySchema(session, &report, repairs: repairs)
    return report.isFresh
  }

  /// The way out for a change that `init` cannot repair.
  public static let byAnotherWay =
    "Undo the change; or leave it, and move the ledger into another database: "
    + "`opsledger archive push`, then `opsledger restore --to URL`"

  /// The name of the check that compares the database with the recorded definitions.
  static let definitions = "definitions"

  private static func applySchema(
    _ session: Session, _ report: inout Report, repairs: Bool = true
  ) throws(OpsError) {
    let connection = try session.connection()
    // A login that may not apply the schema may not lock it either.
    if !repairs {
      let plan = try plan(session)
      report.isNewer = plan.isNewer
      if plan.apply.isEmpty { return }
    }
    // Before the transaction, because these queries fail if there is no schema yet.
    let unapplied = repairs ? try session.unapplied() : []
    var refusal: OpsError?
    application: do throws(PostgresError) {
      // The lock comes before the first read, so that a second installer sees what the first has done.
      try connection.begin(.readCommitted, lockSchema.sql)
      try connection.execute("SET LOCAL lock_timeout = '30s'")
      // This repairs ledger.migrations, too, which is read next.
      let application = try SchemaApplication(connection)
      let recorded = try self.recorded(connection)
      let plan = Plan(files: SchemaFile.sql, recorded: recorded, isWhole: unapplied.isEmpty)
      (report.isNewer, refusal) = (plan.isNewer, plan.refusal)
      if plan.apply.isEmpty {
        try connection.execute("ROLLBACK")
        break application
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
      if error.kind == .usage, error.message == SchemaApplication.logIsGone.message {
        throw .logIsGone
      }
      let failure = OpsError(database: error)
      if failure.code != .notAllowed, error.isOfTheStatement, !unapplied.isEmpty {
        throw failure.saying(
          "the schema cannot be applied because somebody changed it: \(error.message)",
          hint: "`opsledger doctor` names the change. \(byAnotherWay)")
      }
      guard failure.code == .notAllowed else { throw failure }
      throw OpsError(
        .notAllowed, failure.message,
        hint:
          "run `opsledger init` as a superuser, at first and after upgrades: roles and event triggers need one"
      )
    }
    if let refusal { throw refusal }
  }

  /// The files of this release's schema that the database lacks, or has from another release.
  static func pending(_ session: Session) throws(OpsError) -> [String] {
    try plan(session).record.map(\.path)
  }

  private static func plan(_ session: Session) throws(OpsError) -> Plan {
    let connection = try session.connection()
    let recorded = try onDatabase { () throws(PostgresError) in try self.recorded(connection) }
    let plan = Plan(files: SchemaFile.sql, recorded: recorded, isWhole: true)
    if let refusal = plan.refusal { throw refusal }
    return plan
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

  private struct Recorded {
    /// Nil if `psql` applied it, which records no checksum.
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

  private struct Plan {
    var apply: [SchemaFile] = []
    var adopt: [SchemaFile] = []
    var record: [SchemaFile] = []
    /// The schema is of a newer release, with which this one works.
    var isNewer = false
    /// Why this release cannot apply its schema; nil if it can.
    var refusal: OpsError?

    /// - Parameter isWhole: Whether every protection is in force.
    init(files: [SchemaFile], recorded: [String: Recorded], isWhole: Bool) {
      let known = Set(files.filter(\.isMigration).map(\.name))
      for (name, migration) in recorded where !name.contains("/") && !known.contains(name) {
        if Release(migration.oldestBinary) > Release(release) { refusal = .tooNew(name) }
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
          if file.isMigration {
            refusal = .changed(file)
            return
          }
          record.append(file)
        }
      }
      // The files depend on each other (the first makes a permit, the last ends it), so either all are applied or none.
      // A recorded migration does nothing.
      if !record.isEmpty || !isWhole { apply = files }
    }
  }

  /// Records the ledger's own row and the seeded policies, if they are missing. It never overwrites a policy.
  private static func seed(
    _ session: Session, name: String, actor: String, _ report: inout Report
  ) throws(OpsError) {
    let seeds = SchemaFile.policies
    // Two installers may run at once: one applies the schema, and the other begins the ledger. That is no migration.
    let files = report.isFresh ? [] : report.applied
    var reads = Reads()
    _ = reads.add(lockSchema)
    let ownRead = reads.add(ownRow, Parameters(.ledger))
    let streams = Parameters(seeds.map { StreamID.policy($0.key) })
    let streamsRead = reads.add(knownStreams, streams) { (rows) throws(OpsError) in
      Set(try rows.ids())
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
    let identities = try session.query(Statement("SELECT identity FROM ledger.ledger")).ids()
    report.identity = identities.first
  }

  /// The lock of `schema/migrations/0001_roles.sql`, so that two installers run one after the other.
  private static let lockSchema = Statement(
    "LOCK TABLE pg_catalog.pg_event_trigger IN SHARE UPDATE EXCLUSIVE MODE")
  /// One row if the log has the ledger: the ledger's own row, or nulls.
  private static let ownRow = Statement(
    """
    SELECT \(LedgerRecord.select("l"))
    FROM (SELECT) AS one LEFT JOIN ledger.ledger AS l ON l.key = 'main'
    WHERE EXISTS (SELECT FROM ledger.events_in_database AS e WHERE e.stream = $1::uuid)
    """)
  /// The policies that exist. A policy whose row was lost is not seeded again: `rebuild` brings it back.
  private static let knownStreams = Statement(
    """
    SELECT s FROM unnest($1::uuid[]) AS s
    WHERE EXISTS (SELECT FROM ledger.events_in_database AS e WHERE e.stream = s)
      OR EXISTS (SELECT FROM public.ops_policy AS p WHERE \(Policy.streamSQL) = s)
    """)

  private static func ownRecord(_ rows: Rows) throws(OpsError) -> LedgerRecord? {
    let isThere = try onDatabase { () throws(PostgresError) in try !rows.isNull(0, 0) }
    return isThere ? try rows.row(0, of: LedgerRecord.self) : nil
  }
}

extension OpsError {
  fileprivate static func tooNew(_ migration: String) -> OpsError {
    OpsError(
      .schemaMismatch,
      "the database has migration \(migration), with which release \(Installer.release) cannot work",
      hint: "use the release that applied it, or a newer one")
  }

  fileprivate static func changed(_ migration: SchemaFile) -> OpsError {
    OpsError(
      .schemaMismatch, "migration \(migration.name) was changed after it was applied",
      hint: "restore the file, and add a new migration instead")
  }

  fileprivate static let logIsGone = OpsError(
    .schemaMismatch, "table ledger.events is missing, or lacks a column",
    hint: "`opsledger init` cannot repair the log; create an empty database, and bring the ledger "
      + "back there with `opsledger restore`")
}

/// A release's number, compared part by part: 0.10.0 comes after 0.9.0.
private struct Release: Comparable {
  let parts: [Int]

  init(_ text: String) { parts = text.split(separator: ".").map { Int($0) ?? 0 } }

  static func < (a: Release, b: Release) -> Bool { a.parts.lexicographicallyPrecedes(b.parts) }
}

extension Session {
  /// Checks, in one round trip, that the database has a ledger with which this release works.
  ///
  /// - Throws: `OPS_014` if there is none, it is too new, or it is not begun; `OPS_015` if a restore was interrupted.
  public func requireLedger() throws(OpsError) {
    let rows = try query(Self.whatIsApplied, Parameters(.ledger))
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
    // An entry before `ledger.created` would belong to no ledger.
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
