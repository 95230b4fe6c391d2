/// A clock that tests can move and slow down: `ledger.now()` reads how far and how much from a table. Only a superuser
/// can put it into a database, and laying the schema again takes it out.
public enum TestClock {
  /// Once more where `init` or a restore has laid the ledger's own clock again: it goes on as it was moved.
  public static let install = """
    BEGIN;
    CREATE TABLE IF NOT EXISTS public.test_clock (
      moved interval NOT NULL, since timestamptz NOT NULL, pace float8 NOT NULL);
    INSERT INTO public.test_clock SELECT '0', pg_catalog.clock_timestamp(), 1
      WHERE NOT EXISTS (SELECT FROM public.test_clock);
    GRANT SELECT, UPDATE ON public.test_clock TO PUBLIC;
    INSERT INTO ledger.ddl_permits VALUES (pg_current_xact_id()) ON CONFLICT DO NOTHING;
    CREATE OR REPLACE FUNCTION ledger.now() RETURNS timestamptz
    LANGUAGE sql VOLATILE PARALLEL SAFE AS $$
        SELECT c.since + (pg_catalog.clock_timestamp() - c.since) * c.pace + c.moved
        FROM public.test_clock AS c
    $$;
    DELETE FROM ledger.ddl_permits AS p WHERE p.xid = pg_current_xact_id();
    COMMIT
    """

  /// A second of the ledger lasts longer than any test: a backoff or a lease ends where the test says so, however long
  /// the machine takes.
  static let slow =
    "UPDATE public.test_clock SET since = pg_catalog.clock_timestamp(), pace = 0.001"

  static func move(seconds: Double) -> String {
    "UPDATE public.test_clock SET moved = moved + make_interval(secs => \(seconds))"
  }
}
