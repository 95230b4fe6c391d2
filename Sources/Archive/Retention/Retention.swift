import Crypto
import Glibc
public import Ledger
public import Log
import Postgres
public import Replay

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
  /// Planned, and kept since the database refuses to let them go: by a lock, a constraint or a trigger of somebody's.
  public internal(set) var refused: [(mission: StreamID, error: OpsError)] = []
  /// Parts of the log that left now, and their events.
  public internal(set) var partitions = 0
  public internal(set) var events: Int64 = 0
  /// The stores that hold what left.
  public internal(set) var stores: [String] = []

  /// Whether everything that was planned has left.
  public var isComplete: Bool { held.isEmpty && changed.isEmpty && refused.isEmpty }
}

extension RetentionReport {
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
          store: .damaged, "\(files.place) cannot be relied on, so nothing leaves: \(fault)",
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
    _ run: RetentionRun, _ segment: String, _ taskLease: TaskLease, _ report: inout RetentionReport
  ) throws(OpsError) {
    guard !run.missions.isEmpty else { return }
    let plan = RetentionPlan(policy: run.policy, cut: run.cut)
    var pruner = try Pruner(session, plan, run.missions, actor: actor, segment: segment)
    progress.expect(run.missions.count)
    let planned = zip(run.missions, run.fingerprints).map { mission, fingerprint in
      Pruner.Planned(mission: mission, fingerprint: fingerprint)
    }
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

  /// The front of the log, a partition at a time. A hold keeps none of it: the store has it, and replay reads it there.
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
            store: .diverged, "\(files.place) does not end a segment at entry \(last)",
            hint: "run `opsledger archive push`")
        }
        guard index == nil || index?.root == here.root else {
          throw OpsError(store: .diverged, "the stores differ at entry \(last)")
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

  /// What leaves is what the store has, event by event, whatever was noted here; the root there is noted where it was not.
  private func compare(
    _ entries: ClosedRange<Int64>, with store: Store, _ list: SegmentList, _ index: SegmentIndex
  ) throws(OpsError) {
    let last = entries.upperBound
    if try session.lastArchived() >= last { return }
    if let entry = try store.firstDifference(entries, list, session) {
      throw OpsError(
        store: .diverged, "entry \(entry) of the log is not what \(store.files.place) has of it",
        hint: "one of them was changed: see `opsledger verify` and `opsledger archive verify`",
        facts: ["entry": String(entry)])
    }
    if try session.storedRoot(at: last)?.root == index.root { return }
    try session.record(StoredRoot(entry: last, frontier: index.after, root: index.root))
  }

  /// Asks again where somebody reads the log: nobody who appends waits longer than a moment.
  ///
  /// - Returns: False where it had left before.
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
