public import Ledger
import Log

/// What is wrong with the log itself: nothing that the tables could be mended by.
public struct LogProblem: Equatable, Sendable {
  public enum What: Equatable, Sendable {
    /// The stream lacks this version, and goes on after it.
    case versionMissing(Int32)
    case versionTwice
    /// A later version stands before an earlier one.
    case versionsSwapped
    case unknownType(String)
    case unreadable(String)
    /// The entries from the problem's on lack events, or have some that were not sealed.
    case eventsMissing(upTo: Int64, expected: Int64, found: Int64)
    /// The events from the problem's entry on do not hash to the root that the database noted when it pushed.
    case rootDiffers(upTo: Int64, recorded: String, found: String)
    /// A store has the events from the problem's entry on differently.
    case storeDiffers(String, upTo: Int64)
    /// Content is gone as by an erasure, and no later event of the stream erased it.
    case contentGone
  }

  public let stream: StreamID?
  public let version: Int32?
  public let entry: Int64
  public let what: What

  init(_ event: EventView.Fixed, _ what: What) {
    stream = event.stream
    version = event.version
    entry = event.position.entry
    self.what = what
  }

  init(entry: Int64, stream: StreamID? = nil, _ what: What) {
    self.stream = stream
    version = nil
    self.entry = entry
    self.what = what
  }

  /// What should be there, and what is, in the words of a list of differences.
  public var difference: Difference {
    let row = stream?.description ?? "entry \(entry)"
    return switch what {
    case .versionMissing(let missing):
      Difference(
        table: "ledger.events", row: row, column: "version", expected: String(missing),
        found: version.map(String.init))
    case .versionTwice:
      Difference(
        table: "ledger.events", row: row, column: "version", expected: "once",
        found: "\(version.map(String.init) ?? "?") again in entry \(entry)")
    case .versionsSwapped:
      Difference(
        table: "ledger.events", row: row, column: "version",
        expected: "versions in the order of entries",
        found: "\(version.map(String.init) ?? "?") in entry \(entry), before an earlier one")
    case .unknownType(let type):
      Difference(
        table: "ledger.events", row: row, column: "type", expected: "a type of this release",
        found: type)
    case .unreadable(let reason):
      Difference(
        table: "ledger.events", row: row, column: "data", expected: "a readable payload",
        found: "version \(version.map(String.init) ?? "?"): \(reason)")
    case .rootDiffers(let last, let recorded, let found):
      Difference(
        table: "ledger.events", row: "entries \(entry) to \(last)", column: "root",
        expected: recorded,
        found: found)
    case .storeDiffers(let place, let last):
      Difference(
        table: "ledger.events", row: row, column: "event",
        expected: "what \(place) has of it, up to entry \(last)",
        found: "another event, or none")
    case .contentGone:
      Difference(
        table: "ledger.events", row: "\(row), entry \(entry)", column: "content",
        expected: "content, or a later event that erased it", found: "neither")
    case .eventsMissing(let last, let expected, let found):
      Difference(
        table: "ledger.events", row: last > entry ? "entries \(entry) to \(last)" : row,
        column: "index", expected: "\(expected) events",
        found: "\(found)")
    }
  }
}

/// One difference between the tables and the replay of the log.
public struct Difference: Equatable, Sendable {
  public let table: String
  /// The row's key.
  public let row: String
  /// `*` where the whole row is missing or is one too many.
  public let column: String
  /// As the log has it; nil is SQL NULL or no row.
  public let expected: String?
  /// As the table has it.
  public let found: String?

  public init(table: String, row: String, column: String, expected: String?, found: String?) {
    self.table = table
    self.row = row
    self.column = column
    self.expected = expected
    self.found = found
  }
}
