-- Room on the pages of runs for what each of them becomes: a run is written twice, and where its second version
-- finds place on the page of its first, none of the table's three indexes is written again.
--
-- Of the eight, this is the one whose changes touch no indexed column.
--
-- Locks    SHARE UPDATE EXCLUSIVE on ops_action_runs, for a moment; pages that are full stay as they are.
-- Used by  complete, fail.

DO $migration$ BEGIN
    IF EXISTS (SELECT FROM ledger.migrations WHERE name = '0021_room_in_runs.sql') THEN
        RETURN;
    END IF;

    ALTER TABLE public.ops_action_runs SET (fillfactor = 50);

    INSERT INTO ledger.migrations (name, oldest_binary)
    VALUES ('0021_room_in_runs.sql', '0.1.0');
END $migration$;
