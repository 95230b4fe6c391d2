-- Who may do what. Nothing is granted elsewhere, but for the partitions (ledger.add_partitions).
--
--                        the eight tables   log  commands  checkpoints  tombstones  ledger.ledger, holds
--   opsledger_engine     read, write        RI   RI        R            R           read, write
--   opsledger_keeper     read, write        RI   RI        R            R           read, write
--   opsledger_operator   read, write        R    R         R            R           R
--   opsledger_auditor    read               R    R         R            R           R
--   opsledger_tables     own                -    -         -            -           -
--   opsledger_owner      own (by tables)    RI   owns      RI           owns        owns
--   R SELECT, I INSERT, U UPDATE; write: INSERT, UPDATE, DELETE. Nobody may change or empty the log.
--
-- Engine, keeper and owner are members of opsledger_tables, so that row-level policies hide nothing
-- from them. Functions of the ledger are nobody's unless granted here.

GRANT USAGE ON SCHEMA ledger
    TO opsledger_tables, opsledger_engine, opsledger_operator, opsledger_auditor, opsledger_keeper;
GRANT USAGE, CREATE ON SCHEMA public TO opsledger_tables;
GRANT USAGE ON SCHEMA public TO opsledger_operator, opsledger_auditor;

-- The eight tables.
GRANT SELECT ON public.ops_policy, public.ops_mission_proposals, public.ops_missions,
    public.ops_mission_steps, public.ops_agent_events, public.ops_agent_reactions,
    public.ops_action_runs, public.ops_demand_radar,
    public.ops_proposal_votes, public.ops_policy_history, public.ops_policy_audit,
    public.ops_step_dead_letters, public.ops_radar
    TO opsledger_engine, opsledger_operator, opsledger_auditor, opsledger_keeper;
GRANT SELECT ON public.ops_policy_history, public.ops_policy_audit TO opsledger_tables;
GRANT INSERT, UPDATE, DELETE ON public.ops_policy, public.ops_mission_proposals, public.ops_missions,
    public.ops_mission_steps, public.ops_agent_events, public.ops_agent_reactions,
    public.ops_action_runs, public.ops_demand_radar, public.ops_radar, public.ops_proposal_votes
    TO opsledger_engine, opsledger_operator, opsledger_keeper;
-- Whoever may change a policy: the runbook's trigger inserts as them. It does nothing. Not PUBLIC: who may insert into a
-- view may lock all that it reads, by its owner's rights.
GRANT INSERT ON public.ops_policy_audit
    TO opsledger_engine, opsledger_operator, opsledger_keeper, opsledger_tables;
REVOKE ALL ON public.ops_policy_audit FROM PUBLIC;

-- The log and its books. The owner keeps what INSERT and SELECT need, and no more.
REVOKE UPDATE, DELETE, TRUNCATE, REFERENCES, TRIGGER
    ON ledger.events, ledger.checkpoints, ledger.departed, ledger.standing_events
    FROM opsledger_owner;
-- Nobody sets the sequence back; draw needs no more than USAGE.
REVOKE UPDATE ON SEQUENCE ledger.entry_sequence FROM opsledger_owner;
GRANT SELECT ON ledger.events, ledger.commands, ledger.checkpoints, ledger.tombstones,
    ledger.ledger, ledger.holds, ledger.migrations, ledger.policy_changes, ledger.entry_sequence,
    ledger.home_sequence, ledger.pending_seq_seq, ledger.workers, ledger.passed_over, ledger.departed,
    ledger.standing_events, ledger.events_at_hand, ledger.erasures, ledger.retention_runs, ledger.runners,
    ledger.rechecks, ledger.ddl_permits
    TO opsledger_engine, opsledger_operator, opsledger_auditor, opsledger_keeper;
-- Everything, sequences too, so that an auditor can take a dump. Partitions are granted where they are made.
GRANT SELECT ON ALL TABLES IN SCHEMA ledger TO opsledger_auditor;
GRANT SELECT ON ALL SEQUENCES IN SCHEMA ledger TO opsledger_auditor;
GRANT SELECT, DELETE ON ledger.attention TO opsledger_engine;
GRANT INSERT ON ledger.events, ledger.commands TO opsledger_engine, opsledger_keeper;
GRANT INSERT, UPDATE, DELETE ON ledger.ledger, ledger.holds TO opsledger_engine, opsledger_keeper;
GRANT INSERT, UPDATE, DELETE ON ledger.workers, ledger.passed_over TO opsledger_engine;
GRANT INSERT, UPDATE ON ledger.retention_runs, ledger.rechecks TO opsledger_engine;

-- Functions.
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA ledger, ledger_guard FROM PUBLIC;
REVOKE ALL ON FUNCTION ledger.draw() FROM opsledger_operator, opsledger_tables;
GRANT EXECUTE ON FUNCTION ledger.now()
    TO opsledger_engine, opsledger_keeper, opsledger_operator, opsledger_auditor, opsledger_tables;
GRANT EXECUTE ON FUNCTION ledger.draw(), ledger.captured_columns()
    TO opsledger_engine, opsledger_keeper;
GRANT EXECUTE ON FUNCTION ledger.seal(), ledger.add_partitions(),
    ledger.expect_rows(bigint, integer) TO opsledger_engine, opsledger_keeper;
