import Crypto
public import Host
import JSON
public import Ledger
public import Log
import Postgres
public import Replay

/// Restores a store into a scratch cluster, compares it with the live database, and removes the cluster.
///
/// The restore runs in child processes that know the store and the scratch cluster only. No argument, environment
/// variable, directory or open file leads them to the live database.
public struct Drill {
  private let live: Session
  private let store: any ObjectStore
  private let directory: String
  private let storeEnvironment: [String: String]
  private let stop: StopSignal
  private let say: (String) -> Void
  private let progress: ReplayProgress

  /// - Parameters:
  ///   - directory: The directory for the scratch cluster.
  ///   - storeEnvironment: The environment variables that the store needs.
  ///   - stop: Ends the drill early.
  ///   - say: Gets a line for each phase.
  public init(
    _ live: Session, _ store: any ObjectStore, in directory: String,
    storeEnvironment: [String: String], stop: StopSignal, _ say: @escaping (String) -> Void,
    _ progress: ReplayProgress = ReplayProgress()
  ) {
    self.live = live
    self.store = store
    self.directory = directory
    self.storeEnvironment = storeEnvironment
    self.stop = stop
    self.say = say
    self.progress = progress
  }

  /// - Returns: Nil if the drill was stopped.
  /// - Throws: `OPS_001` if the drill could not run. A damaged store throws nothing: the drill fails.
  public func run(recordedBy actor: String) throws(OpsError) -> DrillReport? {
    try requireStore()
    say("making a scratch cluster in \(directory)")
    let watch = Stopwatch()
    let scratch = try host { () throws(HostError) in try DrillScratch(in: directory) }
    defer {
      do { try scratch.remove() } catch { say("warning: \(error.message)") }
    }
    var report = DrillReport(store: store.place)
    report.add("create_cluster", watch)
    do throws(OpsError) {
      try rehearse(scratch, &report)
    } catch {
      guard stop.isRaised else { throw error }
    }
    if stop.isRaised { return nil }
    do throws(OpsError) {
      report.entry = try live.record(.drilled(report: report.json.text), by: actor)
    } catch {
      report.warnings.append("the drill is not recorded in the ledger: \(error.message)")
    }
    return report
  }

  /// A drill cannot fail a store that is missing or unreachable: it cannot run then.
  private func requireStore() throws(OpsError) {
    let known: Store
    do throws(OpsError) { known = try Store.existing(store) } catch {
      switch error.code {
      case .notFound, .databaseUnreachable, .notAllowed:
        throw OpsError(.databaseUnreachable, error.message, hint: error.hint)
      default: return
      }
    }
    try known.require(live.ledgerRecord().identity)
  }

  private func rehearse(_ scratch: DrillScratch, _ report: inout DrillReport) throws(OpsError) {
    let sealed = try live.sealed()
    report.lost = try? lost(above: Store.existing(store).segments().lastEntry, sealed)
    let child = DrillChild(scratch, storeEnvironment, stop)
    guard try restore(child, sealed, &report) else { return }
    try verify(child, &report)
    try compare(scratch, &report)
    try plantFault(scratch, child, &report)
    try readAll(&report)
  }

  // MARK: The phases

  /// - Returns: False if the restore failed.
  private func restore(
    _ child: DrillChild, _ sealed: Int64, _ report: inout DrillReport
  ) throws(OpsError) -> Bool {
    say("restoring \(store.place) into the scratch cluster")
    let watch = Stopwatch()
    let answer = try readingWhole([store]) {
      say("a push replaced files of the store meanwhile: restoring again")
    } _: { () throws(OpsError) in
      let answer = try child.run(["--store", place, "restore", "--to", child.url(.superuser)])
      return (answer, isFine: answer.exit == 0)
    }
    report.add("restore", watch)
    guard answer.exit == 0, let lastEntry = answer.json["last_entry"]?.intValue,
      let root = answer.json["root"]?.stringValue
    else {
      report.failures.append("restore: \(answer.said)")
      return false
    }
    (report.lastEntry, report.root) = (Int64(lastEntry), root)
    report.lost = try lost(above: report.lastEntry, sealed)
    guard lastEntry > 0 else {
      report.failures.append("the store holds no entry")
      return false
    }
    return true
  }

  private func verify(_ child: DrillChild, _ report: inout DrillReport) throws(OpsError) {
    say("verifying the restored database")
    let watch = Stopwatch()
    let answer = try child.run(["--database", child.url(.engine), "verify"])
    report.add("verify", watch)
    if answer.exit == 0, answer.json["ok"] == .bool(true) { return }
    let count = answer.json["difference_count"]?.intValue
    let what = count.map { "the restored tables differ from the log in \($0) places" }
    report.failures.append("verify: \(what ?? answer.said)")
  }

