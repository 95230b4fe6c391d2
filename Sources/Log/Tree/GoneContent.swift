package import Ledger

/// Events whose content is gone, and the erasures that say so: nothing else takes content off.
package struct GoneContent: Sendable {
  /// By stream, the last entry.
  private var emptied: [StreamID: Int64] = [:]
  private var erased: [StreamID: Int64] = [:]

  package init() {}

  /// Events come in the order of the log.
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

  /// Of each stream that lacks content which nobody erased the last entry that does, in their order.
  package var unexplained: [(stream: StreamID, entry: Int64)] {
    emptied.filter { erased[$0.key, default: 0] <= $0.value }.map { ($0.key, $0.value) }
      .sorted { $0.1 < $1.1 }
  }

  private static let erasure = CommonKind.erased.typeSuffix
}
