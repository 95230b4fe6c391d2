/// Capture switched off and on again, as only a superuser can: for tests of what finds such a change.
public enum TestCapture {
  public static let off = "\(guards("DISABLE")); \(tables("DISABLE"))"
  public static let on = "\(tables("ENABLE ALWAYS")); \(guards("ENABLE ALWAYS"))"

  private static func guards(_ verb: String) -> String {
    """
    DO $capture$ DECLARE name text; BEGIN
      FOR name IN SELECT evtname FROM pg_event_trigger WHERE evtname LIKE 'opsledger%' LOOP
        EXECUTE format('ALTER EVENT TRIGGER %I \(verb)', name);
      END LOOP;
    END $capture$
    """
  }

  private static func tables(_ verb: String) -> String {
    """
    DO $capture$ DECLARE target regclass; name text; BEGIN
      FOR target, name IN SELECT t.tgrelid, t.tgname FROM pg_trigger AS t
        WHERE t.tgname LIKE 'capture\\_%' AND t.tgrelid <> 'ledger.pending'::regclass LOOP
        EXECUTE format('ALTER TABLE %s \(verb) TRIGGER %I', target, name);
      END LOOP;
    END $capture$
    """
  }
}
