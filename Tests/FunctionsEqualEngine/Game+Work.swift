import JSON
import Ledger
import Log
import OpsLoop
import Postgres
import TestLedgers
import TestSupport

/// Steps: claimed by the function, and completed as the origin's workers do, by plain UPDATE and INSERT.
extension Game {
  private static let nameOf = """
    SELECT p.template->>'title', s.ordinal::text
    FROM public.ops_mission_steps AS s JOIN public.ops_missions AS m ON m.id = s.mission_id
      JOIN public.ops_mission_proposals AS p ON p.id = m.proposal_id
    WHERE s.id = ($1::text)::uuid
    """
  private static let named = """
    SELECT s.id::text
    FROM public.ops_mission_steps AS s JOIN public.ops_missions AS m ON m.id = s.mission_id
      JOIN public.ops_mission_proposals AS p ON p.id = m.proposal_id
    WHERE p.template->>'title' = $1::text AND s.ordinal = ($2::text)::integer
    """

  private func counterpart(of step: StreamID) throws -> String {
    let name = try left.ask(Self.nameOf, step.description)[0]
    guard let id = try right.ask(Self.named, name[0], name[1]).first?[0] else {
      throw TestFailure("the other side has no step \(name)")
    }
    return id
  }

  /// The engine takes one of those that may run; everybody else's are held while the function looks, so
  /// that it finds the same one or none.
  func claim() throws {
    let claim = try engine.claim(1, worker: "psql/postgres")
    guard let step = claim.steps.first else {
      guard let taken = try claimByFunction() else { return }
      throw TestFailure("the engine finds nothing to claim, the function \(taken.step)")
    }
    let id = try counterpart(of: step.step.id)
    try other.execute("BEGIN")
    defer { try? other.rollbackIfOpen() }
    _ = try other.ask(
      """
      SELECT FROM public.ops_mission_steps WHERE status = 'queued' AND id <> ($1::text)::uuid
      FOR NO KEY UPDATE
      """, [id])
    guard let taken = try claimByFunction(), taken.step == id else {
      throw TestFailure("the function does not claim \(step.step.kind) \(id)")
    }
    try other.rollbackIfOpen()
    held.append(Held(step: step, claim: claim, other: taken))
  }

  /// Until nothing is left to claim: then the order does not matter.
  func drain() throws {
    while true {
      let claim = try engine.claim(100, worker: "psql/postgres")
      var taken: [String: Held.Other] = [:]
      for _ in 0..<claim.steps.count + 1 {
        guard let one = try claimByFunction() else { break }
        taken[one.step] = one
      }
      guard taken.count == claim.steps.count else {
        throw TestFailure("the engine claims \(claim.steps.count), the function \(taken.count)")
      }
      if claim.steps.isEmpty { return }
      for step in claim.steps {
        guard let one = taken[try counterpart(of: step.step.id)] else {
          throw TestFailure("the function does not claim what the engine does")
        }
        held.append(Held(step: step, claim: claim, other: one))
      }
    }
  }

  private func claimByFunction() throws -> Held.Other? {
    let rows = try client.ask(
      """
      SELECT id::text, mission_id::text, kind, reserved_at::text, executor
      FROM public.ops_claim_next_step(5)
      """)
    guard let row = rows.first, let step = row[0], let mission = row[1], let kind = row[2],
      let reservedAt = row[3]
    else { return nil }
    _ = try client.ask(
      """
      INSERT INTO public.ops_action_runs (run_id, step_id, executor, status, started_at, meta)
      VALUES ($1::text || '-' || $3::text, ($1::text)::uuid, $4::text, 'started', ledger.now(),
        jsonb_build_object('kind', $2::text))
      """, [step, kind, String(now / 1000), row[4]])
    return Held.Other(step: step, mission: mission, kind: kind, reservedAt: reservedAt)
  }

  private func takeHeld() -> Int? {
    if held.isEmpty { return nil }
    return generator.below(4) == 0 ? generator.below(held.count) : held.count - 1
  }

  // MARK: Outcomes

