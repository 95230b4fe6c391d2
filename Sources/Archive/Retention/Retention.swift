import Crypto
import Glibc
public import Ledger
public import Log
import Postgres
public import Replay

public struct RetentionReport: Sendable {
  public internal(set) var plan = ""
  /// The number of missions that were archived.
  public internal(set) var left = 0
  /// The number of missions that an interrupted run had archived.
  public internal(set) var leftBefore = 0
  /// Planned missions that stay: a hold was placed since, or they changed since.
  public internal(set) var held: [StreamID] = []
  public internal(set) var changed: [StreamID] = []
  /// Planned missions that stay because the database refuses: a lock, a constraint or a trigger.
  public internal(set) var refused: [(mission: StreamID, error: OpsError)] = []
  /// The number of log partitions that were archived, and of their events.
  public internal(set) var partitions = 0
  public internal(set) var events: Int64 = 0
  /// The stores that have the archived history.
  public internal(set) var stores: [String] = []

  /// Whether everything that was planned is archived.
  public var isComplete: Bool { held.isEmpty && changed.isEmpty && refused.isEmpty }

  fileprivate mutating func note(_ outcome: Pruner.Outcome, of mission: StreamID) {
    switch outcome {
    case .left: left += 1
    case .gone: leftBefore += 1
    case .held: held.append(mission)
    case .changed: changed.append(mission)
    case .refused(let error): refused.append((mission, error))
    }
  }
}

/// Applies a retention plan. Before anything is archived, all of it is in the stores, and was read back from them.
///
/// If an apply is interrupted, the same command continues it.
public struct Retention {
  private let session: Session
  private let stores: [any ObjectStore]
  private let actor: String
  private let progress: ReplayProgress

  /// - Parameter stores: All available stores.
  public init(
    _ session: Session, _ stores: [any ObjectStore], actor: String,
    _ progress: ReplayProgress = ReplayProgress()
  ) {
    self.session = session
    self.stores = stores
    self.actor = actor
    self.progress = progress
  }

  /// - Throws: `OPS_012` if the plan is out of date; `OPS_013` if a store is missing that the policy asks for; `OPS_015` if
  ///   a store is damaged. Nothing was archived then.
  public func apply(plan digest: String) throws(OpsError) -> RetentionReport {
    let cut = try RetentionPlan.cut(of: digest)
    let taskLease = try TaskLease.take(.retention, session, waitSeconds: 0)
    defer { taskLease.end(session) }
    taskLease.keep(session.target)
    var report = RetentionReport()
    report.plan = digest
    let run = try RetentionRun.begin(session, digest, cut: cut, actor: actor)
    CrashSite.begun.reach()
    let segment = try archive(run, &report)
    try prune(run, segment, taskLease, &report)
    try drop(run, taskLease, &report)
    CrashSite.ending.reach()
    try run.end(session)
    return report
  }

  // MARK: Into the stores

