import Ledger
import Postgres
import TestLedgers

/// One of the two ledgers that are kept in step, as the driver sees it: a clock that stands still until it
/// is set, and rows named by what they are about instead of by their ids.
final class Side {
  let ledger: TestLedger
  let admin: Connection

  init(_ ledger: TestLedger) throws {
    self.ledger = ledger
    admin = try Connection(url: ledger.adminURL)
    try admin.execute(Self.prepare)
  }

  /// The clock is a setting of the session: `ledger.now()` reads it. Between histories the log is emptied,
  /// for which its guards must be off: this proof is about what functions and engine do.
  private static let prepare = """
    SET timezone = 'UTC';
    DO $$ DECLARE name text; BEGIN
      FOR name IN SELECT evtname FROM pg_event_trigger LOOP
        EXECUTE format('ALTER EVENT TRIGGER %I DISABLE', name);
      END LOOP;
    END $$;
    -- What the repair role writes is then neither captured nor questioned.
    CREATE OR REPLACE FUNCTION ledger.capture_note_repair() RETURNS void LANGUAGE sql AS '';
    CREATE OR REPLACE FUNCTION ledger.now() RETURNS timestamptz
    LANGUAGE sql VOLATILE PARALLEL SAFE AS $$
        SELECT coalesce(nullif(current_setting('test.now', true), '')::timestamptz,
            pg_catalog.clock_timestamp())
    $$;
    CREATE TABLE public.first_policies AS SELECT * FROM public.ops_policy;
    GRANT SELECT ON public.first_policies TO opsledger_repair;
    CREATE TABLE public.first_entry AS SELECT max(entry) AS entry FROM ledger.events;
    DO $$ DECLARE part regclass; BEGIN
      FOR part IN SELECT inhrelid FROM pg_inherits WHERE inhparent = 'ledger.events'::regclass
      LOOP EXECUTE format('ALTER TABLE %s DISABLE TRIGGER USER', part); END LOOP;
      ALTER TABLE ledger.events DISABLE TRIGGER USER;
      ALTER TABLE ledger.checkpoints DISABLE TRIGGER USER;
    END $$
    """

  func empty() throws {
    try admin.execute(
      """
      BEGIN; SET LOCAL session_replication_role = replica; SET LOCAL ROLE opsledger_repair;
      DELETE FROM public.ops_action_runs; DELETE FROM public.ops_agent_events; DELETE FROM public.ops_mission_steps;
      DELETE FROM public.ops_missions; DELETE FROM public.ops_mission_proposals; DELETE FROM public.ops_policy;
      INSERT INTO public.ops_policy SELECT * FROM public.first_policies;
      RESET ROLE;
      DELETE FROM ledger.events WHERE entry > (SELECT entry FROM public.first_entry);
      DELETE FROM ledger.checkpoints WHERE entry > (SELECT entry FROM public.first_entry);
      COMMIT
      """)
  }

  func set(clock micros: Int64) throws { try admin.set(clock: micros) }

  func ask(_ sql: String, _ values: String?...) throws -> [[String?]] {
    try admin.ask(sql, values)
  }

  /// Everything that is compared, a row a line: not versions, and no ids.
  func picture() throws -> [String] { try ask(Self.picture).compactMap { $0[0] } }

  private static let picture = """
    WITH p AS (SELECT p.id, p.template->>'title' AS mark FROM public.ops_mission_proposals AS p),
      m AS (SELECT m.id, p.mark FROM public.ops_missions AS m LEFT JOIN p ON p.id = m.proposal_id),
      s AS (SELECT s.id, s.mission_id, m.mark || '/' || s.ordinal AS mark
        FROM public.ops_mission_steps AS s LEFT JOIN m ON m.id = s.mission_id),
      lines (line) AS (
        SELECT 'proposal '::text || ((to_jsonb(o) - '{id,version,votes}'::text[]) || jsonb_build_object(
          'votes', (SELECT jsonb_object_agg(v.key, v.value - 'id') FROM jsonb_each(o.votes) AS v)))
        FROM public.ops_mission_proposals AS o
        UNION ALL
        SELECT 'mission '::text || ((to_jsonb(o) - '{id,version,proposal_id}'::text[])
          || jsonb_build_object('proposal', p.mark))
        FROM public.ops_missions AS o LEFT JOIN p ON p.id = o.proposal_id
        UNION ALL
        SELECT 'step '::text || ((to_jsonb(o) - '{id,version,mission_id}'::text[])
          || jsonb_build_object('step', s.mark))
        FROM public.ops_mission_steps AS o JOIN s USING (id)
        UNION ALL
        SELECT 'run '::text || ((to_jsonb(o) - '{id,run_id,version,step_id,meta}'::text[])
          || jsonb_build_object('step', s.mark, 'kind', o.meta->'kind',
            'retrying', o.meta->'retrying',
            'is_lease', coalesce(o.meta->>'class' = 'lease_expired', false)))
        FROM public.ops_action_runs AS o LEFT JOIN s ON s.id = o.step_id
        UNION ALL
        SELECT 'event '::text || ((to_jsonb(o) - '{id,version,mission_id,dedupe_key,data}'::text[]
            -- The origin's workers leave what they report to the heartbeat.
            - CASE WHEN o.type LIKE 'step:%' THEN 'processed_at' ELSE '' END)
          || jsonb_build_object('mission', m.mark, 'about', coalesce(s.mark, d.mark, p.mark),
            'key', split_part(o.dedupe_key, ':', 2),
            'data', o.data - '{step_id,mission_id,proposal_id}'::text[]))
        FROM public.ops_agent_events AS o LEFT JOIN m ON m.id = o.mission_id
          LEFT JOIN s ON s.id::text = o.data->>'step_id'
          LEFT JOIN m AS d ON d.id::text = o.data->>'mission_id'
          LEFT JOIN p ON p.id::text = o.data->>'proposal_id'
        UNION ALL
        SELECT 'policy '::text || (to_jsonb(o) - 'updated_at') FROM public.ops_policy AS o)
    SELECT line FROM lines ORDER BY line COLLATE "C"
    """
}

extension Connection {
  func set(clock micros: Int64) throws {
    _ = try ask(
      "SELECT set_config('test.now', $1::text, false)", [Instant(micros: micros).description])
  }

  /// Every value as text.
  func ask(_ sql: String, _ values: [String?] = []) throws -> [[String?]] {
    var parameters = Parameters()
    for value in values { parameters.text(value) }
    let rows = try query(Statement(sql), parameters)
    return try (0..<rows.count).map { row in
      try (0..<rows.columnCount).map { try rows.textIfPresent(row, $0) }
    }
  }
}
