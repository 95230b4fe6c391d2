-- Capture stages the manual changes of a transaction, and moves them into the log at commit.
--
-- The manual changes of a transaction are one entry. Each statement stages its events in ledger.pending. A deferred
-- trigger moves them at commit, and allocates the entry after the last row lock of the transaction. SET CONSTRAINTS can
-- cause an earlier move. After the move, the transaction may not write to the eight tables again: it could take another
-- row lock, and then the order of entries would differ from the order of the changes.
--
-- The setting opsledger.manual_change is `staged` or `moved`. The setting opsledger.entry (set by allocate_entry) says
-- where to look first for events of this transaction. Both only save look-ups. If a client forges them, its changes are
-- refused, or are recorded in one entry more.

-- Called before anything is staged. Returns a number; the rows that are staged later have greater ones.
CREATE OR REPLACE FUNCTION ledger.capture_begin() RETURNS bigint
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off AS $$
BEGIN
    IF current_setting('opsledger.manual_change', true) = 'moved' THEN
        RAISE EXCEPTION 'the changes of this transaction are in the log already, and it cannot change more rows'
            USING ERRCODE = 'object_not_in_prerequisite_state',
                HINT = 'Leave out SET CONSTRAINTS ALL IMMEDIATE, or make this change in another transaction.';
    END IF;
    IF NOT EXISTS (SELECT FROM ledger.pending AS p
                   WHERE p.tx = pg_current_xact_id() AND p.kind = 'manual_change') THEN
        -- If constraints were IMMEDIATE now, the move would come before anything is staged.
        SET CONSTRAINTS ledger.capture_move DEFERRED;
        INSERT INTO ledger.pending (tx, kind) VALUES (pg_current_xact_id(), 'manual_change');
    END IF;
    PERFORM set_config('opsledger.manual_change', 'staged', true);
    RETURN nextval('ledger.pending_seq_seq');
END
$$;

-- Called after a statement has staged its events. Checks that each is the next event of its stream.
CREATE OR REPLACE FUNCTION ledger.capture_check(relation text, since bigint, inserted boolean)
RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp SET row_security = off
SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off SET enable_hashjoin = off
SET enable_mergejoin = off SET plan_cache_mode = force_generic_plan AS $$
DECLARE
    wrong record;
BEGIN
    -- Readers of the log hold a whole event in memory. Its line of COPY has escapes, and must stay below 1 GB.
    SELECT p.stream, octet_length(p.data) + coalesce(octet_length(p.content), 0) AS size INTO wrong
    FROM ledger.pending AS p
    WHERE p.tx = pg_current_xact_id() AND p.seq > since
      AND octet_length(p.data) + coalesce(octet_length(p.content), 0) > 67108864
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'OPS_019: the change of row % of % takes % bytes as JSON; the limit is 67108864 (64 MiB)',
            wrong.stream, relation, wrong.size
            USING ERRCODE = 'program_limit_exceeded',
                HINT = 'Store large values somewhere else, and write a reference to them into the row.';
    END IF;
    IF inserted THEN
        PERFORM ledger.capture_check_inserted(relation, since);
    END IF;
    SELECT p.stream, p.version INTO wrong
    FROM ledger.pending AS p
    WHERE p.tx = pg_current_xact_id() AND p.seq > since
      AND (EXISTS (SELECT FROM ledger.events AS e
                   WHERE e.stream = p.stream AND e.version >= p.version)
           OR EXISTS (SELECT FROM ledger.kept_events AS e
                      WHERE e.stream = p.stream AND e.version >= p.version))
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'OPS_016: row % of % cannot get version %: its stream in the log has that version already',
            wrong.stream, relation, wrong.version
            USING ERRCODE = 'object_not_in_prerequisite_state',
                HINT = 'The row was changed without a record, or another row has this id. `opsledger verify` shows '
                    'the difference, and `opsledger rebuild` repairs the tables.';
    END IF;
END
$$;

