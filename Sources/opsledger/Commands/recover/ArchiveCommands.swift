import Archive
import Crypto
import Host
import JSON
import Ledger
import Log

/// `archive push|list|verify|fork`: the store, which holds the history outside the database.
enum ArchiveCommands {
  static let all = [push, list, verify, ForkCommand.fork]

  static let push = Command(
    group: .recover, name: "archive push",
    summary: "copy the entries sealed since the last push into the store",
    options: [
      .flag("watch", "push again and again: a lost database then costs only the last seconds"),
      .value("every", "D", "with --watch: the interval between two pushes (5s)"),
    ],
    notes: [
      "Every file is read back before it counts. The next push continues one that was interrupted, and waits for one "
        + "that runs. --watch begins no store if this ledger already has one.",
      "It refuses the store of another ledger, and a store with entries that this database lacks (OPS_015): the "
        + "database is then a stale copy, and records nothing until opsledger restore.",
    ],
    examples: [
      "--store /backup/ops archive push": "begins a store, or brings it up to date",
      "archive push --watch --every 5s": "runs for ever, into OPS_STORE",
      "--store s3://backup/ops archive push":
        "uses a bucket; set AWS_ACCESS_KEY_ID and the other AWS_ settings",
    ]
  ) { (call) throws(OpsError) in
    let every = try call.millis("every") ?? 5000
    if every < 1 { throw .badInput("--every needs a duration above 0") }
    let stop = StopSignal()
    let session = try call.session(isCourteous: true)
    let stores = try call.openStores()
    // An unattended push begins a ledger's first store and no other: the old one may only be not mounted.
    let wasPushed = try session.wasPushed()
    if call.flag("watch") { call.notePooler(session) }
    var known: Set<String> = []
    repeat {
      for store in stores {
        let mayBegin = !known.contains(store.place) && !(wasPushed && call.flag("watch"))
        guard let report = try pushed(session, store, call, mayBegin: mayBegin, stop) else {
          continue
        }
        known.insert(store.place)
        if report.isBegun && wasPushed {
          call.note("warning: there was no store at \(store.place), so a new one was begun")
        }
      }
      Output.standard.flush()
    } while call.flag("watch") && stop.sleep(millis: every)
    return .fine
  }

  /// - Returns: Nil where the push failed, and the watch tries again.
  private static func pushed(
    _ session: Session, _ store: any ObjectStore, _ call: Invocation, mayBegin: Bool,
    _ stop: StopSignal, isAgain: Bool = false
  ) throws(OpsError) -> PushReport? {
    let watch = Stopwatch()
    let report: PushReport
    do throws(OpsError) {
      report = try Pusher(session, store).run(mayBegin: mayBegin)
    } catch {
      if call.flag("watch"), !isAgain, Outage.wait(for: session, error, stop) {
        return try pushed(session, store, call, mayBegin: mayBegin, stop, isAgain: true)
      }
      // These errors may pass by themselves.
      let passes = [.databaseUnreachable, .notFound, .notAllowed, .conflict].contains(error.code)
      guard call.flag("watch"), passes else { throw error }
      call.note("warning: \(error); trying again")
      return nil
    }
    if call.wantsJSON || !report.segments.isEmpty || !call.flag("watch") {
      call.print(text(report, store, watch)) { json(report, store, &$0) }
    }
    return report
  }

  static let list = Command(
    group: .recover, name: "archive list",
    summary: "list the segments and snapshots of the store: entries, events, times, sizes",
    examples: ["--store /backup/ops archive list": "what is in the store?"]
  ) { (call) throws(OpsError) in
    var lines: [String] = []
    var isWhole = true
    for files in try call.openStores() {
      let store = try Store.existing(files)
      let contents = try store.contents()
      if call.wantsJSON {
        lines += contents.segments.map { row in JSONObjectWriter.text { json(row, files, &$0) } }
        lines += contents.snapshots.map { row in
          JSONObjectWriter.text { SnapshotCommands.json(row, files, &$0) }
        }
      } else {
        Output.standard.write(
          text(contents.segments, store) + SnapshotCommands.text(contents.snapshots))
      }
      for fault in contents.faults { call.note("warning: \(fault)") }
      isWhole = isWhole && contents.faults.isEmpty
    }
    if call.wantsJSON { Output.standard.line("[" + lines.joined(separator: ",\n ") + "]") }
    return isWhole ? .fine : .no
  }

