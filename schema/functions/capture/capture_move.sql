-- What capture has staged, and its move into the log.
--
-- A transaction's hands are one entry: staged in ledger.pending statement by statement, moved at commit by
-- a deferred trigger, drawn after the transaction's last row lock. After the move, also an early one by
-- SET CONSTRAINTS, it may not write to the eight again: its entry is numbered, and another row lock taken
-- later could turn the order of entries around.
--
-- The setting opsledger.manual_change says `staged` or `moved`, and opsledger.entry (set by draw) where to look for
-- this transaction's own events first. Both only save look-ups: whoever forges them is recorded all
-- the same, in one entry more, or refused.
--
-- Used by  the statement triggers of the eight; ledger.pending.

-- Before anything is staged. Returns a number that the rows staged from now on exceed.
CREATE OR REPLACE FUNCTION ledger.capture_begin() RETURNS bigint
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off AS $$
BEGIN
    IF current_setting('opsledger.manual_change', true) = 'moved' THEN
        RAISE EXCEPTION 'this transaction''s changes are in the log already: it may not write here again'
            USING ERRCODE = 'object_not_in_prerequisite_state',
                HINT = 'Without SET CONSTRAINTS ALL IMMEDIATE, or in a transaction of its own.';
    END IF;
    IF NOT EXISTS (SELECT FROM ledger.pending AS p
                   WHERE p.tx = pg_current_xact_id() AND p.kind = 'manual_change') THEN
        -- Were constraints IMMEDIATE now, the move would come before there is anything to move.
        SET CONSTRAINTS ledger.capture_move DEFERRED;
        INSERT INTO ledger.pending (tx, kind) VALUES (pg_current_xact_id(), 'manual_change');
    END IF;
    PERFORM set_config('opsledger.manual_change', 'staged', true);
    RETURN nextval('ledger.pending_seq_seq');
END
$$;

-- After a statement staged its rows: whether the log agrees that each is the next of its stream.
CREATE OR REPLACE FUNCTION ledger.capture_check(relation text, since bigint, inserted boolean)
RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp SET row_security = off
SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off SET enable_hashjoin = off
SET enable_mergejoin = off SET plan_cache_mode = force_generic_plan AS $$
DECLARE
    wrong record;
BEGIN
    -- Everybody who reads the log must hold an event in memory, and its line of COPY, which escapes, may not
    -- be as long as 1 GB.
    SELECT p.stream, octet_length(p.data) + coalesce(octet_length(p.content), 0) AS size INTO wrong
    FROM ledger.pending AS p
    WHERE p.tx = pg_current_xact_id() AND p.seq > since
      AND octet_length(p.data) + coalesce(octet_length(p.content), 0) > 67108864
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'OPS_019: the change of row % of % takes % bytes as JSON, and a change takes at most '
            '67108864 (64 MiB)', wrong.stream, relation, wrong.size
            USING ERRCODE = 'program_limit_exceeded',
                HINT = 'Keep large values elsewhere, and record where.';
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
        RAISE EXCEPTION 'OPS_016: row % of % is behind its history, which has version % already',
            wrong.stream, relation, wrong.version
            USING ERRCODE = 'object_not_in_prerequisite_state',
                HINT = 'The row was changed off the record, or its id belongs to another row: see '
                    '`opsledger verify`; `opsledger rebuild` mends the tables.';
    END IF;
END
$$;