-- Checks that a row which a manual change inserts continues its stream, and that no other row has its id.
CREATE OR REPLACE FUNCTION ledger.capture_check_inserted(relation text, since bigint) RETURNS void
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    wrong record;
BEGIN
    -- The snapshot of the transaction can hide a newer tombstone. A unique key finds it.
    IF current_setting('transaction_isolation') NOT IN ('read committed', 'read uncommitted') THEN
        INSERT INTO ledger.tombstones (stream, row_type, version)
        SELECT p.stream, 'none', 0 FROM ledger.pending AS p
        WHERE p.tx = pg_current_xact_id() AND p.seq > since
        ON CONFLICT DO NOTHING;
        DELETE FROM ledger.tombstones AS t USING ledger.pending AS p
        WHERE p.tx = pg_current_xact_id() AND p.seq > since
          AND t.stream = p.stream AND t.row_type = 'none';
    END IF;
    SELECT p.stream INTO wrong
    FROM ledger.pending AS p LEFT JOIN ledger.tombstones AS t ON t.stream = p.stream
    WHERE p.tx = pg_current_xact_id() AND p.seq > since
      AND p.version <> coalesce(t.version, 0) + 1
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'another command removed row % of % at the same time', wrong.stream, relation
            USING ERRCODE = 'serialization_failure',
                HINT = 'Try again. To delete a row and insert it again, use two statements.';
    END IF;
    SELECT p.stream, t.row_type INTO wrong
    FROM ledger.pending AS p JOIN ledger.tombstones AS t ON t.stream = p.stream
    WHERE p.tx = pg_current_xact_id() AND p.seq > since
      AND t.row_type NOT IN ('none', split_part(p.type, '.', 1))
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'the id % belongs to a removed row of another type: %', wrong.stream, wrong.row_type
            USING ERRCODE = 'unique_violation',
                HINT = 'An id names one row for ever: use a new id.';
    END IF;
    SELECT p.stream, o.relation INTO wrong
    FROM ledger.pending AS p CROSS JOIN LATERAL (
        SELECT 'ops_mission_proposals' AS relation
        FROM public.ops_mission_proposals AS r WHERE r.id = p.stream
        UNION ALL SELECT 'ops_missions' FROM public.ops_missions AS r WHERE r.id = p.stream
        UNION ALL SELECT 'ops_mission_steps' FROM public.ops_mission_steps AS r WHERE r.id = p.stream
        UNION ALL SELECT 'ops_agent_events' FROM public.ops_agent_events AS r WHERE r.id = p.stream
        UNION ALL SELECT 'ops_agent_reactions'
        FROM public.ops_agent_reactions AS r WHERE r.id = p.stream
        UNION ALL SELECT 'ops_action_runs' FROM public.ops_action_runs AS r WHERE r.id = p.stream
        UNION ALL SELECT 'ops_demand_radar' FROM public.ops_demand_radar AS r WHERE r.id = p.stream
        UNION ALL SELECT 'ops_policy' FROM public.ops_policy AS r
        WHERE substr(p.stream::text, 15, 1) = '5'
          AND ledger.uuid_v5('92b812ff-fcda-5ec4-a524-d529e92a7a52', 'policy:' || r.key) = p.stream
        UNION ALL SELECT 'ledger.ledger'
        WHERE p.stream = ledger.uuid_v5('92b812ff-fcda-5ec4-a524-d529e92a7a52', 'ledger:main')
        UNION ALL SELECT 'ledger.holds' FROM ledger.holds AS r WHERE r.id = p.stream
        -- Rows whose first events are archived.
        UNION ALL SELECT split_part(e.type, '.', 1) || ' (archived)'
        FROM ledger.kept_events AS e
        WHERE e.stream = p.stream AND split_part(e.type, '.', 1) <> split_part(p.type, '.', 1)
    ) AS o
    WHERE p.tx = pg_current_xact_id() AND p.seq > since
      AND o.relation <> capture_check_inserted.relation
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'the id % belongs to a row of %', wrong.stream, wrong.relation
            USING ERRCODE = 'unique_violation',
                HINT = 'An id names one row for ever: use a new id.';
    END IF;
END
$$;

-- Moves the staged events into the log, at commit or at SET CONSTRAINTS.
CREATE OR REPLACE FUNCTION ledger.capture_move() RETURNS trigger
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
SET row_security = off SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off AS $$
DECLARE
    own CONSTANT xid8 := pg_current_xact_id();
    allocated record;
