-- The first partitions of the log. The heartbeat creates later ones, by the same function.
DO $$ BEGIN PERFORM ledger.add_partitions(); END $$;
