import Archive
import Crypto
import Host
import JSON
import Ledger
import Log
import Replay

/// `snapshot …`: all rows as of an entry, kept in the store.
enum SnapshotCommands {
  static let all = [create, prune]

  static let create = Command(
    group: .recover, name: "snapshot create",
    summary: "keep all rows as of an entry in the store",
    options: [
      .init(name: "at", value: "WHEN", help: "the moment (the newest sealed entry)")
    ],
    notes: [
      "It pushes first. The rows are the fold of the log, not the live tables. With a snapshot near, "
        + "state at, state diff and bisect need not read the log from its beginning. A restore does not "
        + "need snapshots: it reads the segments."
    ],
    examples: [
      .init(line: "--store /backup/ops snapshot create", meaning: "after a push, or daily"),
      .init(line: "snapshot create --at -7d", meaning: "to look around there for a while"),
    ]
  ) { (call) throws(OpsError) in
    let when = if let text = call.text("at") { try When(text) } else { nil as When? }
    let session = try call.session(isCourteous: true)
    let entry = if let when { try session.moment(when).entry } else { nil as Int64? }
    for files in try call.openStores() {
      let watch = Stopwatch()
      let report = try ReplayCommands.watched("snapshot") { (progress) throws(OpsError) in
        try SnapshotMaker(session, files, progress).run(at: entry)
      }
      if call.wantsJSON {
        Output.standard.line(json(report, files))
      } else {
        Output.standard.write(text(report, files, watch))
      }
    }
    return .fine
  }

  static let prune = Command(
    group: .recover, name: "snapshot prune", summary: "remove the older snapshots of the store",
    options: [
      .init(name: "keep", value: "N", help: "the newest N stay (3)"),
      .init(name: "dry-run", help: "only say which would go"),
    ],
    notes: ["Nothing is lost with a snapshot: the segments have what it was made from."],
    examples: [.init(line: "snapshot prune --keep 7 --dry-run", meaning: "which would go?")]
  ) { (call) throws(OpsError) in
    let keep = try call.integer("keep", in: 1...1_000_000) ?? 3
    let dryRun = call.flag("dry-run")
    for files in try call.openStores() {
      let store = try Store.existing(files)
      let gone = try store.pruneSnapshots(keep: keep, dryRun: dryRun)
      let left = try store.snapshots().snapshots.count - (dryRun ? gone.count : 0)
      if call.wantsJSON {
        var out = JSONObjectWriter()
        out.string("store", files.place)
        out.bool("dry_run", dryRun)
        out.json("removed", .array(gone.map { .string($0.name) }))
        out.int("bytes", gone.reduce(0) { $0 + $1.size })
        out.int("left", Int64(left))
        Output.standard.line(out.finish())
        continue
      }
      let verb = dryRun ? "would remove" : "removed"
      Output.standard.line(
        "\(Terminal.printable(files.place)): \(verb) \(Shown.count(gone.count, "snapshot")), "
          + "\(Shown.count(left)) left")
      for file in gone { Output.standard.line("  \(file.name)") }
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
    let rows = Shown.count(Int(clamping: index.rowCount), "row")
    let place = Terminal.printable(files.place)
    return report.isNew
      ? "kept \(rows) as of entry \(index.name.entry) in \(place), \(watch.text): \(index.name)\n"
      : "\(index.name) is in \(place) already, and sound: \(rows)\n"
  }

  static func text(_ rows: [(SnapshotList.Snapshot, SnapshotIndex)]) -> String {
    guard !rows.isEmpty else { return "" }
    var table = TextTable([
      .init(title: "SNAPSHOT AT", alignsRight: true), .init(title: "ROWS", alignsRight: true),
      .init(title: "BYTES", alignsRight: true),
    ])
    for (snapshot, index) in rows {
      table.add([
        "\(index.name.entry)", Shown.count(Int(clamping: index.rowCount)),
        Shown.count(Int(clamping: snapshot.file.size)),
      ])
    }
    return "\n" + table.text()
  }
}

// MARK: - For scripts

extension SnapshotCommands {
  private static func json(_ report: SnapshotReport, _ files: any ObjectStore) -> String {
    var out = JSONObjectWriter()
    out.string("store", files.place)
    out.string("file", report.index.name.path)
    out.bool("new", report.isNew)
    write(report.index, to: &out)
    return out.finish()
  }

  static func json(
    _ row: (SnapshotList.Snapshot, SnapshotIndex), _ store: any ObjectStore
  ) -> String {
    let (snapshot, index) = row
    var out = JSONObjectWriter()
    out.string("store", store.place)
    out.string("file", snapshot.name.path)
    out.int("bytes", snapshot.file.size)
    write(index, to: &out)
    return out.finish()
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
