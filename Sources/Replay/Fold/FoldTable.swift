import JSON
import Ledger
import Log

/// The streams of one noun while they are folded.
///
/// A scan of the log does not give a stream in the order of its versions, so an event that is not
/// the next of its stream waits until the gap before it closes. One that still waits at the end is a
/// hole in the log.
struct FoldTable<R: Row> {
  struct Slot {
    /// First, so that it lies where its slot does (``withEachRow(_:)``).
    var row: R?
    let stream: StreamID
    var version: Int32 = 0
    var last = LogPosition(entry: 0, index: 0)
    var at = Instant(micros: .min)
    /// The live row was met when the tables were compared.
    var isSeen = false
    /// Its history is broken, so that its row proves nothing.
    var isBroken = false

    /// Of the event that is due next. What a snapshot names may be the last number of the type.
    var nextVersion: Int32 { version == .max ? .max : version + 1 }
  }

  private let kinds = StreamEvent<R>.Kind.all.map { (kind: $0, isRead: $0.isRead) }
  private var index = StreamIndex()
  private(set) var slots = Chunked<Slot>()
  private var waiting: [StreamID: [WaitingEvent]] = [:]

  var rowCount: Int { slots.count { $0.row != nil } }

  func find(_ stream: StreamID) -> Int? {
    index.find(stream) { slots[$0].stream == stream }
  }

  /// The rows that the events left, each where it lies: copying one costs as much as writing it.
  func withEachRow<E: Error>(_ body: (UnsafePointer<R>) throws(E) -> Void) throws(E) {
    try slots.withEach { (slot) throws(E) in
      guard slot.pointee.row != nil else { return }
      // What an optional holds lies at its start.
      try body(UnsafeRawPointer(slot).assumingMemoryBound(to: R.self))
    }
  }

  mutating func markSeen(_ slot: Int) { slots[slot].isSeen = true }

  /// The slot of a stream, made where the stream is new.
  private mutating func slot(of stream: StreamID) -> Int {
    if let known = find(stream) { return known }
    index.insert(stream, slot: slots.count) { slots[$0].stream }
    slots.append(Slot(row: nil, stream: stream))
    return slots.count - 1
  }

  /// Begins a stream where a snapshot has it.
  mutating func seed(_ stream: StreamID, _ row: R?, version: Int32, upTo entry: Int64) {
    let slot = slot(of: stream)
    slots[slot].row = row
    slots[slot].version = version
    slots[slot].last = LogPosition(entry: entry, index: .max)
  }

  mutating func take(_ event: EventView, kind: Int, _ context: FoldContext) {
    let slot = slot(of: event.fixed.stream)
    let next = slots[slot].nextVersion
    if event.fixed.version == next {
      apply(event, kind: kind, to: slot, context)
      if !waiting.isEmpty { applyWaiting(to: slot, context) }
    } else if event.fixed.version > next {
      waiting[event.fixed.stream, default: []].append(WaitingEvent(event, kind: kind))
    } else {
      context.problems.append(LogProblem(event.fixed, .versionTwice))
      slots[slot].isBroken = true
    }
  }

  /// Folds an event that is being recorded now.
  mutating func record(
    _ event: StreamEvent<R>, to stream: StreamID, at instant: Instant
  ) -> DraftedEvent {
    let slot = slot(of: stream)
    slots[slot].version = slots[slot].nextVersion
    slots[slot].at = instant
    let version = slots[slot].version
    R.evolve(
      &slots[slot].row, event, Recorded(stream: stream, version: version, at: instant))
    return DraftedEvent(event, of: stream, version: version)
  }

  private mutating func apply(
    _ event: EventView, kind: Int, to slot: Int, _ context: FoldContext
  ) {
    let fixed = event.fixed
    if fixed.position < slots[slot].last {
      context.problems.append(LogProblem(fixed, .versionsSwapped))
      slots[slot].isBroken = true
    }
    if fixed.at < slots[slot].at { context.clockRanBack += 1 }
    slots[slot].version = fixed.version
    slots[slot].last = fixed.position
    slots[slot].at = fixed.at
    do throws(Unreadable) {
      let decoded = try StreamEvent<R>(
        kinds[kind].kind, from: kinds[kind].isRead ? context.payload(of: event) : .none)
      R.evolve(
        &slots[slot].row, decoded,
        Recorded(stream: fixed.stream, version: fixed.version, at: fixed.at))
    } catch {
      context.problems.append(LogProblem(fixed, .unreadable(error.reason)))
      slots[slot].isBroken = true
    }
  }

  /// Applies what waited for the event that was just applied.
  private mutating func applyWaiting(to slot: Int, _ context: FoldContext) {
    let stream = slots[slot].stream
    while let events = waiting[stream],
      let at = events.firstIndex(where: { $0.fixed.version == slots[slot].nextVersion })
    {
      waiting[stream]?.remove(at: at)
      if events.count == 1 { waiting[stream] = nil }
      events[at].withView { apply($0, kind: events[at].kind, to: slot, context) }
    }
  }

  /// Ends a slice: what still waits has a hole before it.
  mutating func finish(_ context: FoldContext) {
    for (stream, events) in waiting {
      guard let first = events.min(by: { $0.fixed.version < $1.fixed.version }) else { continue }
      let slot = slot(of: stream)
      slots[slot].isBroken = true
      context.problems.append(
        LogProblem(first.fixed, .versionMissing(slots[slot].nextVersion)))
    }
    waiting.removeAll()
  }
}

/// What the folding of all nouns has in common.
final class FoldContext {
  var problems: [LogProblem] = []
  /// Events of a stream that were recorded earlier, by the clock, than the one before.
  var clockRanBack = 0
  private let dataReader = JSONReader()
  private let contentReader = JSONReader()

  /// Good until the next call.
  func payload(of event: EventView) -> Payload {
    Payload(
      // `{}` is a quarter of all payloads.
      data: event.data.count == 2 ? .none : dataReader.fields(event.data) ?? .none,
      content: event.content.flatMap { contentReader.fields($0) } ?? .none)
  }
}

/// Where an event stands in the log.
struct LogPosition: Comparable {
  let entry: Int64
  let index: Int32

  static func < (a: LogPosition, b: LogPosition) -> Bool {
    a.entry == b.entry ? a.index < b.index : a.entry < b.entry
  }
}

/// One event as it lies in the reader's buffer.
struct EventView {
  struct Fixed {
    let position: LogPosition
    let stream: StreamID
    let version: Int32
    let at: Instant
  }

  let fixed: Fixed
  let data: UnsafeRawBufferPointer
  /// Nil where there is none.
  let content: UnsafeRawBufferPointer?
}

/// An event that came before its time, with its payload copied.
private struct WaitingEvent {
  let fixed: EventView.Fixed
  let kind: Int
  let data: [UInt8]
  let content: [UInt8]?

  init(_ event: EventView, kind: Int) {
    fixed = event.fixed
    self.kind = kind
    data = Array(event.data)
    content = event.content.map(Array.init)
  }

  func withView(_ body: (EventView) -> Void) {
    data.withUnsafeBytes { data in
      guard let content else {
        return body(EventView(fixed: fixed, data: data, content: nil))
      }
      content.withUnsafeBytes { body(EventView(fixed: fixed, data: data, content: $0)) }
    }
  }
}
