import JSON
import Ledger
import Log

/// The streams of one row type while they are folded.
///
/// A scan of the log does not give a stream in the order of its versions. An event that is not the next of its stream
/// therefore waits for the events before it. If it still waits at the end, the log has a gap.
struct FoldTable<R: Row> {
  struct Slot {
    /// The first property, so that its address is the slot's address (``Swift/UnsafePointer/row()``).
    var row: R?
    let stream: StreamID
    var version: Int32 = 0
    var last = LogPosition(entry: 0, index: 0)
    var at = Instant(micros: .min)
    /// Whether the comparison has found the stream's live row.
    var isSeen = false
    /// Whether the stream's history is broken. Its row proves nothing then.
    var isBroken = false

    /// The version of the next event. A damaged snapshot may have a row with the greatest possible version.
    var nextVersion: Int32 { version == .max ? .max : version + 1 }
  }

  private let kinds = StreamEvent<R>.Kind.all.map { (kind: $0, isRead: $0.isRead) }
  private var index = StreamIndex()
  private(set) var slots = Chunked<Slot>()
  private var waiting: [StreamID: [WaitingEvent]] = [:]

  func find(_ stream: StreamID) -> Int? {
    index.find(stream) { slots[$0].stream == stream }
  }

  func row(of stream: StreamID) -> R? { find(stream).flatMap { slots[$0].row } }

  /// Passes each row by its address: copying a row costs as much as writing it.
  func withEachRow<E: Error>(_ body: (UnsafePointer<R>) throws(E) -> Void) throws(E) {
    try slots.withEach { (slot) throws(E) in
      if let row: UnsafePointer<R> = slot.row() { try body(row) }
    }
  }

  mutating func markSeen(_ slot: Int) { slots[slot].isSeen = true }

  /// The slot of a stream. A new stream gets one.
  private mutating func slot(of stream: StreamID) -> Int {
    if let known = find(stream) { return known }
    index.insert(stream, slot: slots.count) { slots[$0].stream }
    slots.append(Slot(row: nil, stream: stream))
    return slots.count - 1
  }

  /// Begins a stream with its row as of a snapshot.
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

  /// Applies the events that waited for the one just applied.
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

  /// Ends a slice: each stream whose events still wait lacks a version.
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

/// The state that the folds of all row types share.
final class FoldContext {
  var problems: [LogProblem] = []
  /// How many events have an earlier time than the event before them in the same stream.
  var clockRanBack = 0
  private let dataReader = JSONReader()
  private let contentReader = JSONReader()

  /// The event's payload, valid until the next call.
  func payload(of event: EventView) -> Payload {
    Payload(
      // `{}` is a quarter of all payloads.
      data: event.data.count == 2 ? .none : dataReader.fields(event.data) ?? .none,
      content: event.content.flatMap { contentReader.fields($0) } ?? .none)
  }
}

/// The position of an event in the log.
struct LogPosition: Comparable, Hashable, CustomStringConvertible {
  let entry: Int64
  let index: Int32

  var description: String { "\(entry)/\(index)" }

  static func < (a: LogPosition, b: LogPosition) -> Bool {
    a.entry == b.entry ? a.index < b.index : a.entry < b.entry
  }
}

/// One event, in the reader's buffer.
struct EventView {
  struct Fixed {
    let position: LogPosition
    let stream: StreamID
    let version: Int32
    let at: Instant
  }

  let fixed: Fixed
  let data: UnsafeRawBufferPointer
  /// Nil if the event has none.
  let content: UnsafeRawBufferPointer?
}

/// An event that was read before its predecessor, with a copy of its payload.
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
