package import Ledger

/// The events without their content, and the erasures. Only an erasure may remove content.
package struct GoneContent: Sendable {
  /// The last entry without its content, by stream.
  private var emptied: [StreamID: Int64] = [:]
  private var erased: [StreamID: Int64] = [:]

  package init() {}

  /// Call it with events in the order of the log.
  package mutating func note(_ event: EventLine) {
    if event.commitment != nil { emptied[event.stream] = event.entry }
    if String(decoding: event.type.suffix(Self.erasure.utf8.count), as: UTF8.self) == Self.erasure {
      erased[event.stream] = event.entry
    }
  }

  package mutating func add(_ later: GoneContent) {
    emptied.merge(later.emptied) { max($0, $1) }
    erased.merge(later.erased) { max($0, $1) }
  }

  /// The streams that lack content without an erasure, each with its last such entry, in the order of entries.
  package var unexplained: [(stream: StreamID, entry: Int64)] {
    emptied.filter { erased[$0.key, default: 0] <= $0.value }.map { ($0.key, $0.value) }
      .sorted { $0.1 < $1.1 }
  }

  private static let erasure = CommonKind.erased.typeSuffix
}
