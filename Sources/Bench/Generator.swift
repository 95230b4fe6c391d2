import JSON
import Ledger
import Log
import Postgres

/// Fills a new ledger with a long history: events by binary COPY, rows by a rebuild.
struct Generator {
  private let target: Session.Target
  private let batches: Int

  init(_ target: Session.Target, events: Int) {
    self.target = target
    let aBatch = Scenario.missionsABatch * Scenario.eventsAMission
    batches = max(1, (events + aBatch / 2) / aBatch)
  }

  func run() throws(OpsError) {
    let session = try Session(target)
    let policies = try Self.policies(session)
    guard let matrix = policies.matrix.value else {
      throw OpsError(.notFound, "the policy reaction_matrix was not seeded")
    }
    let first = try self.first(session)
    try onDatabase { () throws(PostgresError) in try write(after: first, policies, matrix) }
    try Replays.rebuild(target)
    try onDatabase { () throws(PostgresError) in
      try Connection(url: target.url).execute("VACUUM (ANALYZE)")
    }
  }

  private func write(
    after first: Int64, _ policies: Policies, _ matrix: ReactionMatrix
  ) throws(PostgresError) {
    var scenario = Scenario(policies, matrix, from: Instant(micros: 1_790_000_000_000_000))
    var writer = try LogWriter(target.url, after: first)
    for batch in 0..<batches {
      let entries: [Scenario.Entry]
      do { entries = try scenario.nextBatch() } catch { throw .usage(error.description) }
      // With eight writers, one event in sixty lies before an earlier one of its stream.
      try writer.write(entries, swappingLast: batch % 12 == 7)
    }
    try writer.finish()
    say("events=\(writer.events) missions=\(batches * Scenario.missionsABatch)")
  }

  /// Allocates the entries of the history, and makes their partitions.
  ///
  /// - Returns: The entry before the first of them.
  private func first(_ session: Session) throws(OpsError) -> Int64 {
    let entries = batches * (Scenario.missionsABatch + 4)
    let last = try session.query(Statement("SELECT last_value FROM ledger.entry_sequence"))
    return try onDatabase { () throws(PostgresError) in
      let first = try last.int8(0, 0)
      var next = first
      while next < first + Int64(entries) {
        next = min(next + 3_000_000, first + Int64(entries))
        // True: a number that is not allocated would break the sealed prefix.
        try Connection(url: target.url).execute(
          """
          SELECT setval('ledger.entry_sequence', \(next), true); SELECT ledger.add_partitions()
          """)
      }
      return first
    }
  }

  private static func policies(_ session: Session) throws(OpsError) -> Policies {
    let rows = try session.query(Statement("SELECT key, version, value FROM public.ops_policy"))
    var policies = Policies()
    try onDatabase { () throws(PostgresError) in
      for row in 0..<rows.count {
        guard let value = try? JSON(parsing: try rows.jsonb(row, 2)) else { continue }
        policies.read(key: try rows.text(row, 0), version: try rows.int4(row, 1), value: value)
      }
    }
    return policies
  }
}
