import Archive
import Crypto
import Host
import JSON
import Ledger
import Log

/// `archive …`: the store, which holds the history outside of the database.
enum ArchiveCommands {
  static let all = [push, list, verify, ForkCommand.fork]

  static let push = Command(
    group: .recover, name: "archive push",
    summary: "copy what was sealed since the last push into the store",
    options: [
      .init(name: "watch", help: "go on: losing the database loses what is younger"),
      .init(name: "every", value: "D", help: "with --watch, once in so much time (5s)"),
    ],
    notes: [
      "Every file is read back before it counts. A push that was cut short is gone on with; of two "
        + "at once the second waits. It refuses a store of another ledger, and one that holds what "
        + "this database lacks (OPS_015): then nothing is recorded here before opsledger restore. "
        + "--watch begins no store where this ledger already has one."
    ],
    examples: [
      .init(
        line: "--store /backup/ops archive push", meaning: "begin a store, or bring it up to date"),
      .init(line: "archive push --watch --every 5s", meaning: "for ever, into OPS_STORE"),
      .init(
        line: "--store s3://backup/ops archive push", meaning: "a bucket; AWS_… say how to reach it"
      ),
    ]
  ) { (call) throws(OpsError) in
    let every = try call.millis("every") ?? 5000
    if every < 1 { throw .badInput("--every wants a time above 0") }
    let stop = StopSignal()
    let session = try call.session(isCourteous: true)
    let stores = try call.openStores()
    // What runs unattended begins a ledger's first store and no other: the one that is there may only be
    // not mounted.
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
          call.note("warning: there was no store at \(store.place): a new one was begun")
        }
      }
      Output.standard.flush()
    } while call.flag("watch") && stop.sleep(millis: every)
    return .fine
  }

  /// - Returns: Nil where it could not, and may the next time.
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
      // What passes by itself does not end a watch.
      let passes = [.databaseUnreachable, .notFound, .notAllowed, .conflict].contains(error.code)
      guard call.flag("watch"), passes else { throw error }
      call.note("warning: \(error); tried again")
      return nil
    }
    if call.wantsJSON {
      Output.standard.line(json(report, store))
    } else if !report.segments.isEmpty || !call.flag("watch") {
      Output.standard.write(text(report, store, watch))
    }
    return report
  }

  static let list = Command(
    group: .recover, name: "archive list",
    summary: "the segments and snapshots of the store: entries, events, times, sizes",
    examples: [.init(line: "--store /backup/ops archive list", meaning: "what is there")]
  ) { (call) throws(OpsError) in
    var lines: [String] = []
    var isWhole = true
    for files in try call.openStores() {
      let store = try Store.existing(files)
      let contents = try store.contents()
      if call.wantsJSON {
        lines += contents.segments.map { json($0, files) }
        lines += contents.snapshots.map { SnapshotCommands.json($0, files) }
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
    summary: "read all of the store and check every byte of it",
    notes: [
      "Every hash of every frame, every event's leaf against the segment's roots, and the roots one "
        + "after the other; of a snapshot every hash, and its rows against those that the events of "
        + "the segments lead to; the tree's tiles against the leaves. It needs no database. Exit 1: something is damaged or missing."
    ],
    examples: [.init(line: "--store /backup/ops archive verify", meaning: "could it be restored?")]
  ) { (call) throws(OpsError) in
    let stores = try call.openStores()
    var isSound = true
    for files in stores {
      do throws(OpsError) {
        if try !verify(files, call) { isSound = false }
      } catch {
        // One that cannot be read hides no other.
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
    if call.wantsJSON {
      Output.standard.line(json(report, files))
    } else {
      Output.standard.write(text(report, files, watch))
    }
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
    var table = TextTable([
      .init(title: "ENTRIES", canShrink: false), .init(title: "EVENTS", alignsRight: true),
      .init(title: "FROM", canShrink: false), .init(title: "TO", canShrink: false),
      .init(title: "BYTES", alignsRight: true),
    ])
    for (segment, index) in rows {
      let entries = segment.name.entries
      table.add([
        "\(entries.lowerBound)–\(entries.upperBound)", Shown.count(Int(clamping: index.eventCount)),
        index.frames.first.map { "\($0.times.lowerBound)" } ?? "",
        index.frames.last.map { "\($0.times.upperBound)" } ?? "",
        Shown.count(Int(clamping: segment.file.size)),
      ])
    }
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
  private static func json(_ report: PushReport, _ store: any ObjectStore) -> String {
    var out = JSONObjectWriter()
    out.string("store", store.place)
    out.int("last_entry", report.lastEntry)
    out.int("events", report.events)
    out.json("segments", .array(report.segments.map { .string($0.path) }))
    return out.finish()
  }

  private static func json(
    _ row: (SegmentList.Segment, SegmentIndex), _ store: any ObjectStore
  ) -> String {
    let (segment, index) = row
    var out = JSONObjectWriter()
    out.string("store", store.place)
    out.string("file", segment.name.path)
    out.int("first_entry", segment.name.entries.lowerBound)
    out.int("last_entry", segment.name.entries.upperBound)
    out.int("events", index.eventCount)
    out.int("bytes", segment.file.size)
    out.string("root", index.root.hex)
    return out.finish()
  }

  private static func json(_ report: StoreReport, _ store: any ObjectStore) -> String {
    var out = JSONObjectWriter()
    out.bool("ok", report.faults.isEmpty)
    out.string("store", store.place)
    out.int("last_entry", report.lastEntry)
    out.string("root", report.root)
    out.int("segments", report.segments)
    out.int("snapshots", report.snapshots)
    out.int("tiles", report.tiles)
    out.int("events", report.events)
    out.json("faults", .array(report.faults.map(JSON.string)))
    out.json("notes", .array(report.notes.map(JSON.string)))
    return out.finish()
  }
}
