import Crypto
import JSON
public import Ledger
import Postgres

/// Lays the schema and seeds what a ledger starts with.
public enum Installer {
  /// This release, as migrations name the oldest one that they still serve.
  public static let release = "0.1.0"

  public struct Report: Equatable, Sendable {
    /// Files that were applied now.
    public var applied: [String]
    /// Files that `psql` had laid and that are recorded now.
    public var adopted: [String]
    public var isNew: Bool
    public var seeded: [String]
    public var partitions: Int
    public var identity: StreamID?
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
    try laySchema(session, &report)
    try seed(session, name: name, actor: actor, &report)
    let made = try session.query(Statement("SELECT ledger.add_partitions()::integer"))
    do { report.partitions = Int(try made.int4(0, 0)) } catch { throw OpsError(database: error) }
    return report
  }

  // MARK: - Schema

  private static func laySchema(_ session: Session, _ report: inout Report) throws(OpsError) {
    let connection = try session.connection()
    do throws(PostgresError) {
      // Only the installer takes this lock before it looks, so that the second sees the first's work.
      try connection.execute("BEGIN; SELECT pg_advisory_xact_lock(19796, 1)")
      let recorded = try self.recorded(connection)
      let plan = try Plan(files: SchemaFile.sql, recorded: recorded)
      if plan.isEmpty {
        try connection.execute("ROLLBACK")
        return
      }
      try connection.execute("SET LOCAL lock_timeout = '30s'")
      for file in plan.apply { try connection.execute(file.text) }
      try record(plan, connection)
      try connection.execute("COMMIT")
      report.applied = plan.apply.filter { recorded[$0.name] == nil }.map(\.path)
      report.adopted = plan.adopt.map(\.path)
    } catch {
      try? connection.rollbackIfOpen()
      throw Plan.refusal(error) ?? OpsError(database: error)
    }
  }

  private static func recorded(
    _ connection: Connection
  ) throws(PostgresError) -> [String: Digest?] {
    let exists = try connection.query(
      Statement("SELECT to_regclass('ledger.migrations') IS NOT NULL"))
    guard try exists.bool(0, 0) else { return [:] }
    let rows = try connection.query(Statement("SELECT name, sha256 FROM ledger.migrations"))
    var recorded: [String: Digest?] = [:]
    for row in 0..<rows.count {
      let digest = try rows.byteaIfPresent(row, 1).flatMap { Digest($0) }
      recorded.updateValue(digest, forKey: try rows.text(row, 0))
    }
    return recorded
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

    var isEmpty: Bool { record.isEmpty }

    init(files: [SchemaFile], recorded: [String: Digest?]) throws(PostgresError) {
      let known = Set(files.filter(\.isMigration).map(\.name))
      let migrations = recorded.keys.filter { !$0.contains("/") }
      if let unknown = migrations.sorted().first(where: { !known.contains($0) }) {
        throw .usage("newer:\(unknown)")
      }
      for file in files {
        switch recorded[file.name] {
        case .some(.some(let digest)):
          if digest == file.sha256 { continue }
          if file.isMigration { throw .usage("changed:\(file.name)") }
          record.append(file)
        case .some(.none):
          // Laid by psql, which has no checksums.
          adopt.append(file)
          record.append(file)
        case nil: record.append(file)
        }
      }
      // The files stand on each other (a permit at the start, its end at the end), so they are laid
      // whole, or not at all; migrations that are recorded do nothing.
      if !record.isEmpty { apply = files }
    }

    static func refusal(_ error: PostgresError) -> OpsError? {
      guard error.kind == .usage else { return nil }
      if let name = error.message.suffix(after: "newer:") {
        return OpsError(
          .schemaMismatch, "the database has migration \(name), which this release does not know",
          hint: "use the release that laid it, or a newer one")
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
    let keys = SchemaFile.policies
    var parameters = Parameters()
    parameters.texts(keys.map(\.key))
    // The key of the lock is the installer's, so that two at once seed once.
    let lock = Statement("SELECT pg_advisory_xact_lock(19796, 1) IS NOT NULL")
    let identity = Statement("SELECT identity FROM ledger.ledger FOR NO KEY UPDATE")
    let present = Statement("SELECT key FROM ops_policy WHERE key = ANY ($1::text[])")
    var seeded: [String] = []
    var isNew = false
    let command = Command(
      load: [(lock, Parameters()), (identity, Parameters()), (present, parameters)]
    ) { (answers, draft) throws(OpsError) in
      isNew = answers[1].isEmpty
      if isNew {
        let identity = draft.newID()
        draft.append(
          .created(identity: identity, name: name), of: LedgerRecord.self, to: .ledger)
      }
      seeded = []
      do throws(PostgresError) {
        var there = Set<String>()
        for row in 0..<answers[2].count { there.insert(try answers[2].text(row, 0)) }
        for (key, text) in keys where !there.contains(key) {
          guard let value = try? JSON(parsing: text) else {
            throw .usage("the seeded policy \(key) is not JSON")
          }
          draft.append(
            .set(key: key, value: value.text, rollbackTo: nil, why: "seeded"), of: Policy.self,
            to: .policy(key))
          seeded.append(key)
        }
      } catch {
        throw OpsError(database: error)
      }
      return .null
    }
    let key = CommandKey(id: newCommandID(), actor: actor)
    _ = try session.perform(key, command)
    report.isNew = isNew
    report.seeded = seeded
    let row = try session.query(Statement("SELECT identity FROM ledger.ledger"))
    do {
      if row.count == 1 { report.identity = StreamID(try row.uuid(0, 0)) }
    } catch {
      throw OpsError(database: error)
    }
  }
}

extension String {
  fileprivate func suffix(after prefix: String) -> String? {
    guard let range = self.range(ofPrefix: prefix) else { return nil }
    return String(self[range...])
  }

  private func range(ofPrefix prefix: String) -> Index? {
    hasPrefix(prefix) ? index(startIndex, offsetBy: prefix.count) : nil
  }
}