-- Rows put in by hand go on from where their stream stood, and no other row has their id.
CREATE OR REPLACE FUNCTION ledger.capture_check_inserted(relation text, since bigint) RETURNS void
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    wrong record;
BEGIN
    -- A snapshot can hide a tombstone that is newer; a unique key sees it.
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
        RAISE EXCEPTION 'row % of % was removed meanwhile', wrong.stream, relation
            USING ERRCODE = 'serialization_failure',
                HINT = 'Try again; what one statement deletes and puts in again takes two.';
    END IF;
    SELECT p.stream, t.row_type INTO wrong
    FROM ledger.pending AS p JOIN ledger.tombstones AS t ON t.stream = p.stream
    WHERE p.tx = pg_current_xact_id() AND p.seq > since
      AND t.row_type NOT IN ('none', split_part(p.type, '.', 1))
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'the id % belonged to a % that was removed', wrong.stream, wrong.row_type
            USING ERRCODE = 'unique_violation',
                HINT = 'The ledger keeps one history for each id: take a new one.';
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
        -- Whose beginning has left the log.
        UNION ALL SELECT split_part(e.type, '.', 1) || ' events that have left the database'
        FROM ledger.kept_events AS e
        WHERE e.stream = p.stream AND split_part(e.type, '.', 1) <> split_part(p.type, '.', 1)
    ) AS o
    WHERE p.tx = pg_current_xact_id() AND p.seq > since
      AND o.relation <> capture_check_inserted.relation
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'the id % belongs to a row of % already', wrong.stream, wrong.relation
            USING ERRCODE = 'unique_violation',
                HINT = 'The ledger keeps one history for each id: take a new one.';
    END IF;
END
$$;

-- The move: at commit, or earlier by SET CONSTRAINTS.
CREATE OR REPLACE FUNCTION ledger.capture_move() RETURNS trigger
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
SET row_security = off SET enable_seqscan = off SET enable_bitmapscan = off SET jit = off AS $$
DECLARE
    own CONSTANT xid8 := pg_current_xact_id();
    allocated record;
BEGIN
    IF TG_RELID <> 'ledger.pending'::regclass THEN
        RAISE EXCEPTION 'ledger.capture_move is for ledger.pending' USING ERRCODE = 'insufficient_privilege';
    END IF;
    IF NEW.kind = 'repair' THEN
        PERFORM ledger.capture_check_repair(NEW.type IS NOT NULL);
        DELETE FROM ledger.pending AS p WHERE p.tx = own AND p.kind = 'repair';
        RETURN NULL;
    END IF;
    IF NOT EXISTS (SELECT FROM ledger.pending AS p WHERE p.tx = own AND p.kind = 'event') THEN
        PERFORM set_config('opsledger.manual_change', '', true);  -- Nothing had changed.
    ELSE
        PERFORM set_config('opsledger.manual_change', 'moved', true);
        -- For the loop to go on from; before the draw, since it may wait for a heartbeat.
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
        -- By version, since a trigger's statement ends before the one that it is part of.
        INSERT INTO ledger.events (entry, index, stream, version, type, recorded_at, actor, data,
            content, salt)
        SELECT allocated.entry, row_number() OVER (ORDER BY p.version, p.seq) - 1, p.stream, p.version,
            p.type, allocated.recorded_at, 'psql/' || session_user, p.data::json, p.content::json,
            -- Sixteen random bytes; a random UUID alone has six bits that are not.
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

-- Whether a statement is looked at: the keeper's repairs are not. They change no history, and note that they
-- were there: the transaction must have said so by its end (capture_check_repair).
--
-- Used by  the WHEN of the statement triggers, as the caller; each name has its schema.
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

-- The same of what is put into ops_agent_events: ledger.append_agent_event has put its event in as well. What else
-- happens within that, in a trigger of somebody's, is looked at.
CREATE OR REPLACE FUNCTION ledger.capture_checks_reports() RETURNS boolean
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    IF current_user OPERATOR(pg_catalog.=) 'opsledger_writer'
        AND pg_catalog.pg_trigger_depth() OPERATOR(pg_catalog.=) 0 THEN
        RETURN false;
    ELSIF current_user OPERATOR(pg_catalog.<>) 'opsledger_repair' THEN
        RETURN true;
    END IF;
    PERFORM ledger.capture_note_repair();
    RETURN false;
END
$$;

