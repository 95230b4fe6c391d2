-- ledger.captured_columns: the columns of the eight tables that capture records. The first of each table is its key.
--
-- Returns  table, row type, column, type, and the part of a payload that holds the column: data, content or mixed. The
--          order is that of the Swift row types (Row.columns); a test compares the two.
-- Used by  capture_tables.sql, which makes the capture functions from it; the guards of the eight tables; doctor.
CREATE OR REPLACE FUNCTION ledger.captured_columns()
RETURNS TABLE (relation text, row_type text, name text, type text, part text)
LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
    SELECT t.relation, t.row_type, split_part(c, ' ', 1), split_part(c, ' ', 2),
        coalesce(nullif(split_part(c, ' ', 3), ''), 'data')
    FROM (VALUES
        ('ops_policy', 'policy', 'key text|value jsonb|version integer|updated_at timestamptz'),
        ('ops_mission_proposals', 'proposal',
            'id uuid|dedupe_key text|source text|status ops_proposal_status|'
            'template jsonb content|reason text content|policy_snapshot jsonb|'
            'approved_at timestamptz|created_at timestamptz|votes jsonb mixed|version integer'),
        ('ops_missions', 'mission',
            'id uuid|proposal_id uuid|status ops_mission_status|policy_snapshot jsonb|'
            'started_at timestamptz|completed_at timestamptz|created_at timestamptz|'
            'updated_at timestamptz|version integer'),
        ('ops_mission_steps', 'step',
            'id uuid|mission_id uuid|kind text|params jsonb content|status ops_step_status|'
            'executor text|reserved_at timestamptz|lease_expires_at timestamptz|'
            'failure_count integer|max_retries integer|last_error text content|'
            'result jsonb content|created_at timestamptz|updated_at timestamptz|version integer|'
            'ordinal integer|needs integer[]|not_before timestamptz|leased_by text'),
        ('ops_agent_events', 'agent_event',
            'id uuid|dedupe_key text|type text|data jsonb content|mission_id uuid|'
            'processed_at timestamptz|created_at timestamptz|thought text content|version integer'),
        ('ops_agent_reactions', 'reaction',
            'id uuid|event_id uuid|status text|payload jsonb mixed|created_at timestamptz|'
            'updated_at timestamptz|version integer'),
        ('ops_action_runs', 'run',
            'id uuid|run_id text|step_id uuid|executor text|status ops_action_run_status|'
            'started_at timestamptz|completed_at timestamptz|meta jsonb mixed|error text content|'
            'version integer'),
        ('ops_demand_radar', 'radar',
            'id uuid|title text content|description text content|stage text|notes text content|'
            'created_at timestamptz|updated_at timestamptz|version integer')
    ) AS t (relation, row_type, columns)
    CROSS JOIN LATERAL string_to_table(t.columns, '|') AS c
$$;