BEGIN
    IF TG_RELID <> 'ledger.pending'::regclass THEN
        RAISE EXCEPTION 'ledger.capture_move is a trigger of ledger.pending only'
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    IF NEW.kind = 'repair' THEN
        PERFORM ledger.capture_check_repair(NEW.type IS NOT NULL);
        DELETE FROM ledger.pending AS p WHERE p.tx = own AND p.kind = 'repair';
        RETURN NULL;
    END IF;
    IF NOT EXISTS (SELECT FROM ledger.pending AS p WHERE p.tx = own AND p.kind = 'event') THEN
        PERFORM set_config('opsledger.manual_change', '', true);  -- No value was changed.
    ELSE
        PERFORM set_config('opsledger.manual_change', 'moved', true);
        -- The follow-ups come before allocate_entry(), because this INSERT may wait for a heartbeat.
        INSERT INTO ledger.follow_ups AS a (stream, row_type, mark, is_new, noted_at)
        SELECT n.stream, n.row_type, max(n.seq), bool_or(n.version = 1), ledger.now()
        FROM (
            SELECT p.stream, 'proposal' AS row_type, p.seq, p.version FROM ledger.pending AS p
            WHERE p.tx = own AND p.type IN ('proposal.amended', 'proposal.inserted')
            UNION ALL
            SELECT s.mission_id, 'mission', p.seq, p.version
            FROM ledger.pending AS p JOIN public.ops_mission_steps AS s ON s.id = p.stream
            WHERE p.tx = own AND p.type IN ('step.amended', 'step.inserted')
              AND strpos(p.data, '"status": ') > 0
        ) AS n
        GROUP BY n.stream, n.row_type ORDER BY n.stream
        ON CONFLICT (stream) DO UPDATE SET mark = EXCLUDED.mark,
            is_new = EXCLUDED.is_new, noted_at = EXCLUDED.noted_at;
        SELECT d.entry, d.recorded_at INTO allocated FROM ledger.allocate_entry() AS d;
        -- By version, because the statement of a trigger ends before the statement that fired the trigger.
        INSERT INTO ledger.events (entry, index, stream, version, type, recorded_at, actor, data,
            content, salt)
        SELECT allocated.entry, row_number() OVER (ORDER BY p.version, p.seq) - 1, p.stream, p.version,
            p.type, allocated.recorded_at, 'psql/' || session_user, p.data::json, p.content::json,
            -- 16 random bytes. A single UUID has six bits that are not random.
            CASE WHEN p.content IS NOT NULL THEN substring(sha256(
                uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid())) FROM 1 FOR 16) END
        FROM ledger.pending AS p
        WHERE p.tx = own AND p.kind = 'event'
        ORDER BY p.version, p.seq;
    END IF;
    DELETE FROM ledger.pending AS p WHERE p.tx = own AND p.kind <> 'repair';
    RETURN NULL;
END
$$;

-- Whether capture checks a statement: it skips the repair role, which changes no history. capture_note_repair makes
-- sure that the transaction records the repair before its end (capture_check_repair).
--
-- Used by  the WHEN of the statement triggers. It runs as the caller, so each name has its schema.
CREATE OR REPLACE FUNCTION ledger.capture_is_on() RETURNS boolean
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    IF current_user OPERATOR(pg_catalog.<>) 'opsledger_repair' THEN
        RETURN true;
    END IF;
    PERFORM ledger.capture_note_repair();
    RETURN false;
END
$$;

-- The same for inserts into ops_agent_events. It also skips ledger.append_agent_event, which writes the row together
-- with its event, but not the statements of triggers that this INSERT fires.
CREATE OR REPLACE FUNCTION ledger.capture_checks_reports() RETURNS boolean
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    IF current_user OPERATOR(pg_catalog.=) 'opsledger_writer'
        AND pg_catalog.pg_trigger_depth() OPERATOR(pg_catalog.=) 0 THEN
        RETURN false;
    END IF;
    RETURN ledger.capture_is_on();
END
$$;

-- Whether capture must give an inserted row its version: the row comes neither from the engine nor from the repair
-- role.
--
-- Used by  the WHEN of the row triggers, as the caller. For rows of the engine the first IF decides.
CREATE OR REPLACE FUNCTION ledger.capture_numbers(version integer) RETURNS boolean
LANGUAGE plpgsql STABLE AS $$
BEGIN
    IF version OPERATOR(pg_catalog.>) 0
        AND pg_catalog.current_setting('opsledger.entry', true) OPERATOR(pg_catalog.<>) '' THEN
        RETURN false;
    END IF;
    RETURN current_user OPERATOR(pg_catalog.<>) 'opsledger_repair';
