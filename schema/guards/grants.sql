-- Who owns what, and who may do what. Nothing is granted elsewhere, except on partitions (ledger.add_partitions).
--
--                        the eight tables   log  commands  checkpoints  tombstones  ledger.ledger, holds
--   opsledger_engine     read, write        RI   RI        R            R           read, write
--   opsledger_repair     read, write        RI   RI        R            R           read, write
--   opsledger_operator   read, write        R    R         R            R           R
--   opsledger_auditor    read               R    R         R            R           R
--   opsledger_tables     own                -    -         -            -           -
--   opsledger_owner      own (by tables)    RI   owns      RI           owns        owns
--   R SELECT, I INSERT; write: INSERT, UPDATE, DELETE. Nobody may change or empty the log.
--
-- Engine, repair role and owner are members of opsledger_tables, so row-level policies hide nothing from them.

-- opsledger_owner owns what is in schema ledger. The exceptions, which the installing superuser owns, are the tables of
-- permits, and the functions that do what no role may: they change the log or its checkpoints, or permit it.
DO $$
DECLARE
    owned record;
BEGIN
    FOR owned IN
        SELECT 'FUNCTION' AS kind, p.oid::regprocedure::text AS name FROM pg_proc AS p
        WHERE p.pronamespace = 'ledger'::regnamespace AND p.proowner <> 'opsledger_owner'::regrole
            AND p.proname <> ALL ('{append_agent_event,add_partitions,have_partitions,partition_name,drop_partition,
                erase_content,forget_statistics,repair_guarded,recount_seals,take_seals_off,adopt_instance,skip_numbers,
                refuse_change}')
        UNION ALL
        SELECT 'TABLE', c.oid::regclass::text FROM pg_class AS c
        WHERE c.relnamespace = 'ledger'::regnamespace AND c.relowner <> 'opsledger_owner'::regrole
            AND c.relkind IN ('r', 'p', 'v', 'S')
            AND c.relname NOT IN ('ddl_permits', 'erasure_permits', 'pending_seq_seq')  -- the last goes with its table
    LOOP
        EXECUTE format('ALTER %s %s OWNER TO opsledger_owner', owned.kind, owned.name);
    END LOOP;
END $$;

GRANT USAGE ON SCHEMA ledger TO opsledger_tables, opsledger_engine, opsledger_operator, opsledger_auditor,
    opsledger_repair, opsledger_writer, service_role;
GRANT USAGE ON SCHEMA ledger_guard TO opsledger_engine, opsledger_operator, opsledger_auditor, opsledger_repair;
GRANT USAGE, CREATE ON SCHEMA public TO opsledger_tables;
GRANT USAGE ON SCHEMA public TO opsledger_operator, opsledger_auditor;

-- The eight tables, and the views of them.
GRANT SELECT ON public.ops_policy, public.ops_mission_proposals, public.ops_missions,
    public.ops_mission_steps, public.ops_agent_events, public.ops_agent_reactions,
    public.ops_action_runs, public.ops_demand_radar,
    public.ops_proposal_votes, public.ops_policy_history, public.ops_policy_audit,
    public.ops_step_dead_letters, public.ops_radar
    TO opsledger_engine, opsledger_operator, opsledger_auditor, opsledger_repair;
GRANT SELECT ON public.ops_policy_history, public.ops_policy_audit TO opsledger_tables;
GRANT INSERT, UPDATE, DELETE ON public.ops_policy, public.ops_mission_proposals, public.ops_missions,
    public.ops_mission_steps, public.ops_agent_events, public.ops_agent_reactions,
    public.ops_action_runs, public.ops_demand_radar, public.ops_radar, public.ops_proposal_votes
    TO opsledger_engine, opsledger_operator, opsledger_repair;
-- The runbook's trigger inserts into this view as the role that changes a policy, and the insert does nothing. PUBLIC
-- may not insert: that right would allow a LOCK of every table that the view reads, with the view owner's rights.
GRANT INSERT ON public.ops_policy_audit
    TO opsledger_engine, opsledger_operator, opsledger_repair, opsledger_tables;
REVOKE ALL ON public.ops_policy_audit FROM PUBLIC;

-- Schema ledger. The owner keeps only what INSERT and SELECT need.
REVOKE UPDATE, DELETE, TRUNCATE, REFERENCES, TRIGGER
    ON ledger.events, ledger.checkpoints, ledger.archived_partitions, ledger.kept_events
    FROM opsledger_owner;
-- Nobody may set the sequence back; allocate_entry() needs only USAGE.
REVOKE UPDATE ON SEQUENCE ledger.entry_sequence FROM opsledger_owner;
GRANT SELECT ON ledger.events, ledger.idempotency_keys, ledger.checkpoints, ledger.tombstones,
    ledger.ledger, ledger.holds, ledger.migrations, ledger.policy_changes, ledger.entry_sequence,
    ledger.instance_mark, ledger.pending_seq_seq, ledger.workers, ledger.quarantine, ledger.archived_partitions,
    ledger.kept_events, ledger.events_in_database, ledger.erasures, ledger.retention_runs, ledger.task_leases,
    ledger.rechecks, ledger.ddl_permits, ledger_guard.definitions
    TO opsledger_engine, opsledger_operator, opsledger_auditor, opsledger_repair;
