import Crypto
import Glibc
public import Ledger
public import Log
import Postgres

/// What an apply did.
public struct RetentionReport: Sendable {
  public internal(set) var plan = ""
  /// Missions that left now.
  public internal(set) var left = 0
  /// That had left before, in a run that was cut short.
  public internal(set) var leftBefore = 0
  /// Planned, and kept: by a hold that was placed since, or since something happened to them.
  public internal(set) var held: [StreamID] = []
  public internal(set) var changed: [StreamID] = []
  /// Parts of the log that left now, and their events.
  public internal(set) var partitions = 0
  public internal(set) var events: Int64 = 0
  /// The stores that hold what left.
  public internal(set) var stores: [String] = []

  /// Whether everything that was planned has left.
  public var isComplete: Bool { held.isEmpty && changed.isEmpty }
}

/// Does what a plan says: everything is in the stores, and was read back from them, before anything leaves.
///
/// Cut short anywhere, the same apply goes on.
public struct Retention {
  private let session: Session
  private let stores: [any ObjectStore]
  private let actor: String
  private let progress: ReplayProgress

  /// - Parameter stores: All that are at hand.
  public init(
    _ session: Session, _ stores: [any ObjectStore], actor: String,
    _ progress: ReplayProgress = ReplayProgress()
  ) {
    self.session = session
    self.stores = stores
    self.actor = actor
    self.progress = progress
  }

  /// - Throws: `OPS_012` where the plan is not what would leave now; `OPS_013` where stores are missing that the policy
  ///   wants; `OPS_015` where one is damaged. Nothing has left then.
  public func apply(plan digest: String) throws(OpsError) -> RetentionReport {
    let cut = try RetentionPlan.cut(of: digest)
    let connection = try session.connection()
    let isAlone = try onDatabase { () throws(PostgresError) in
      try connection.query(Self.lock).bool(0, 0)
    }
    guard isAlone else {
      throw OpsError(.conflict, "another retention apply is running", hint: "wait until it ends")
    }
    defer { _ = try? connection.query(Self.unlock) }
    var report = RetentionReport()
    report.plan = digest
    let run = try RetentionRun.begin(session, digest, cut: cut, actor: actor)
    CrashSite.begun.reach()
    let segment = try archive(run, &report)
    try prune(run, segment, &report)
    try drop(run, &report)
    CrashSite.ending.reach()
    try run.end(session)
    return report
  }

  private static let lock = Statement("SELECT pg_try_advisory_lock(19796, 6)")
  private static let unlock = Statement("SELECT pg_advisory_unlock(19796, 6)")

  // MARK: Into the stores

  /// Pushes, and reads back all of it from where it lies.
  ///
  /// - Returns: The file that ends where the stores end.
  private func archive(
    _ run: RetentionRun, _ report: inout RetentionReport
  ) throws(OpsError) -> String {
    try requireStores(run.policy)
    for files in stores {
      _ = try Pusher(session, files, progress).run()
      try haveSnapshot(beyond: run.partitions, in: files)
    }
    CrashSite.pushed.reach()
    var segment = ""
    for files in stores {
      let store = try Store.existing(files)
      let found = try StoreVerifier(store).run()
      if let fault = found.faults.first {
        throw OpsError(
          .storeDiverged, "\(files.place) cannot be relied on, so nothing leaves: \(fault)",
          hint: "see `opsledger archive verify`")
      }
      if segment.isEmpty { segment = try store.segments().segments.last?.name.path ?? "" }
      report.stores.append(files.place)
    }
    CrashSite.verified.reach()
    return segment
  }

  /// Of what leaves the log the store has a snapshot too, so that later states need none of it.
  private func haveSnapshot(
    beyond partitions: [Int64], in files: any ObjectStore
  ) throws(OpsError) {
    guard let last = partitions.max().map({ $0 + Pusher.span - 1 }) else { return }
    let there = try Store.existing(files).snapshots().snapshots
    if there.contains(where: { $0.name.entry >= last }) { return }
    _ = try SnapshotMaker(session, files, progress).run()
  }