  /// Pushes to each store, and verifies it.
  ///
  /// - Returns: The last segment of the stores.
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
          store: .damaged, "nothing was archived, because \(files.place) is damaged: \(fault)",
          hint: "see `opsledger archive verify`")
      }
      if segment.isEmpty { segment = try store.segments().segments.last?.name.path ?? "" }
      report.stores.append(files.place)
    }
    CrashSite.verified.reach()
    return segment
  }

  /// Makes a snapshot after the partitions that are archived, so that later states need none of them.
  private func haveSnapshot(
    beyond partitions: [Int64], in files: any ObjectStore
  ) throws(OpsError) {
    guard let last = partitions.max().map({ EntryNumber.partition(of: $0).upperBound }) else {
      return
    }
    let there = try Store.existing(files).snapshots().snapshots
    if there.contains(where: { $0.name.entry >= last }) { return }
    _ = try SnapshotMaker(session, files, progress).run()
  }

  private func requireStores(_ policy: RetentionPolicy) throws(OpsError) {
    switch policy.copies {
    case .count(let count) where stores.count < count:
      throw OpsError(
        .notAllowed,
        "nothing was archived: policy retention asks for \(count) stores, and \(stores.count) are named",
        hint: "name each store with --store")
    case .named(let places):
      for place in places where !stores.contains(where: { $0.place == place }) {
        throw OpsError(
          .notAllowed,
          "nothing was archived: policy retention asks for store \(place), which is not named",
          hint: "name it: --store \(place)")
      }
    case .count: break
    }
  }

  // MARK: Out of the tables

  private func prune(
    _ run: RetentionRun, _ segment: String, _ taskLease: TaskLease, _ report: inout RetentionReport
  ) throws(OpsError) {
    let planned = run.planned
    guard !planned.isEmpty else { return }
    var pruner = try Pruner(session, run, actor: actor, segment: segment)
    progress.expect(planned.count)
    for first in stride(from: 0, to: planned.count, by: Pruner.batch) {
      try taskLease.require()
      let batch = planned[first..<min(first + Pruner.batch, planned.count)]
      for (one, outcome) in zip(batch, try pruner.prune(batch)) {
        report.note(outcome, of: one.mission)
      }
      progress.add(batch.count)
      CrashSite.left.reach()
    }
  }

  // MARK: Out of the log

  /// Drops the partitions at the front of the log. A hold keeps none of them: replay reads their events from the store.
  private func drop(
    _ run: RetentionRun, _ taskLease: TaskLease, _ report: inout RetentionReport
  ) throws(OpsError) {
    for first in run.partitions {
      let last = EntryNumber.partition(of: first).upperBound
      var index: SegmentIndex?
      for files in stores {
        let store = try Store.existing(files)
        let list = try store.segments()
        let there = list.segments.filter { $0.name.entries.overlaps(first...last) }
        guard let end = there.last, let here = try store.index(of: end, asOf: last) else {
          throw OpsError(
            store: .diverged, "\(files.place) has no segment that ends at entry \(last)",
            hint: "push to that store: `opsledger archive push --store \(files.place)`")
        }
        guard index == nil || index?.root == here.root else {
          throw OpsError(
            store: .diverged,
            "\(stores[0].place) and \(files.place) have different roots at entry \(last)",
            hint: "see `opsledger archive verify`")
        }
        index = here
        try compare(first...last, with: store, list, here)
        if files.place == stores[0].place {
          var events: UInt64 = 0
          for segment in there { events += try store.reader(of: segment).index.eventCount }
          report.events += try dropOne(first, here, events: events, taskLease) ? Int64(events) : 0
          report.partitions += 1
        }
      }
    }
  }

  /// Compares a partition with the store, event by event: a recorded root proves too little. Records the store's root.
  private func compare(
    _ entries: ClosedRange<Int64>, with store: Store, _ list: SegmentList, _ index: SegmentIndex
  ) throws(OpsError) {
    let last = entries.upperBound
    if try session.lastArchived() >= last { return }
    if let entry = try store.firstDifference(entries, list, session) {
      throw OpsError(
        store: .diverged,
        "entry \(entry) of the log differs from entry \(entry) of \(store.files.place)",
        hint: "one of them was changed: see `opsledger verify` and `opsledger archive verify`",
        facts: ["entry": String(entry)])
    }
    if try session.storedRoot(at: last)?.root == index.root { return }
    try session.record(StoredRoot(entry: last, frontier: index.after, root: index.root))
  }

  /// Tries again while somebody reads the log, with a short lock timeout: an append waits for the lock too.
  ///
  /// - Returns: False if an earlier run has dropped the partition.
  private func dropOne(
    _ first: Int64, _ index: SegmentIndex, events: UInt64, _ taskLease: TaskLease
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
        try session.asRepairRole { (connection) throws(OpsError) in
          isNew = try onDatabase { () throws(PostgresError) in
            try connection.pipeline([taskLease.fence, (Self.dropPartition, parameters)])[1].bool(
              0, 0)
          }
          if isNew { CrashSite.dropped.reach() }
        }
        if isNew { CrashSite.committed.reach() }
        return isNew
      } catch {
        guard error.isLockTimeout, attempt < 100 else { throw error }
        attempt += 1
        usleep(UInt32.random(in: 50_000...300_000))
      }
    }
  }

  private static let dropPartition = Statement(
    "SELECT ledger.drop_partition($1::bigint, $2::text, $3::bigint, $4::bytea, $5::text)")
}