-- Everything, sequences too, so that an auditor can take a dump.
GRANT SELECT ON ALL TABLES IN SCHEMA ledger TO opsledger_auditor;
GRANT SELECT ON ALL SEQUENCES IN SCHEMA ledger TO opsledger_auditor;
GRANT SELECT, DELETE ON ledger.follow_ups TO opsledger_engine;
GRANT INSERT ON ledger.events, ledger.idempotency_keys TO opsledger_engine, opsledger_repair;
GRANT INSERT, UPDATE, DELETE ON ledger.ledger, ledger.holds TO opsledger_engine, opsledger_repair;
GRANT INSERT, UPDATE, DELETE ON ledger.workers, ledger.quarantine TO opsledger_engine;
GRANT INSERT, UPDATE ON ledger.retention_runs, ledger.rechecks TO opsledger_engine;
GRANT INSERT ON ledger.events, public.ops_agent_events TO opsledger_writer;

-- Functions: those that read, those that record, those that repair.
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA ledger, ledger_guard FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ledger.now(), ledger.sealed(), ledger.appends_in_flight(), ledger.uuid_v5(uuid, text),
    ledger.sha1(bytea), ledger.capture_unwrap(json)
    TO opsledger_engine, opsledger_repair, opsledger_operator, opsledger_auditor, opsledger_tables;
GRANT EXECUTE ON FUNCTION ledger.captured_columns(), ledger.confirmed_erasures(), ledger.confirmed_archived_partitions(),
    ledger.current_mark(), ledger.place(), ledger.has_history(),
    ledger.task_lease_duration(), ledger.is_running(ledger.task_leases), ledger.task_lease_text(ledger.task_leases)
    TO opsledger_engine, opsledger_repair, opsledger_operator, opsledger_auditor;
GRANT EXECUTE ON FUNCTION ledger.condition_holds(jsonb, text), ledger.copies_of(uuid[], uuid[]),
    ledger.open_times(uuid[]), ledger.said_by(text), ledger_guard.table_faults()
    TO opsledger_engine, opsledger_operator, opsledger_auditor;
GRANT EXECUTE ON FUNCTION ledger.allocate_entry(), ledger.seal(), ledger.add_partitions(), ledger.expect_rows(bigint, integer),
    ledger.mark_stale(), ledger.record_root(bigint, bigint, bytea, bytea, boolean), ledger.server_run(), ledger.pushed_since_start(),
    ledger.renew_task(text, uuid) TO opsledger_engine, opsledger_repair;
GRANT EXECUTE ON FUNCTION ledger.lease_task(text, uuid, text, integer, text, integer), ledger.end_task(text, uuid),
    ledger.append_agent_event(uuid, text, uuid, integer, bigint, json, json, bytea, text, text, jsonb, uuid, timestamptz,
        timestamptz, text) TO opsledger_engine;
GRANT EXECUTE ON FUNCTION ledger.allocate_entry() TO opsledger_writer;
GRANT EXECUTE ON FUNCTION ledger.adopt_instance(bigint), ledger.skip_numbers(bigint), ledger.take_seals_off(bigint),
    ledger.recount_seals(bigint[], bigint[]), ledger.have_partitions(bigint[]),
    ledger.drop_partition(bigint, text, bigint, bytea, text), ledger.erase_content(uuid[], uuid[]),
    ledger.forget_statistics(),
    ledger.make_bookkeeping(bigint, bigint), ledger.repair_bookkeeping(uuid[], uuid[], uuid[], json, json, json),
    ledger.repair_guarded(text[], json, bigint[], bigint[], bytea[], bytea[]),
    ledger_guard.lift_capture(), ledger_guard.restore_capture(), ledger.capture_note_repair()
    TO opsledger_repair;
-- The triggers of the eight tables call these as the role that writes there.
GRANT EXECUTE ON FUNCTION ledger.capture_is_on(), ledger.capture_checks_reports(),
    ledger.capture_numbers(integer) TO PUBLIC;

-- The predecessor's functions, and the functions that they call. They run with the caller's rights.
DO $$
DECLARE
    granted regprocedure;
BEGIN
    FOR granted IN
        SELECT p.oid FROM pg_proc AS p
        WHERE p.proowner = 'opsledger_owner'::regrole AND (
            p.pronamespace = 'public'::regnamespace AND p.proname LIKE 'ops\_%'
            OR p.pronamespace = 'ledger'::regnamespace AND p.proname IN (
                'now', 'check_vote', 'check_voter', 'count_votes', 'executors', 'fail_attempt', 'fail_mission',
                'gate', 'halted', 'is_of_a_row', 'json_whole', 'next_follower', 'next_step', 'auto_approval_refusal',
                'policy_fault', 'policy_field_fits', 'recover_steps', 'refuse_template', 'report_outcome',
                'require_read_committed', 'step_fault', 'submit', 'template_fault', 'template_steps',
                'texts_of', 'time_text', 'vote_rules', 'voters', 'worker_rules'))
    LOOP
        EXECUTE format('REVOKE ALL ON FUNCTION %s FROM PUBLIC', granted);
        EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO opsledger_operator, opsledger_engine, opsledger_tables, '
            'service_role', granted);
    END LOOP;
END $$;