  private func requireStores(_ policy: RetentionPolicy) throws(OpsError) {
    switch policy.copies {
    case .count(let count) where stores.count < count:
      throw OpsError(
        .notAllowed,
        "policy retention wants \(count) copies, and \(stores.count) store(s) are named",
        hint: "name them: --store, once for each")
    case .named(let places):
      for place in places where !stores.contains(where: { $0.place == place }) {
        throw OpsError(
          .notAllowed, "policy retention wants a copy in \(place), which is not named",
          hint: "name it: --store \(place)")
      }
    case .count: break
    }
  }

  // MARK: Out of the tables

  private func prune(
    _ run: RetentionRun, _ segment: String, _ report: inout RetentionReport
  ) throws(OpsError) {
    guard !run.missions.isEmpty else { return }
    let plan = RetentionPlan(policy: run.policy, cut: run.cut)
    let pruner = try Pruner(session, plan, actor: actor, segment: segment)
    progress.expect(run.missions.count)
    for (mission, fingerprint) in zip(run.missions, run.fingerprints) {
      switch try pruner.prune(mission, fingerprint: fingerprint) {
      case .left:
        report.left += 1
        CrashSite.left.reach()
      case .gone: report.leftBefore += 1
      case .held: report.held.append(mission)
      case .changed: report.changed.append(mission)
      }
      progress.add(1)
    }
  }

  // MARK: Out of the log

  /// The front of the log, a partition at a time. A hold keeps none of it: the store has it, and replay reads it there.
  private func drop(_ run: RetentionRun, _ report: inout RetentionReport) throws(OpsError) {
    for first in run.partitions {
      let last = first + Pusher.span - 1
      var index: SegmentIndex?
      for files in stores {
        let store = try Store.existing(files)
        let there = try store.segments().segments.filter {
          $0.name.entries.overlaps(first...last)
        }
        guard let end = there.last, end.name.entries.upperBound == last else {
          throw OpsError(
            .storeDiverged, "\(files.place) does not end a segment at entry \(last)",
            hint: "run `opsledger archive push`")
        }
        let here = try store.reader(of: end).index
        guard index == nil || index?.root == here.root else {
          throw OpsError(.storeDiverged, "the stores differ at entry \(last)")
        }
        index = here
        try noteRoot(at: last, of: files, here.root)
        if files.place == stores[0].place {
          var events: UInt64 = 0
          for segment in there { events += try store.reader(of: segment).index.eventCount }
          report.events += try dropOne(first, here, events: events) ? Int64(events) : 0
          report.partitions += 1
        }
      }
    }
  }

  /// The root that the store's must equal, of the database's own log: what another database pushed, or a restore put
  /// back, was noted here at the store's tip only.
  private func noteRoot(
    at last: Int64, of files: any ObjectStore, _ stored: Digest
  ) throws(OpsError) {
    if try session.storedRoot(at: last) != nil { return }
    let tree = try session.tree(upTo: last)
    let root = tree.root(TreeHasher())
    guard root == stored else {
      throw OpsError(
        .storeDiverged,
        "the root of \(files.place) at entry \(last) is \(stored.hex), the database's \(root.hex)",
        hint: "one of them was changed: see `opsledger verify` and `opsledger archive verify`")
    }
    try session.record(StoredRoot(entry: last, frontier: tree, root: root))
  }

  /// Asks again where somebody reads the log: nobody who appends waits longer than a moment.
  ///
  /// - Returns: False where it had left before.
  private func dropOne(
    _ first: Int64, _ index: SegmentIndex, events: UInt64
  ) throws(OpsError) -> Bool {
    var parameters = Parameters()
    parameters.int8(first)
    parameters.text(index.name.path)
    parameters.int8(Int64(clamping: events))
    parameters.bytes(index.root.bytes)
    parameters.text(actor)
    var attempt = 0
    while true {
      do throws(OpsError) {
        var isNew = false
        CrashSite.dropping.reach()
        try session.asKeeper { (connection) throws(OpsError) in
          isNew = try onDatabase { () throws(PostgresError) in
            try connection.query(Self.dropPartition, parameters).bool(0, 0)
          }
          if isNew { CrashSite.dropped.reach() }
        }
        if isNew { CrashSite.committed.reach() }
        return isNew
      } catch {
        guard error.facts["sqlstate"] == "55P03", attempt < 100 else { throw error }
        attempt += 1
        usleep(UInt32.random(in: 50_000...300_000))
      }
    }
  }

  private static let dropPartition = Statement(
    "SELECT ledger.drop_partition($1::bigint, $2::text, $3::bigint, $4::bytea, $5::text)")
}
