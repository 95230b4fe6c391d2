import Ledger
import Log
import OpsLoop
import TestLedgers
import Testing

/// People may put rows of 64 MiB into the tables: a batch holds no more of them than fit into memory, and goes on with
/// the others.
@Suite("Large rows", .needsServer)
struct LargeRowsTests {
  private static let count = 5
  /// Two million bytes, of which the server stores a hundredth.
  private static let large = "repeat('x', 2000000)"
  private static let missions = """
    m AS (INSERT INTO ops_missions (id, status) SELECT gen_random_uuid(), 'running'
      FROM generate_series(1, \(count)) RETURNING id)
    """

  @Test("events and reactions")
  func events() throws {
    try TestLedger.with { ledger in
      try ledger.execute(
        """
        INSERT INTO ops_agent_events (id, type, data)
        SELECT gen_random_uuid(), 'scout:find', jsonb_build_object('summary', \(Self.large))
        FROM generate_series(1, \(Self.count));
        INSERT INTO ops_agent_reactions (id, payload)
        SELECT gen_random_uuid(), jsonb_build_object('note', \(Self.large),
          'proposal_template', '{"risk_level": "low", "steps": [{"kind": "noop"}]}'::jsonb)
        FROM generate_series(1, \(Self.count))
        """)
      let engine = try ledger.engine()
      let first = try engine.heartbeat(drain: false)
      #expect((1..<Self.count).contains(first.events))
      #expect(first.filledBatch)
      let rest = try engine.heartbeat(drain: true)
      #expect(first.events + rest.events == Self.count)
      #expect(try ledger.count("ops_agent_reactions WHERE status = 'queued'") == 0)
      try ledger.expectEqual()
    }
  }

  @Test("steps that are claimed, also by a worker that ends when nothing is left")
  func steps() throws {
    try TestLedger.with { ledger in
      try ledger.execute(
        """
        WITH \(Self.missions)
        INSERT INTO ops_mission_steps (id, mission_id, kind, ordinal, status, params)
        SELECT gen_random_uuid(), m.id, 'noop', 0, 'queued', jsonb_build_object('note', \(Self.large)) FROM m
        """)
      let engine = try ledger.engine()
      let claim = try engine.claim(Self.count, worker: "w")
      #expect((1..<Self.count).contains(claim.steps.count))
      #expect(claim.hasLeftSome)
      #expect(try engine.work().claimed == Self.count - claim.steps.count)
      try ledger.expectEqual()
    }
  }

  @Test("leases that have ended, and votes that are overdue")
  func upkeep() throws {
    try TestLedger.with { ledger in
      try ledger.execute(
        """
        WITH \(Self.missions)
        INSERT INTO ops_mission_steps (id, mission_id, kind, ordinal, params, status, lease_expires_at)
        SELECT gen_random_uuid(), m.id, 'noop', 0, jsonb_build_object('note', \(Self.large)), 'running',
          now() - interval '1 min' FROM m;
        INSERT INTO ops_mission_proposals (id, source, status, template, created_at)
        SELECT gen_random_uuid(), 'manual', 'voting', jsonb_build_object('note', \(Self.large)),
          '2001-01-01' FROM generate_series(1, \(Self.count))
        """)
      let engine = try ledger.engine()
      let first = try engine.heartbeat(drain: false)
      #expect((1..<Self.count).contains(first.recovered.total))
      #expect((1..<Self.count).contains(first.votesExpired))
      let rest = try engine.heartbeat(drain: true)
      #expect(first.recovered.total + rest.recovered.total == Self.count)
      #expect(first.votesExpired + rest.votesExpired == Self.count)
      try ledger.expectEqual()
    }
  }
}