  private func compare(
    _ scratch: DrillScratch, _ report: inout DrillReport
  ) throws(OpsError) {
    say("comparing the restored database with the live one, as of entry \(report.lastEntry)")
    let copy = Session.Target(url: scratch.url(.engine), application: "opsledger drill")
    let rows = try Verifier.run(live.target, at: report.lastEntry, with: copy, progress)
    report.rowsCompared = rows.rows.values.reduce(0, +)
    report.notCovered = rows.notCovered
    if !rows.isEqual {
      let named = rows.differences.prefix(10).map { "\($0.table) \($0.row) \($0.column)" }
      report.failures.append(
        "restored rows differ from the live log at entry \(report.lastEntry) in \(rows.differenceCount) columns: "
          + named.joined(separator: ", "))
    }
    let events = try LogComparison(
      try Session(live.target), try Session(copy), upTo: report.lastEntry
    ) { () throws(OpsError) in
      if stop.isRaised {
        throw OpsError(
          .conflict, "the drill was stopped before it had ended",
          hint: "run `opsledger drill` again")
      }
    }
    report.eventsCompared = events.events
    if let first = events.first {
      report.failures.append(
        "\(events.differences) restored events differ from the live log, the first in entry \(first)"
      )
    }
    for (whose, root) in [("live", events.root.hex), ("restored", events.copyRoot.hex)]
    where root != report.root {
      report.failures.append(
        "the root of the \(whose) log at entry \(report.lastEntry) is \(root), the store's is \(report.root)"
      )
    }
  }

  /// A restore reads segments only: this reads the snapshots and tiles too.
  private func readAll(_ report: inout DrillReport) throws(OpsError) {
    guard !stop.isRaised else { return }
    say("reading every file of \(store.place)")
    let found = try StoreVerifier(Store.existing(store)).run()
    report.failures += found.faults.prefix(10).map { "archive verify: \($0)" }
  }

  /// Changes one row as a superuser, with every guard switched off, and checks that verify finds the change.
  private func plantFault(
    _ scratch: DrillScratch, _ child: DrillChild, _ report: inout DrillReport
  ) throws(OpsError) {
    say("changing a row behind the guards, to check that verify finds it")
    let session = try Session(Session.Target(url: scratch.url(.superuser)))
    let connection = try session.connection()
    let key = try onDatabase { () throws(PostgresError) in
      try connection.execute(Self.guardsOff)
      return try connection.query(Self.fault).text(0, 0)
    }
    let answer = try child.run(["--database", child.url(.engine), "verify"])
    let found = answer.json["differences"]?.arrayValue ?? []
    report.plantedFaultFound =
      answer.exit == 1
      && found.contains {
        $0["table"] == .string("ops_policy") && $0["row"] == .string(key)
          && $0["column"] == .string("value")
      }
    if !report.plantedFaultFound {
      report.failures.append(
        "verify did not find the changed row: the drill changed the value of policy \(key)")
    }
  }

  private static let guardsOff = """
    DO $$ DECLARE name text; BEGIN
      FOR name IN SELECT evtname FROM pg_event_trigger LOOP
        EXECUTE format('ALTER EVENT TRIGGER %I DISABLE', name);
      END LOOP;
    END $$;
    ALTER TABLE public.ops_policy DISABLE TRIGGER USER
    """

  private static let fault = Statement(
    """
    UPDATE public.ops_policy SET value = '"planted by a drill"'
    WHERE key = (SELECT min(p.key) FROM public.ops_policy AS p) RETURNING key
    """)

  /// The sealed entries of the live database that the store lacks, and the time that they span.
  private func lost(
    above lastEntry: Int64, _ sealed: Int64
  ) throws(OpsError) -> (entries: Int64, seconds: Double) {
    var parameters = Parameters()
    parameters.int8(lastEntry)
    parameters.int8(sealed)
    let rows = try live.query(Self.lost, parameters)
    return try onDatabase { () throws(PostgresError) in
      (try rows.int8(0, 0), Double(try rows.int8(0, 1)) / 1_000_000)
    }
  }

  private static let lost = Statement(
    """
    SELECT (SELECT count(*) FROM ledger.events AS e
        WHERE e.entry > $1::bigint AND e.entry <= $2::bigint AND e.index = 0),
      greatest(0, coalesce(extract(epoch FROM
        (SELECT e.recorded_at FROM ledger.events AS e WHERE e.entry <= $2::bigint
          ORDER BY e.entry DESC LIMIT 1)
        - coalesce(
          (SELECT e.recorded_at FROM ledger.events AS e WHERE e.entry <= $1::bigint
            ORDER BY e.entry DESC LIMIT 1),
          (SELECT min(l.created_at) FROM ledger.ledger AS l))) * 1000000, 0))::bigint
    """)

  /// The store's place for a process with another working directory.
  private var place: String {
    store.place.contains("://") ? store.place : FileSystem.realPath(store.place) ?? store.place
  }
}

/// Turns an error of the machine into `OPS_001`: the drill could not run.
func host<Answer>(_ body: () throws(HostError) -> Answer) throws(OpsError) -> Answer {
  do { return try body() } catch {
    throw OpsError(.databaseUnreachable, error.message, hint: error.hint)
  }
}
