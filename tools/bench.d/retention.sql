-- The floor of retention: all missions leave, 256 a transaction, with what is theirs, and each row leaves a line behind.
-- What led to them, which no index finds, leaves last, at once.
DO $$
DECLARE
    batch uuid[];
    said CONSTANT json := '{"segment": "segments/x.lz4"}';
BEGIN
    LOOP
        batch := ARRAY(SELECT m.id FROM plain.missions AS m ORDER BY m.id LIMIT 256);
        EXIT WHEN batch = '{}';
        WITH gone AS (DELETE FROM plain.runs AS r WHERE r.step_id IN (
                SELECT s.id FROM plain.steps AS s WHERE s.mission_id = ANY (batch)) RETURNING r.id, r.version)
        INSERT INTO plain.log SELECT id, version, said FROM gone;
        WITH gone AS (DELETE FROM plain.steps AS s WHERE s.mission_id = ANY (batch) RETURNING s.id, s.version)
        INSERT INTO plain.log SELECT id, version, said FROM gone;
        WITH gone AS (DELETE FROM plain.agent_events AS a WHERE a.mission_id = ANY (batch) RETURNING a.id, a.version)
        INSERT INTO plain.log SELECT id, version, said FROM gone;
        WITH gone AS (DELETE FROM plain.missions AS m WHERE m.id = ANY (batch) RETURNING m.id, m.version)
        INSERT INTO plain.log SELECT id, version, said FROM gone;
        COMMIT;
    END LOOP;
    WITH gone AS (DELETE FROM plain.proposals RETURNING id, version)
    INSERT INTO plain.log SELECT id, version, said FROM gone;
    WITH gone AS (DELETE FROM plain.reactions RETURNING id, version)
    INSERT INTO plain.log SELECT id, version, said FROM gone;
    WITH gone AS (DELETE FROM plain.agent_events RETURNING id, version)
    INSERT INTO plain.log SELECT id, version, said FROM gone;
END $$;
