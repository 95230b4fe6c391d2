import Ledger
import Log
import Postgres

/// A plan that is being applied, as the database stores it. An interrupted run continues with the reviewed plan, though
/// some of it is archived already.
struct RetentionRun {
  let plan: String
  let cut: Instant
  let policy: RetentionPolicy
  let planned: [Pruner.Planned]
  /// The first entry number of each partition.
  let partitions: [Int64]

  /// - Throws: `OPS_012` if no run has this digest, and today's plan has another.
  static func begin(
    _ session: Session, _ digest: String, cut: Instant, actor: String
  ) throws(OpsError) -> RetentionRun {
    let policy = try session.retentionPolicy()
    // Somebody changed a row whose digest differs: nobody reviewed that.
    if let begun = try find(session, digest, cut: cut, policy), begun.digest == digest {
      return begun
    }
    let plan = try session.retentionPlan(at: cut)
    // A plan of a later time would archive everything.
    guard plan.digest == digest, cut <= (try session.now()) else {
      throw OpsError(
        .conflict, "nothing was archived: plan \(digest) is out of date",
        hint: "review today's plan: `opsledger retention plan`", facts: ["plan": plan.digest])
    }
    let run = RetentionRun(
      plan: digest, cut: cut, policy: policy, planned: plan.planned,
      partitions: plan.partitions.map(\.first))
    try run.record(session, actor: actor)
    return run
  }

  private var digest: String { RetentionPlan.digest(cut: cut, planned, partitions: partitions) }

  private static func find(
    _ session: Session, _ digest: String, cut: Instant, _ policy: RetentionPolicy
  ) throws(OpsError) -> RetentionRun? {
    var parameters = Parameters()
    parameters.text(digest)
    let rows = try session.query(listed, parameters)
    guard rows.count > 0 else { return nil }
    return try onDatabase { () throws(PostgresError) in
      var planned: [Pruner.Planned] = []
      for row in 0..<rows.count {
        guard let mission = try rows.uuidIfPresent(row, 0) else { continue }
        planned.append(.init(mission: StreamID(mission), fingerprint: try rows.text(row, 1)))
      }
      return RetentionRun(
        plan: digest, cut: cut, policy: policy, planned: planned,
        partitions: try rows.text(0, 2).split(separator: ",").compactMap { Int64($0) })
    }
  }

  private static let listed = Statement(
    """
    SELECT v.mission, v.print, array_to_string(r.partitions, ',')
    FROM ledger.retention_runs AS r
      LEFT JOIN LATERAL unnest(r.missions, r.fingerprints) WITH ORDINALITY AS v(mission, print, n) ON true
    WHERE r.plan = $1::text ORDER BY v.n
    """)

  private func record(_ session: Session, actor: String) throws(OpsError) {
    var parameters = Parameters()
    parameters.text(plan)
    parameters.uuids(planned.map(\.mission))
    parameters.texts(planned.map(\.fingerprint))
    var numbers = ArrayBuilder(.int8)
    for first in partitions { numbers.int8(first) }
    parameters.array(numbers)
    parameters.text(actor)
    _ = try session.query(
      Statement(
        """
        INSERT INTO ledger.retention_runs (plan, missions, fingerprints, partitions, actor, begun_at)
        VALUES ($1::text, $2::uuid[], $3::text[], $4::bigint[], $5::text, ledger.now())
        ON CONFLICT (plan) DO UPDATE SET missions = EXCLUDED.missions, actor = EXCLUDED.actor,
          fingerprints = EXCLUDED.fingerprints, partitions = EXCLUDED.partitions,
          begun_at = EXCLUDED.begun_at, ended_at = NULL
        """), parameters)
  }

  func end(_ session: Session) throws(OpsError) {
    var parameters = Parameters()
    parameters.text(plan)
    _ = try session.query(
      Statement(
        """
        UPDATE ledger.retention_runs SET ended_at = ledger.now()
        WHERE plan = $1::text AND ended_at IS NULL
        """), parameters)
  }
}