END
$$;

CREATE OR REPLACE FUNCTION ledger.capture_note_repair() RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM ledger.pending AS p
                   WHERE p.tx = pg_current_xact_id() AND p.kind = 'repair') THEN
        INSERT INTO ledger.pending (tx, kind) VALUES (pg_current_xact_id(), 'repair');
    END IF;
END
$$;

CREATE OR REPLACE FUNCTION ledger.capture_check_repair(was_lifted boolean) RETURNS void
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    IF was_lifted AND (
        SELECT count(*) FROM pg_trigger AS t
        WHERE t.tgname IN ('capture_insert', 'capture_insert_row') AND t.tgenabled = 'A'
          AND t.tgrelid IN (SELECT to_regclass('public.' || c.relation) FROM ledger.captured_columns() AS c)
    ) <> 2 * (SELECT count(DISTINCT c.relation) FROM ledger.captured_columns() AS c)
    THEN
        RAISE EXCEPTION 'this transaction removed the triggers of capture, and did not put them back'
            USING ERRCODE = 'insufficient_privilege', HINT = 'Only `opsledger rebuild` may remove them.';
    END IF;
    IF NOT EXISTS (
        SELECT FROM ledger.events AS e
        WHERE e.stream = ledger.uuid_v5('92b812ff-fcda-5ec4-a524-d529e92a7a52', 'ledger:main')
          AND e.type IN ('ledger.rebuilt', 'ledger.restored', 'ledger.moved')
          AND e.entry > ledger.sealed() AND e.xmin = pg_current_xact_id()::xid)
    THEN
        RAISE EXCEPTION 'role opsledger_repair wrote rows, but this transaction does not record a repair'
            USING ERRCODE = 'insufficient_privilege',
                HINT = 'Only `opsledger rebuild` and `opsledger restore` may write as this role.';
    END IF;
END
$$;

-- The version of a row's next change. The last version is 2,000,000,000, as in the engine.
CREATE OR REPLACE FUNCTION ledger.capture_next_version(relation text, id text, version integer) RETURNS integer
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF version >= 2000000000 THEN
        RAISE EXCEPTION 'OPS_016: row % of % has version %; the last version is 2000000000', id, relation, version
            USING ERRCODE = 'object_not_in_prerequisite_state',
                HINT = '`opsledger verify` shows the version in the log, and `opsledger rebuild` repairs the tables.';
    END IF;
    RETURN version + 1;
END
$$;

-- Refuses a manual change of the version to a value other than the next one.
CREATE OR REPLACE FUNCTION ledger.capture_refuse_version(relation text, id text, version integer)
RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'OPS_016: a manual change cannot set row % of % to version %', id, relation, version
        USING ERRCODE = 'object_not_in_prerequisite_state',
            HINT = 'Do not change the version, or raise it by one.';
END
$$;

CREATE OR REPLACE FUNCTION ledger.capture_refuse_key_change(relation text, before text, after text) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the key of a row of % cannot change from % to %', relation, before, after
        USING ERRCODE = 'object_not_in_prerequisite_state',
            HINT = 'Insert a row with the new key, and delete this one.';
END
$$;

-- Refuses a dedupe key that an archived row has.
CREATE OR REPLACE FUNCTION ledger.capture_refuse_key(row_type text, stream uuid, dedupe_key text) RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp SET enable_seqscan = off
SET enable_bitmapscan = off AS $$
DECLARE
    holder uuid;
BEGIN
    IF dedupe_key IS NULL THEN
        RETURN;
    END IF;
    SELECT t.stream INTO holder FROM ledger.tombstones AS t
    WHERE t.row_type = capture_refuse_key.row_type AND t.dedupe_key = capture_refuse_key.dedupe_key
      AND t.stream <> capture_refuse_key.stream
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'the dedupe key % belongs to the archived % %', dedupe_key, row_type, holder
            USING ERRCODE = 'unique_violation',
                HINT = 'Use another key, or bring that row back with `opsledger archive restore`.';
    END IF;
END
$$;
