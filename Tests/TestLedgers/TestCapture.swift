/// Capture switched off and on again, as only a superuser can: for tests of what finds such a change.
public enum TestCapture {
  public static let off = tables("ALTER TABLE %s DISABLE TRIGGER USER", guards: "DISABLE")
  public static let on = tables("ALTER TABLE %s ENABLE ALWAYS TRIGGER %s", guards: "ENABLE ALWAYS")

  private static func tables(_ each: String, guards: String) -> String {
    """
    DO $capture$ DECLARE found record; BEGIN
      FOR found IN SELECT evtname FROM pg_event_trigger WHERE evtname LIKE 'opsledger%' LOOP
        EXECUTE format('ALTER EVENT TRIGGER %I \(guards)', found.evtname);
      END LOOP;
      FOR found IN SELECT t.tgrelid::regclass AS target, t.tgname FROM pg_trigger AS t
        WHERE t.tgname LIKE 'capture\\_%' AND t.tgrelid::regclass::text LIKE 'ops\\_%' LOOP
        EXECUTE format('\(each)', found.target, found.tgname);
      END LOOP;
    END $capture$
    """
  }
}
