public import Ledger
import Log

/// A fault of the log itself. No tables can be repaired from such a log.
public struct LogProblem: Equatable, Sendable {
  public enum What: Equatable, Sendable {
    /// The stream lacks this version, and has a later one.
    case versionMissing(Int32)
    case versionTwice
    /// A version has an earlier place in the log than the version before it.
    case versionsSwapped
    case unknownType(String)
    case unreadable(String)
    /// The entries from the problem's on have fewer or more events than the seals count.
    case eventsMissing(upTo: Int64, expected: Int64, found: Int64)
    /// The events from the problem's entry on do not hash to the root that the database recorded when it pushed.
    case rootDiffers(upTo: Int64, recorded: String, found: String)
    /// The events from the problem's entry on differ from those of this store.
    case storeDiffers(String, upTo: Int64)
    /// The content is missing as after an erasure, and no later event of the stream erased it.
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

  /// The problem as a difference between what the log should have and what it has.
  public var difference: Difference {
    let name = stream?.description ?? "entry \(entry)"
    let version = version.map(String.init)
    let (row, column, expected, found): (String, String, String, String?) =
      switch what {
      case .versionMissing(let missing): (name, "version", String(missing), version)
      case .versionTwice: (name, "version", "once", "\(version ?? "?") again in entry \(entry)")
      case .versionsSwapped:
        (
          name, "version", "versions in the order of entries",
          "\(version ?? "?") in entry \(entry), before an earlier version"
        )
      case .unknownType(let type): (name, "type", "a type of this release", type)
      case .unreadable(let reason):
        (name, "data", "a readable payload", "version \(version ?? "?"): \(reason)")
      case .rootDiffers(let last, let recorded, let found):
        ("entries \(entry) to \(last)", "root", recorded, found)
      case .storeDiffers(let store, let last):
        (name, "event", "the events of \(store) up to entry \(last)", "another event, or none")
      case .contentGone:
        (
          "\(name), entry \(entry)", "content", "content, or a later event that erased it",
          "neither"
        )
      case .eventsMissing(let last, let expected, let found):
        (
          last > entry ? "entries \(entry) to \(last)" : name, "index", "\(expected) events",
          "\(found)"
        )
      }
    return Difference(
      table: "ledger.events", row: row, column: column, expected: expected, found: found)
  }
}

/// One difference between the tables and the replay of the log.
public struct Difference: Equatable, Sendable {
  public let table: String
  /// The row's key.
  public let row: String
  /// `*` if the whole row is missing, or should not exist.
  public let column: String
  /// The value according to the log; nil for SQL NULL or no row.
  public let expected: String?
  /// The value in the table.
  public let found: String?

  public init(table: String, row: String, column: String, expected: String?, found: String?) {
    self.table = table
    self.row = row
    self.column = column
    self.expected = expected
    self.found = found
  }
}