GRANT EXECUTE ON FUNCTION ledger.settle_home(bigint), ledger.skip_numbers(bigint), ledger.take_seals_off(bigint), ledger.recount_seals(bigint[], bigint[]), ledger.have_partitions(bigint[]),
    ledger.drop_partition(bigint, text, bigint, bytea, text), ledger.erase_content(uuid[], uuid[]),
    ledger.forget_statistics(),
    ledger.make_books(bigint, bigint), ledger.mend_books(uuid[], uuid[], uuid[], json, json, json),
    ledger.mend_guarded(text[], json, bigint[], bigint[], bytea[], bytea[])
    TO opsledger_keeper;
GRANT EXECUTE ON FUNCTION ledger.condition_holds(jsonb, text)
    TO opsledger_engine, opsledger_operator, opsledger_auditor;
GRANT EXECUTE ON FUNCTION ledger.copies_of(uuid[], uuid[]), ledger.open_times(uuid[]), ledger.said_by(text)
    TO opsledger_engine, opsledger_operator, opsledger_auditor;
GRANT EXECUTE ON FUNCTION ledger.believed_erasures(), ledger.believed_departed()
    TO opsledger_engine, opsledger_keeper, opsledger_operator, opsledger_auditor;
GRANT EXECUTE ON FUNCTION ledger.mark_home(), ledger.note_root(bigint, bigint, bytea, bytea, boolean),
    ledger.server_run(), ledger.went_on() TO opsledger_engine, opsledger_keeper;
GRANT EXECUTE ON FUNCTION ledger.home(), ledger.place(), ledger.has_history()
    TO opsledger_engine, opsledger_keeper, opsledger_operator, opsledger_auditor;
GRANT EXECUTE ON FUNCTION ledger.take_runner(text, uuid, text, integer, text, integer), ledger.end_runner(text, uuid)
    TO opsledger_engine;
GRANT EXECUTE ON FUNCTION ledger.renew_runner(text, uuid) TO opsledger_engine, opsledger_keeper;
GRANT EXECUTE ON FUNCTION ledger.runner_lease(), ledger.is_running(ledger.runners), ledger.runner_text(ledger.runners)
    TO opsledger_engine, opsledger_keeper, opsledger_operator, opsledger_auditor;
GRANT EXECUTE ON FUNCTION ledger.sealed(), ledger.appends_in_flight(), ledger.uuid_v5(uuid, text), ledger.sha1(bytea),
    ledger.capture_unwrap(json)
    TO opsledger_engine, opsledger_keeper, opsledger_operator, opsledger_auditor, opsledger_tables;

-- What is wrong with the eight tables, for doctor: the catalogue, which everybody may read.
GRANT USAGE ON SCHEMA ledger_guard
    TO opsledger_engine, opsledger_operator, opsledger_auditor, opsledger_keeper;
GRANT SELECT ON ledger_guard.definitions
    TO opsledger_engine, opsledger_operator, opsledger_auditor, opsledger_keeper;
GRANT EXECUTE ON FUNCTION ledger_guard.table_faults(), ledger.captured_columns()
    TO opsledger_engine, opsledger_operator, opsledger_auditor;
GRANT EXECUTE ON FUNCTION ledger_guard.lift_capture(), ledger_guard.restore_capture(), ledger.capture_note_keeper()
    TO opsledger_keeper;
-- Asked by the triggers of the eight as whoever writes there.
GRANT EXECUTE ON FUNCTION ledger.capture_looks(), ledger.capture_looks_at_reports(),
    ledger.capture_numbers(integer) TO PUBLIC;
-- The one function of opsledger_writer.
GRANT USAGE ON SCHEMA ledger TO opsledger_writer;
GRANT INSERT ON ledger.events, public.ops_agent_events TO opsledger_writer;
GRANT EXECUTE ON FUNCTION ledger.draw() TO opsledger_writer;
GRANT EXECUTE ON FUNCTION ledger.append_report(uuid, text, uuid, integer, bigint, json, json, bytea, text,
    text, jsonb, uuid, timestamptz, timestamptz, text) TO opsledger_engine;

-- The origin's functions, and what they are made of. They run with their caller's rights, so what they may
-- do is what the caller may. service_role, where there is one, is the origin's clients' role.
DO $$
DECLARE
    granted record;
    holder text;
BEGIN
    FOR granted IN
        SELECT p.oid::regprocedure AS name FROM pg_proc AS p
        WHERE p.proowner = to_regrole('opsledger_owner') AND (
            p.pronamespace = 'public'::regnamespace AND p.proname LIKE 'ops\_%'
            OR p.pronamespace = 'ledger'::regnamespace AND p.proname IN (
                'now', 'check_ballot', 'check_voter', 'count_votes', 'executors', 'fail_attempt', 'fail_mission',
                'gate', 'halted', 'is_of_a_row', 'json_whole', 'next_follower', 'next_step', 'objection', 'policy_fault',
                'policy_field_fits', 'recover_steps', 'refuse_template', 'report_own',
                'require_read_committed', 'step_fault', 'submit', 'template_fault', 'template_steps',
                'texts_of', 'time_text', 'vote_rules', 'voters', 'worker_rules'))
    LOOP
        EXECUTE format('REVOKE ALL ON FUNCTION %s FROM PUBLIC', granted.name);
        FOREACH holder IN ARRAY ARRAY['opsledger_operator', 'opsledger_engine', 'opsledger_tables',
            'service_role'] LOOP
            IF to_regrole(holder) IS NOT NULL THEN
                EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO %I', granted.name, holder);
            END IF;
        END LOOP;
    END LOOP;
    IF to_regrole('service_role') IS NOT NULL THEN
        GRANT USAGE ON SCHEMA ledger TO service_role;
    END IF;
END $$;
