import Crypto
public import Host
import JSON
public import Ledger
public import Log
import Postgres
public import Replay

/// Restores a store for real, into a cluster of its own that is removed again, and compares what came back with the
/// live database.
///
/// The restore runs in processes of their own, which are given the store and the empty cluster and nothing else:
/// neither by argument, environment, directory nor open file do they know of the live one.
public struct Drill {
  private let live: Session
  private let store: any ObjectStore
  private let directory: String
  private let storeEnvironment: [String: String]
  private let stop: StopSignal
  private let say: (String) -> Void
  private let progress: ReplayProgress

  /// - Parameters:
  ///   - directory: In which the scratch cluster is made.
  ///   - storeEnvironment: Variables that the store needs.
  ///   - stop: Ends it early.
  ///   - say: Gets what is being done.
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

  /// - Returns: Nil where it was stopped.
  /// - Throws: Where it could not run: `OPS_001`. A store that is damaged fails it instead.
  public func run(recordedBy actor: String) throws(OpsError) -> DrillReport? {
    try requireStore()
    try requireOwn()
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
    record(&report, actor)
    return report
  }

  /// A store that was never begun, or is out of reach, is none that could fail.
  private func requireStore() throws(OpsError) {
    do throws(OpsError) { _ = try Store.existing(store) } catch {
      switch error.code {
      case .notFound, .databaseUnreachable, .notAllowed:
        throw OpsError(.databaseUnreachable, error.message, hint: error.hint)
      default: return
      }
    }
  }

  /// What another ledger's store holds says nothing of this one.
  private func requireOwn() throws(OpsError) {
    guard let known = try? Store.existing(store) else { return }
    let own = try live.ledgerRecord()
    guard known.record.identity != own.identity else { return }
    throw OpsError(
      store: .anotherLedger,
      "\(store.place) is the store of \(known.record.title) (\(known.record.identity)), "
        + "not of \(own.title) (\(own.identity))", hint: "name this ledger's store")
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

  /// - Returns: Whether there is something to look at.
  private func restore(
    _ child: DrillChild, _ sealed: Int64, _ report: inout DrillReport
  ) throws(OpsError) -> Bool {
    say("restoring \(store.place) into it")
    let watch = Stopwatch()
    let answer = try readingWhole([store]) {
      say("files of the store were replaced meanwhile; once more")
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
    say("verifying it")
    let watch = Stopwatch()
    let answer = try child.run(["--database", child.url(.engine), "verify"])
    report.add("verify", watch)
    guard answer.exit == 0, answer.json["ok"] == .bool(true) else {
      let count = answer.json["difference_count"]?.intValue
      report.failures.append(
        "verify: "
          + (count.map { "the restored tables differ from the log in \($0) places" }
            ?? answer.said))
      return
    }
  }

  private func compare(
    _ scratch: DrillScratch, _ report: inout DrillReport
  ) throws(OpsError) {
    say("comparing it with the live database as of entry \(report.lastEntry)")
    let copy = Session.Target(
      url: scratch.url(.engine), application: "opsledger drill")
    let rows = try Verifier.run(live.target, at: report.lastEntry, with: copy, progress)
    report.rowsCompared = rows.rows.values.reduce(0, +)
    report.notCovered = rows.notCovered
    if !rows.isEqual {
      let named = rows.differences.prefix(10).map { "\($0.table) \($0.row) \($0.column)" }
      report.failures.append(
        "\(rows.differenceCount) differences from the live log at entry \(report.lastEntry): "
          + named.joined(separator: ", "))
    }
    let events = try LogComparison(
      try Session(live.target), try Session(copy), upTo: report.lastEntry
    ) { (_) throws(OpsError) in
      if stop.isRaised { throw OpsError(.conflict, "stopped") }
    }
    report.eventsCompared = events.events
    if let first = events.first {
      report.failures.append(
        "\(events.differences) events are not those of the live log, the first in entry \(first)")
    }
    for (whose, root) in [("live", events.root.hex), ("restored", events.copyRoot.hex)]
    where root != report.root {
      report.failures.append("the root of the \(whose) log at entry \(report.lastEntry) is \(root)")
    }
  }

  /// A restore reads segments alone: snapshots and tiles may be damaged still.
  private func readAll(_ report: inout DrillReport) throws(OpsError) {
    guard !stop.isRaised else { return }
    say("reading every file of \(store.place)")
    let found = try StoreVerifier(Store.existing(store)).run()
    report.failures += found.faults.prefix(10).map { "archive verify: \($0)" }
  }

  /// Changes one row as only a superuser can, behind every guard, and has the next verify find it.
  private func plantFault(
    _ scratch: DrillScratch, _ child: DrillChild, _ report: inout DrillReport
  ) throws(OpsError) {
    say("planting a fault, and looking for it")
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
        "verify did not find a planted fault: the value of policy \(key) was changed")
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

  // MARK: Around it

  /// How much the live database has sealed that the store lacks.
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

  private func record(_ report: inout DrillReport, _ actor: String) {
    do throws(OpsError) {
      report.entry = try live.record(.drilled(report: report.json.text), by: actor)
    } catch {
      report.warnings.append("the drill is not recorded in the ledger: \(error.message)")
    }
  }

  /// The store's place for a process that works elsewhere.
  private var place: String {
    store.place.contains("://") ? store.place : FileSystem.realPath(store.place) ?? store.place
  }
}

extension DrillReport {
  mutating func add(_ phase: String, _ watch: Stopwatch) {
    phases.append(Phase(name: phase, seconds: Double(watch.elapsedMillis) / 1000))
  }
}

/// Runs what throws the machine's errors; a drill that lacks something of the machine cannot run.
func host<Answer>(_ body: () throws(HostError) -> Answer) throws(OpsError) -> Answer {
  do { return try body() } catch {
    throw OpsError(.databaseUnreachable, error.message, hint: error.hint)
  }
}
