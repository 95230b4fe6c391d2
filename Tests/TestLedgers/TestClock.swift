/// A clock that tests can move: `ledger.now()` reads how far from a table. Only a superuser can put it
/// into a database, and laying the schema again takes it out.
public enum TestClock {
  public static let install = """
    BEGIN;
    CREATE TABLE public.test_clock (moved interval NOT NULL);
    INSERT INTO public.test_clock VALUES ('0');
    GRANT SELECT, UPDATE ON public.test_clock TO PUBLIC;
    INSERT INTO ledger.ddl_permits VALUES (pg_current_xact_id()) ON CONFLICT DO NOTHING;
    CREATE OR REPLACE FUNCTION ledger.now() RETURNS timestamptz
    LANGUAGE sql VOLATILE PARALLEL SAFE AS $$
        SELECT pg_catalog.clock_timestamp() + (SELECT c.moved FROM public.test_clock AS c)
    $$;
    DELETE FROM ledger.ddl_permits AS p WHERE p.xid = pg_current_xact_id();
    COMMIT
    """

  static func move(seconds: Double) -> String {
    "UPDATE public.test_clock SET moved = moved + make_interval(secs => \(seconds))"
  }
}