  func complete(succeeds: Bool) throws {
    guard let index = takeHeld() else { return }
    let one = held[index]
    if generator.below(6) > 0 { held.remove(at: index) }
    let result: StepOutcome.Result =
      succeeds
      ? .succeeded(#"{"ok": true}"#) : .failed(.exit, error: "no", result: nil)
    let done = try engine.complete([StepOutcome(one.step, result)])
    let isRecorded =
      succeeds ? try succeed(one.other) : try fail(one.other, like: one.step.step.id)
    try expect("\(done.refused.isEmpty)", "\(isRecorded)", "outcome")
  }

  private static let isOurs = """
    id = ($1::text)::uuid AND status = 'running' AND reserved_at = ($2::text)::timestamptz
    """
  private static let report = """
    INSERT INTO public.ops_agent_events (type, data, mission_id, dedupe_key, created_at)
    VALUES ('step:' || $2::text || ':' || $3::text, ($4::text)::jsonb
        || jsonb_build_object('step_id', $1::text, 'kind', $2::text), ($5::text)::uuid,
      $1::text || ':' || $3::text || ':' || $6::text, ledger.now())
    """

  private func succeed(_ one: Held.Other) throws -> Bool {
    let written = try client.ask(
      """
      UPDATE public.ops_mission_steps SET status = 'succeeded', result = '{"ok": true}',
        updated_at = ledger.now() WHERE \(Self.isOurs) RETURNING id::text
      """, [one.step, one.reservedAt])
    guard !written.isEmpty else { return false }
    _ = try client.ask(
      Self.report,
      [one.step, one.kind, "succeeded", #"{"result": {"ok": true}}"#, one.mission, String(now)])
    _ = try client.ask(
      """
      UPDATE public.ops_action_runs SET status = 'succeeded', completed_at = ledger.now()
      WHERE step_id = ($1::text)::uuid AND status = 'started'
      """, [one.step])
    try finalize(one.mission)
    return true
  }

  /// The origin's worker knows no backoff, and nothing of missions that have failed meanwhile: what it
  /// writes of these is what the engine decided.
  private func fail(_ one: Held.Other, like step: StreamID) throws -> Bool {
    let decided = try left.ask(
      """
      SELECT not_before::text, CASE WHEN last_error LIKE 'skipped:%' THEN last_error END
      FROM public.ops_mission_steps WHERE id = ($1::text)::uuid
      """, step.description)[0]
    let written = try client.ask(
      """
      UPDATE public.ops_mission_steps AS s SET failure_count = failure_count + 1, last_error = 'no',
        lease_expires_at = NULL, leased_by = NULL, updated_at = ledger.now(),
        status = CASE WHEN d.is_dead THEN 'failed'::public.ops_step_status ELSE 'queued' END,
        not_before = CASE WHEN NOT d.is_dead THEN ($3::text)::timestamptz END
      FROM (SELECT failure_count + 1 >= coalesce(max_retries,
          (SELECT (value->>'max_retries')::integer FROM public.ops_policy WHERE key = 'worker_policy'), 3)
        FROM public.ops_mission_steps WHERE id = ($1::text)::uuid) AS d (is_dead)
      WHERE \(Self.isOurs) RETURNING (status = 'failed')::text
      """, [one.step, one.reservedAt, decided[0]])
    guard let isDead = written.first?[0] else { return false }
    _ = try client.ask(
      """
      UPDATE public.ops_action_runs SET status = 'failed', completed_at = ledger.now(), error = 'no',
        meta = meta || jsonb_build_object('retrying', NOT ($2::text)::boolean)
      WHERE step_id = ($1::text)::uuid AND status = 'started'
      """, [one.step, isDead])
    if isDead == "true" {
      _ = try client.ask(
        Self.report,
        [one.step, one.kind, "failed", #"{"error": "no"}"#, one.mission, String(now)])
      try finalize(one.mission)
    } else if let skipped = decided[1] {
      _ = try client.ask(
        """
        UPDATE public.ops_mission_steps SET status = 'failed', failure_count = 0, last_error = $2::text
        WHERE id = ($1::text)::uuid
        """, [one.step, skipped])
    }
    return true
  }

  private func finalize(_ mission: String) throws {
    _ = try client.ask(
      "SELECT public.ops_maybe_finalize_mission(($1::text)::uuid)::text", [mission])
  }

  /// Where a mission is already what its steps say, it stays so.
  func settle() throws {
    for row in try right.ask("SELECT id::text FROM public.ops_missions") {
      try finalize(row[0] ?? "")
    }
  }

  // MARK: Leases

  func renew() throws {
    guard let index = takeHeld() else { return }
    let one = held[index]
    let renewed = try engine.renew([(one.step.step.id, one.step.token)])
    if let token = renewed[one.step.step.id] { held[index].step.token = token }
    let written = try client.ask(
      """
      UPDATE public.ops_mission_steps SET lease_expires_at = ledger.now() + interval '5 minutes',
        updated_at = ledger.now() WHERE \(Self.isOurs) RETURNING id::text
      """, [one.other.step, one.other.reservedAt])
    try expect("\(!renewed.isEmpty)", "\(!written.isEmpty)", "renew")
  }

  /// A hand takes a lease away: then it is the step's standing still that ends it.
  func unlease() throws {
    guard let index = takeHeld() else { return }
    let one = held.remove(at: index)
    held.removeAll { $0.other.step == one.other.step }
    try left.set(clock: now)
    for (connection, id) in [
      (left.admin, one.step.step.id.description), (client, one.other.step),
    ] {
      _ = try connection.ask(
        """
        UPDATE public.ops_mission_steps SET lease_expires_at = NULL
        WHERE id = ($1::text)::uuid AND status = 'running'
        """, [id])
    }
  }

  /// Of one mission where one lease has run out and another step is stale, two calls may name another
  /// dead step than one does.
  private static let isMixed = """
    SELECT FROM public.ops_mission_steps AS a JOIN public.ops_mission_steps AS b USING (mission_id)
    WHERE a.status = 'running' AND a.lease_expires_at IS NULL AND b.status = 'running'
      AND b.lease_expires_at < ($1::text)::timestamptz
    """

  func recover() throws {
    guard try left.ask(Self.isMixed, Instant(micros: now).description).isEmpty else { return }
    let ours = try engine.recoverLeases()
    let expired = try client.ask(
      "SELECT requeued_steps::text, failed_steps::text FROM public.ops_recover_expired_leases()")[0]
    let stale = try client.ask("SELECT public.ops_recover_stale_steps()::text")[0][0] ?? ""
    try expect(
      "\(ours.requeued) \(ours.failed) \(ours.stale)",
      "\(expired[0] ?? "") \(expired[1] ?? "") \(stale)", "recover")
  }

  // MARK: Trying again

  private static let queued = """
    SELECT s.id::text FROM public.ops_mission_steps AS s WHERE s.status = 'queued'
      AND s.mission_id = (SELECT mission_id FROM public.ops_mission_steps WHERE id = ($1::text)::uuid)
    """

  /// By the command, and by the runbook's UPDATE of the same steps.
  func retry() throws {
    let dead = try left.ask(
      """
      SELECT s.id::text FROM public.ops_mission_steps AS s JOIN public.ops_missions AS m ON m.id = s.mission_id
        JOIN public.ops_mission_proposals AS p ON p.id = m.proposal_id
      WHERE s.status = 'failed' AND s.failure_count > 0 ORDER BY p.template->>'title', s.ordinal
      """
    ).compactMap { $0[0] }
    guard let text = dead.randomElement(using: &generator), let step = StreamID(text) else {
      return
    }
    let before = Set(try left.ask(Self.queued, text).compactMap { $0[0] })
    _ = try engine.retry(step, why: nil)
    for id in try left.ask(Self.queued, text).compactMap({ $0[0] }) where !before.contains(id) {
      guard let id = StreamID(id) else { continue }
      _ = try client.ask(
        """
        UPDATE public.ops_mission_steps SET status = 'queued', failure_count = 0, last_error = NULL,
          reserved_at = NULL, lease_expires_at = NULL, leased_by = NULL, not_before = NULL,
          updated_at = ledger.now()
        WHERE id = ($1::text)::uuid AND status = 'failed'
        """, [try counterpart(of: id)])
    }
  }
}
