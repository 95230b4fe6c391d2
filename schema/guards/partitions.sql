-- The first partitions of the log; later ones are made by the heartbeat, by the same function.
DO $$ BEGIN PERFORM ledger.add_partitions(); END $$;