  static let verify = Command(
    group: .recover, name: "archive verify",
    summary: "read the whole store and check every byte",
    notes: [
      "It checks the hashes of all frames, the events against the Merkle roots of their segments, the roots against "
        + "each other, the rows of snapshots against a replay of the events, and the tiles of the Merkle tree. It needs "
        + "no database. Exit 1: something is damaged or missing."
    ],
    examples: ["--store /backup/ops archive verify": "could a restore use this store?"]
  ) { (call) throws(OpsError) in
    let stores = try call.openStores()
    var isSound = true
    for files in stores {
      do throws(OpsError) {
        if try !verify(files, call) { isSound = false }
      } catch {
        // The other stores are still checked.
        guard stores.count > 1 else { throw error }
        Output.messages.write(error.report)
        isSound = false
      }
    }
    return isSound ? .fine : .no
  }

  private static func verify(
    _ files: any ObjectStore, _ call: Invocation
  ) throws(OpsError) -> Bool {
    let watch = Stopwatch()
    let progress = Progress("verify", unit: "events")
    defer { progress.finish() }
    let report = try StoreVerifier(try Store.existing(files)).run {
      progress.show(done: $0, of: $1)
    }
    progress.finish()
    call.print(text(report, files, watch)) { json(report, files, &$0) }
    return report.faults.isEmpty
  }
}

// MARK: - For people

extension ArchiveCommands {
  private static func text(
    _ report: PushReport, _ store: any ObjectStore, _ watch: Stopwatch
  ) -> String {
    let place = Terminal.printable(store.place)
    guard !report.segments.isEmpty else {
      return "\(place) has everything up to entry \(report.lastEntry)\n"
    }
    return "pushed \(Shown.count(report.events, "event")) to \(place) in \(watch.text): "
      + "\(Shown.count(report.segments.count, "segment")), up to entry \(report.lastEntry)\n"
  }

  private static func text(
    _ rows: [(SegmentList.Segment, SegmentIndex)], _ store: Store
  ) -> String {
    let table = TextTable(
      rows,
      [
        .whole("ENTRIES") { "\($0.0.name.entries.lowerBound)–\($0.0.name.entries.upperBound)" },
        .number("EVENTS") { Shown.count($0.1.eventCount) },
        .whole("FROM") { $0.1.frames.first.map { "\($0.times.lowerBound)" } ?? "" },
        .whole("TO") { $0.1.frames.last.map { "\($0.times.upperBound)" } ?? "" },
        .number("BYTES") { Shown.count($0.0.file.size) },
      ])
    let events = rows.reduce(0) { $0 + Int(clamping: $1.1.eventCount) }
    return "\(Terminal.printable(store.record.title)), \(Terminal.printable(store.files.place)): "
      + "\(Shown.count(events, "event")) in \(Shown.count(rows.count, "segment"))\n" + table.text()
  }

  private static func text(
    _ report: StoreReport, _ store: any ObjectStore, _ watch: Stopwatch
  ) -> String {
    var text =
      "\(Terminal.printable(store.place)): read \(Shown.count(report.events, "event")) in "
      + "\(Shown.count(report.segments, "segment")), "
      + "\(Shown.count(report.snapshots, "snapshot")) and \(Shown.count(report.tiles, "tile")), "
      + "\(watch.text)\n"
    for fault in report.faults { text += "  \(Terminal.printable(fault))\n" }
    for note in report.notes { text += "  note: \(Terminal.printable(note))\n" }
    return text
      + (report.faults.isEmpty
        ? "sound up to entry \(report.lastEntry), root \(report.root)\n"
        : "\(Shown.count(report.faults.count, "fault"))\n")
  }
}

// MARK: - For scripts

extension ArchiveCommands {
  private static func json(
    _ report: PushReport, _ store: any ObjectStore, _ out: inout JSONObjectWriter
  ) {
    out.string("store", store.place)
    out.int("last_entry", report.lastEntry)
    out.int("events", report.events)
    out.json("segments", .array(report.segments.map { .string($0.path) }))
  }

  private static func json(
    _ row: (SegmentList.Segment, SegmentIndex), _ store: any ObjectStore,
    _ out: inout JSONObjectWriter
  ) {
    let (segment, index) = row
    out.string("store", store.place)
    out.string("file", segment.name.path)
    out.int("first_entry", segment.name.entries.lowerBound)
    out.int("last_entry", segment.name.entries.upperBound)
    out.int("events", index.eventCount)
    out.int("bytes", segment.file.size)
    out.string("root", index.root.hex)
  }

  private static func json(
    _ report: StoreReport, _ store: any ObjectStore, _ out: inout JSONObjectWriter
  ) {
    out.bool("ok", report.faults.isEmpty)
    out.string("store", store.place)
    out.int("last_entry", report.lastEntry)
    out.string("root", report.root)
    out.int("segments", report.segments)
    out.int("snapshots", report.snapshots)
    out.int("tiles", report.tiles)
    out.int("events", report.events)
    out.list("faults", report.faults)
    out.list("notes", report.notes)
  }
}
