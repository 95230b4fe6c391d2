public import Ledger

/// The part of the log that has left the database: entries below the first one that it still holds.
///
/// Log knows no store; who has one at hand gives this to ``Session/Target``, and replay reads hot and cold alike.
public protocol ArchivedLog: Sendable {
  /// Makes sure that it is the history which left.
  ///
  /// - Parameters:
  ///   - root: Of the tree over all events up to the entry.
  /// - Throws: `OPS_015` where it is another's, or ends before.
  func require(root: [UInt8], at entry: Int64) throws(OpsError)

  /// Hands over events in the order of the log, each good until the next, for as long as `body` says to go on.
  ///
  /// - Throws: `OPS_015` where a file is missing or damaged, naming it; nothing is left out.
  func events(
    _ wanted: ArchivedQuery, _ body: (EventLine) throws(OpsError) -> Bool
  ) throws(OpsError)

  /// The same from the last one on.
  func eventsBackwards(
    _ wanted: ArchivedQuery, _ body: (LoggedEvent) throws(OpsError) -> Bool
  ) throws(OpsError)

  /// The files that hold these entries, by their paths in the store.
  func files(holding entries: Set<Int64>) throws(OpsError) -> [String]
}

/// Which events are wanted of what has left.
public struct ArchivedQuery: Sendable {
  public enum Streams: Sendable {
    case all
    /// Those from one on, up to another and without it; nil: without an end.
    case range(from: StreamID?, to: StreamID?)
    /// Those whose ``StreamID/hashInPostgres`` leaves this remainder.
    case hash(remainder: UInt32, of: UInt32)
    case these(Set<StreamID>)

    public func contains(_ stream: StreamID) -> Bool {
      switch self {
      case .all: true
      case .range(let first, let end):
        first.map { $0 <= stream } ?? true && end.map { stream < $0 } ?? true
      case .hash(let remainder, let count):
        (stream.hashInPostgres & 1_073_741_823) % count == remainder
      case .these(let streams): streams.contains(stream)
      }
    }
  }

  public var entries: ClosedRange<Int64>
  /// Of those, only these; nil: all of them.
  public var only: Set<Int64>?
  public var streams: Streams
  /// Events that were recorded later are not wanted: what has none before may be left unread.
  public var upTo: Instant?

  public init(
    _ entries: ClosedRange<Int64>, only: Set<Int64>? = nil, _ streams: Streams = .all,
    upTo: Instant? = nil
  ) {
    self.entries = entries
    self.only = only
    self.streams = streams
    self.upTo = upTo
  }
}

extension StreamID {
  /// PostgreSQL's `uuid_hash`: which slice a stream is of must come out alike on both sides.
  ///
  /// - Source: PostgreSQL `src/common/hashfn.c`, `hash_bytes` of 16 bytes on a little-endian machine: Bob Jenkins's
  ///   lookup3, seeded with the length.
  @inlinable
  public var hashInPostgres: UInt32 {
    func rotated(_ word: UInt32, _ bits: UInt32) -> UInt32 { word << bits | word >> (32 - bits) }
    let (first, second) = (high.byteSwapped, low.byteSwapped)
    let seed: UInt32 = 0x9e37_79b9 &+ 16 &+ 3_923_095
    var a = seed &+ UInt32(truncatingIfNeeded: first)
    var b = seed &+ UInt32(truncatingIfNeeded: first >> 32)
    var c = seed &+ UInt32(truncatingIfNeeded: second)
    a = (a &- c) ^ rotated(c, 4)
    c = c &+ b
    b = (b &- a) ^ rotated(a, 6)
    a = a &+ c
    c = (c &- b) ^ rotated(b, 8)
    b = b &+ a
    a = (a &- c) ^ rotated(c, 16)
    c = c &+ b
    b = (b &- a) ^ rotated(a, 19)
    a = a &+ c
    c = (c &- b) ^ rotated(b, 4)
    b = b &+ a
    a = a &+ UInt32(truncatingIfNeeded: second >> 32)
    c = (c ^ b) &- rotated(b, 14)
    a = (a ^ c) &- rotated(c, 11)
    b = (b ^ a) &- rotated(a, 25)
    c = (c ^ b) &- rotated(b, 16)
    a = (a ^ c) &- rotated(c, 4)
    b = (b ^ a) &- rotated(a, 14)
    c = (c ^ b) &- rotated(b, 24)
    return c
  }
}
