-- ledger_guard.table_faults: faults of the eight tables that could let a change pass capture, or be recorded wrongly.
--
-- Returns  one row for each fault, with the table and a sentence.
-- Used by  guard_tables, after DDL; doctor, also if the event triggers are missing.
CREATE OR REPLACE FUNCTION ledger_guard.table_faults() RETURNS TABLE (relation text, fault text)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    WITH eight AS MATERIALIZED (
        SELECT c.relation, to_regclass('public.' || c.relation) AS oid
        FROM ledger.captured_columns() AS c GROUP BY c.relation
    )
    SELECT e.relation, f.fault
    FROM eight AS e CROSS JOIN LATERAL (
        SELECT 'the table is missing' AS fault WHERE e.oid IS NULL
        UNION ALL
        SELECT 'the table is unlogged, or is not an ordinary table' FROM pg_class AS r
        WHERE r.oid = e.oid AND (r.relkind <> 'r' OR r.relpersistence <> 'p')
        UNION ALL
        SELECT format('its owner is %s, not opsledger_tables', r.relowner::regrole) FROM pg_class AS r
        WHERE r.oid = e.oid AND r.relowner IS DISTINCT FROM to_regrole('opsledger_tables')
        UNION ALL
        SELECT format('primary key %s_pkey is missing: two rows could have the same stream', e.relation)
        WHERE NOT EXISTS (SELECT FROM pg_constraint AS k
            WHERE k.conrelid = e.oid AND k.contype = 'p' AND k.conname = e.relation || '_pkey')
        UNION ALL
        SELECT format('column %s is no longer NOT NULL: opsledger cannot read a NULL there', a.attname)
        FROM pg_attribute AS a JOIN ledger_guard.definitions AS d
            ON d.object = 'table public.' || e.relation AND d.fact = 'NOT NULL of ' || a.attname
        WHERE a.attrelid = e.oid AND NOT a.attisdropped AND NOT a.attnotnull AND d.value = 'true'
        UNION ALL
        SELECT format('column %s is missing, or is no longer %s', c.name, c.type)
        FROM ledger.captured_columns() AS c
        WHERE c.relation = e.relation AND NOT EXISTS (
            SELECT FROM pg_attribute AS a
            WHERE a.attrelid = e.oid AND a.attname = c.name AND NOT a.attisdropped
              AND a.atttypmod = -1 AND a.attgenerated = ''
              AND a.atttypid = to_regtype(
                CASE WHEN starts_with(c.type, 'ops_') THEN 'public.' ELSE '' END || c.type))
        UNION ALL
        SELECT format('trigger %s is missing, switched off, or calls another function', n.name)
        FROM unnest(ARRAY['capture_insert_row', 'capture_update_row', 'capture_insert',
            'capture_update', 'capture_delete', 'capture_truncate']) AS n (name)
        WHERE NOT EXISTS (
            SELECT FROM pg_trigger AS t
            WHERE t.tgrelid = e.oid AND t.tgname = n.name AND t.tgenabled = 'A'
              AND t.tgfoid = to_regproc('ledger.' || n.name || '_' || e.relation)::oid)
        UNION ALL
        SELECT format('BEFORE trigger %I does not belong to opsledger: it could change a row that opsledger writes',
            t.tgname)
        FROM pg_trigger AS t JOIN pg_proc AS p ON p.oid = t.tgfoid
        WHERE t.tgrelid = e.oid AND NOT t.tgisinternal AND t.tgtype::integer & 2 = 2
          AND p.pronamespace <> 'ledger'::regnamespace
        UNION ALL
        SELECT format('rule %I could change what a statement writes', r.rulename)
        FROM pg_rewrite AS r WHERE r.ev_class = e.oid
        UNION ALL
        SELECT CASE e.oid WHEN i.inhparent
            THEN format('%s inherits from it: the table would show rows that have no events', i.inhrelid::regclass)
            ELSE format('it inherits from %s: that table would show and change its rows', i.inhparent::regclass) END
        FROM pg_inherits AS i WHERE e.oid IN (i.inhparent, i.inhrelid)
    ) AS f
    UNION ALL
    SELECT k.relation, format('constraint %s is missing: rows could have values that opsledger cannot read', k.name)
    FROM (VALUES ('ops_mission_proposals', 'ops_mission_proposals_source_check'),
        ('ops_agent_reactions', 'ops_agent_reactions_status_check'),
        ('ops_demand_radar', 'ops_demand_radar_stage_check')) AS k (relation, name)
    WHERE NOT EXISTS (SELECT FROM pg_constraint AS c
        WHERE c.conrelid = to_regclass('public.' || k.relation) AND c.conname = k.name
          AND c.contype = 'c' AND c.convalidated)
    UNION ALL
    SELECT l.type, 'its labels differ from those that opsledger knows'
    FROM (VALUES ('ops_proposal_status', 'pending approved rejected auto_approved voting'),
        ('ops_mission_status', 'approved running succeeded failed'),
        ('ops_step_status', 'queued running succeeded failed'),
        ('ops_action_run_status', 'started succeeded failed')) AS l (type, labels)
    WHERE (SELECT string_agg(n.enumlabel, ' ' ORDER BY n.enumsortorder) FROM pg_enum AS n
        WHERE n.enumtypid = to_regtype('public.' || l.type)) IS DISTINCT FROM l.labels
$$;