-- Whether a row that is put in needs a version: one by hand, and not by the keeper.
--
-- Used by  the WHEN of the row triggers, as the caller. The engine's rows end at the first question.
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
        RAISE EXCEPTION 'the repair role''s transaction lifted capture, and has not restored it'
            USING ERRCODE = 'insufficient_privilege', HINT = 'Only `opsledger rebuild` lifts it.';
    END IF;
    IF NOT EXISTS (
        SELECT FROM ledger.events AS e
        WHERE e.stream = ledger.uuid_v5('92b812ff-fcda-5ec4-a524-d529e92a7a52', 'ledger:main')
          AND e.type IN ('ledger.rebuilt', 'ledger.restored', 'ledger.moved')
          AND e.entry > ledger.sealed() AND e.xmin = pg_current_xact_id()::xid)
    THEN
        RAISE EXCEPTION 'the repair role wrote rows, and its transaction records no repair'
            USING ERRCODE = 'insufficient_privilege',
                HINT = 'Only `opsledger rebuild` and `opsledger restore` write as the repair role.';
    END IF;
END
$$;

-- The version of a row's next change. They end at two thousand million, where the engine's rows do too.
CREATE OR REPLACE FUNCTION ledger.capture_next_version(relation text, id text, version integer) RETURNS integer
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF version >= 2000000000 THEN
        RAISE EXCEPTION 'OPS_016: row % of % has version %, and versions end at 2000000000', id, relation, version
            USING ERRCODE = 'object_not_in_prerequisite_state',
                HINT = 'No history leads there: see `opsledger verify`; `opsledger rebuild` mends the tables.';
    END IF;
    RETURN version + 1;
END
$$;

-- A hand's version that leads nowhere: not the next, not the same.
CREATE OR REPLACE FUNCTION ledger.capture_refuse_version(relation text, id text, version integer)
RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'OPS_016: row % of % cannot go to version % by hand', id, relation, version
        USING ERRCODE = 'object_not_in_prerequisite_state',
            HINT = 'Leave the version alone, or raise it by one.';
END
$$;

CREATE OR REPLACE FUNCTION ledger.capture_refuse_key_change(relation text, before text, after text) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the key of a row of % stays: % cannot become %', relation, before, after
        USING ERRCODE = 'object_not_in_prerequisite_state',
            HINT = 'Insert a row with the new key, and delete this one.';
END
$$;

-- A dedupe key that a row took along into the archive is as taken as one in the table.
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
        RAISE EXCEPTION 'the dedupe key % belongs to % %, which is archived', dedupe_key, row_type, holder
            USING ERRCODE = 'unique_violation', HINT = 'See `opsledger archive restore`.';
    END IF;
END
$$;

ALTER FUNCTION ledger.capture_begin() OWNER TO opsledger_owner;
ALTER FUNCTION ledger.capture_check(text, bigint, boolean) OWNER TO opsledger_owner;
ALTER FUNCTION ledger.capture_check_inserted(text, bigint) OWNER TO opsledger_owner;
ALTER FUNCTION ledger.capture_move() OWNER TO opsledger_owner;
ALTER FUNCTION ledger.capture_is_on() OWNER TO opsledger_owner;
ALTER FUNCTION ledger.capture_checks_reports() OWNER TO opsledger_owner;
ALTER FUNCTION ledger.capture_numbers(integer) OWNER TO opsledger_owner;
ALTER FUNCTION ledger.capture_note_repair() OWNER TO opsledger_owner;
ALTER FUNCTION ledger.capture_check_repair(boolean) OWNER TO opsledger_owner;
ALTER FUNCTION ledger.capture_next_version(text, text, integer) OWNER TO opsledger_owner;
ALTER FUNCTION ledger.capture_refuse_version(text, text, integer) OWNER TO opsledger_owner;
ALTER FUNCTION ledger.capture_refuse_key_change(text, text, text) OWNER TO opsledger_owner;
ALTER FUNCTION ledger.capture_refuse_key(text, uuid, text) OWNER TO opsledger_owner;
