import Archive
import Crypto
import Host
import JSON
import Ledger
import Log
import Replay

/// `snapshot create|prune`: all rows as of an entry, in the store.
enum SnapshotCommands {
  static let create = Command(
    group: .recover, name: "snapshot create",
    summary: "write all rows as of an entry into the store",
    options: [
      .value("at", "WHEN", "an entry, a time or -2h (the last sealed entry)")
    ],
    notes: [
      "It pushes first. The rows come from a replay of the log, not from the live tables. state at, state diff and "
        + "bisect begin with the nearest earlier snapshot. A restore does not need snapshots: it reads the segments."
    ],
    examples: [
      "--store /backup/ops snapshot create": "for example daily",
      "snapshot create --at -7d": "speeds up queries about that week",
    ]
  ) { (call) throws(OpsError) in
    let when = try call.text("at").map { (text) throws(OpsError) in try When(text) }
    let session = try call.session(isCourteous: true)
    let entry = try when.map { (when) throws(OpsError) in try session.moment(when).entry }
    for files in try call.openStores() {
      let watch = Stopwatch()
      let report = try ReplayCommands.watched("snapshot") { (progress) throws(OpsError) in
        try SnapshotMaker(session, files, progress).run(at: entry)
      }
      call.print(text(report, files, watch)) { json(report, files, &$0) }
    }
    return .fine
  }

  static let prune = Command(
    group: .recover, name: "snapshot prune", summary: "remove older snapshots from the store",
    options: [
      .value("keep", "N", "keep the newest N (3)"),
      .flag("dry-run", "only list what it would remove"),
    ],
    notes: ["No history is lost: a snapshot can be made again from the segments."],
    examples: ["snapshot prune --keep 7 --dry-run": "which would it remove?"]
  ) { (call) throws(OpsError) in
    let keep = try call.integer("keep", in: 1...1_000_000) ?? 3
    let dryRun = call.flag("dry-run")
    for files in try call.openStores() {
      let store = try Store.existing(files)
      let gone = try store.pruneSnapshots(keep: keep, dryRun: dryRun)
      let left = try store.snapshots().snapshots.count - (dryRun ? gone.count : 0)
      let text =
        "\(Terminal.printable(files.place)): \(dryRun ? "would remove" : "removed") "
        + "\(Shown.count(gone.count, "snapshot")), \(Shown.count(left)) left\n"
      call.print(text + gone.map { "  \($0.name)\n" }.joined()) { out in
        out.string("store", files.place)
        out.bool("dry_run", dryRun)
        out.list("removed", gone.map(\.name))
        out.int("bytes", gone.reduce(0) { $0 + $1.size })
        out.int("left", left)
      }
    }
    return .fine
  }
}

// MARK: - For people

extension SnapshotCommands {
  private static func text(
    _ report: SnapshotReport, _ files: any ObjectStore, _ watch: Stopwatch
  ) -> String {
    let index = report.index
    let rows = Shown.count(index.rowCount, "row")
    let place = Terminal.printable(files.place)
    return report.isNew
      ? "wrote \(rows) as of entry \(index.name.entry) into \(place) in \(watch.text): \(index.name)\n"
      : "\(index.name) is in \(place) already, and valid: \(rows)\n"
  }

  static func text(_ rows: [(SnapshotList.Snapshot, SnapshotIndex)]) -> String {
    guard !rows.isEmpty else { return "" }
    let table = TextTable(
      rows,
      [
        .number("SNAPSHOT AT") { "\($0.1.name.entry)" },
        .number("ROWS") { Shown.count($0.1.rowCount) },
        .number("BYTES") { Shown.count($0.0.file.size) },
      ])
    return "\n" + table.text()
  }
}

// MARK: - For scripts

extension SnapshotCommands {
  private static func json(
    _ report: SnapshotReport, _ files: any ObjectStore, _ out: inout JSONObjectWriter
  ) {
    out.string("store", files.place)
    out.string("file", report.index.name.path)
    out.bool("new", report.isNew)
    write(report.index, to: &out)
  }

  static func json(
    _ row: (SnapshotList.Snapshot, SnapshotIndex), _ store: any ObjectStore,
    _ out: inout JSONObjectWriter
  ) {
    let (snapshot, index) = row
    out.string("store", store.place)
    out.string("file", snapshot.name.path)
    out.int("bytes", snapshot.file.size)
    write(index, to: &out)
  }

  private static func write(_ index: SnapshotIndex, to out: inout JSONObjectWriter) {
    out.int("entry", index.name.entry)
    out.int("events", index.size)
    out.string("root", index.root.hex)
    out.int("rows", index.rowCount)
    out.json(
      "runs",
      .array(
        index.runs.map { run in
          .object([
            "name": .string(run.name), "lines": .int(Int64(clamping: run.lines)),
            "offset": .int(Int64(clamping: run.bytes.lowerBound)),
            "bytes": .int(Int64(run.bytes.count)),
          ])
        }))
  }
}
