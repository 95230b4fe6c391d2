import Ledger
import Log
import Postgres

/// A clock for the demo: the database's clock, moved forward to the start of the next day and further at will, so that
/// nobody waits for backoffs and leases. It never goes back, which the log would show.
struct DemoClock {
  private let connection: Connection

  /// Replaces `ledger.now()` in a database made for the demo.
  ///
  /// - Parameter connection: A superuser's connection, since schema `ledger` is frozen.
  init(replacingOn connection: Connection) throws(PostgresError) {
    self.connection = connection
    try connection.execute(
      """
      BEGIN;
      INSERT INTO ledger.ddl_permits VALUES (pg_current_xact_id()) ON CONFLICT DO NOTHING;
      CREATE TABLE public.demo_clock (shift interval NOT NULL);
      INSERT INTO public.demo_clock
        SELECT date_trunc('day', clock_timestamp(), 'UTC') + interval '1 day' - clock_timestamp();
      GRANT SELECT ON public.demo_clock TO PUBLIC;
      CREATE OR REPLACE FUNCTION ledger.now() RETURNS timestamptz LANGUAGE sql VOLATILE AS
        'SELECT clock_timestamp() + (SELECT shift FROM public.demo_clock)';
      DELETE FROM ledger.ddl_permits WHERE xid = pg_current_xact_id();
      COMMIT
      """)
  }

  func now() throws(PostgresError) -> Instant {
    Instant(micros: try connection.query(Statement("SELECT ledger.now()")).timestamptz(0, 0))
  }

  /// Moves the clock forward to a moment; does nothing if the moment has passed.
  func advance(to instant: Instant) throws(PostgresError) {
    let missing = try instant.seconds(since: now())
    if missing > 0 { try advance(seconds: missing) }
  }

  func advance(seconds: Double) throws(PostgresError) {
    var parameters = Parameters()
    parameters.float8(seconds)
    try connection.query(
      Statement(
        "UPDATE public.demo_clock SET shift = shift + make_interval(secs => $1::double precision)"),
      parameters)
  }
}
