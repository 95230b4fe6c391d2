import Ledger
import Log
import Postgres

/// A plan that is being done, as the database keeps it: a run that was cut short goes on with what was reviewed, though
/// some of it has left already.
struct RetentionRun {
  let plan: String
  let cut: Instant
  let policy: RetentionPolicy
  let missions: [StreamID]
  let fingerprints: [String]
  /// Their first numbers.
  let partitions: [Int64]

  /// - Throws: `OPS_012` where nothing was begun under this digest, and it is not what would leave.
  static func begin(
    _ session: Session, _ digest: String, cut: Instant, actor: String
  ) throws(OpsError) -> RetentionRun {
    let policy = try session.retentionPolicy()
    // A row that is not what its digest says was never reviewed.
    if let begun = try find(session, digest, cut: cut, policy), begun.digest == digest {
      return begun
    }
    let plan = try session.retentionPlan(at: cut)
    // Of a time to come nothing was planned: everything is old by then.
    guard plan.digest == digest, cut <= (try session.now()) else {
      throw OpsError(
        .conflict, "what would leave is no longer what was planned: nothing left",
        hint: "look at it again: opsledger retention plan", facts: ["plan": plan.digest])
    }
    let run = RetentionRun(
      plan: digest, cut: cut, policy: policy, missions: plan.leaving.map(\.mission),
      fingerprints: plan.leaving.map(\.fingerprint), partitions: plan.partitions.map(\.first))
    try run.record(session, actor: actor)
    return run
  }

  private var digest: String {
    RetentionPlan.digest(
      cut: cut, leaving: Array(zip(missions, fingerprints)), partitions: partitions)
  }

  private static func find(
    _ session: Session, _ digest: String, cut: Instant, _ policy: RetentionPolicy
  ) throws(OpsError) -> RetentionRun? {
    var parameters = Parameters()
    parameters.text(digest)
    let rows = try session.query(listed, parameters)
    guard rows.count > 0 else { return nil }
    return try onDatabase { () throws(PostgresError) in
      var missions: [StreamID] = []
      var fingerprints: [String] = []
      for row in 0..<rows.count {
        guard let mission = try rows.uuidIfPresent(row, 0) else { continue }
        missions.append(StreamID(mission))
        fingerprints.append(try rows.text(row, 1))
      }
      return RetentionRun(
        plan: digest, cut: cut, policy: policy, missions: missions, fingerprints: fingerprints,
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
    parameters.uuids(missions)
    parameters.texts(fingerprints)
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
