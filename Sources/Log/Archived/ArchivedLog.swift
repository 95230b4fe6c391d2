public import Ledger

/// The archived part of the log: entries below the first one that the database still holds.
///
/// This module knows no store. A program that has one gives it to ``Session/Target``, and replay reads both parts.
public protocol ArchivedLog: Sendable {
  /// Checks that the store has the history that this database archived.
  ///
  /// - Parameter root: The root of the tree over all events up to the entry.
  /// - Throws: `OPS_015` if the store has another history, or ends before the entry.
  func require(root: [UInt8], at entry: Int64) throws(OpsError)

  /// Calls `body` with each event, in the order of the log, until it returns false. An event is valid until the next.
  ///
  /// - Throws: `OPS_015` if a file is missing or damaged, with its name. No event is left out.
  func events(_ wanted: ArchivedQuery, _ body: (EventLine) throws(OpsError) -> Bool)
    throws(OpsError)

  /// The same in reverse order, from the last event.
  func eventsBackwards(
    _ wanted: ArchivedQuery, _ body: (LoggedEvent) throws(OpsError) -> Bool
  ) throws(OpsError)

  /// The paths, in the store, of the files that hold these entries.
  func files(holding entries: Set<Int64>) throws(OpsError) -> [String]
}

/// Which archived events to read.
public struct ArchivedQuery: Sendable {
  public enum Streams: Sendable {
    case all
    /// Streams from one up to another, which is excluded; nil: without a bound.
    case range(from: StreamID?, to: StreamID?)
    /// Streams whose ``StreamID/hashInPostgres`` has this remainder.
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
  /// Only these of the entries; nil: all.
  public var only: Set<Int64>?
  public var streams: Streams
  /// Events that were recorded later may be left out, so that files without earlier ones need not be read.
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
  /// PostgreSQL's `uuid_hash`, so that a stream falls into the same slice in SQL and here.
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
