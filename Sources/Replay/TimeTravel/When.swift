public import Ledger
public import Log
import Postgres

/// A moment of the log, in the form that a person gives.
public enum When: Equatable, Sendable {
  /// After this entry. If no entry has the number, the last entry below it counts.
  case entry(Int64)
  case time(Instant)
  /// This long before now.
  case ago(milliseconds: Int64)

  /// Reads `41`, a time (UTC unless it has an offset), or `-2h`, `-1d12h`.
  ///
  /// - Throws: `OPS_019` for anything else.
  public init(_ text: String) throws(OpsError) {
    if !text.isEmpty, text.utf8.allSatisfy({ (0x30...0x39).contains($0) }) {
      guard let entry = Int64(text) else { throw Self.unreadable(text) }
      self = .entry(entry)
    } else if text.hasPrefix("-"), let span = Self.span(text.dropFirst()) {
      self = .ago(milliseconds: span)
    } else if let time = Instant(text) {
      self = .time(time)
    } else {
      throw Self.unreadable(text)
    }
  }

  private static func unreadable(_ text: String) -> OpsError {
    OpsError(
      .badInput, "\"\(text)\" is not a moment",
      hint:
        "give the number of an entry, a time like 2026-11-24T14:05:00Z (UTC unless it has an offset), "
        + "or an age like -2h (ms, s, m, h, d, w)")
  }

  /// `2h`, `1h30m`.
  private static func span(_ text: Substring) -> Int64? {
    var (rest, sum) = (text, Int64(0))
    guard !rest.isEmpty else { return nil }
    while !rest.isEmpty {
      let digits = rest.prefix { $0.isASCII && $0.isNumber }
      rest = rest.dropFirst(digits.count)
      let unit = rest.prefix { $0.isASCII && $0.isLetter }
      rest = rest.dropFirst(unit.count)
      guard let count = Int64(digits), let factor = factor(of: unit) else { return nil }
      let (part, tooLong) = count.multipliedReportingOverflow(by: factor)
      let (next, overflows) = sum.addingReportingOverflow(part)
      if tooLong || overflows { return nil }
      sum = next
    }
    return sum
  }

  private static func factor(of unit: Substring) -> Int64? {
    switch unit {
    case "ms": 1
    case "s": 1000
    case "m", "min": 60_000
    case "h": 3_600_000
    case "d": 86_400_000
    case "w": 7 * 86_400_000
    default: nil
    }
  }
}

/// A number in the sealed prefix. The state at a moment is the fold of the entries up to it.
public struct Moment: Equatable, Sendable {
  /// The number that was given, or that was found for a time.
  public let entry: Int64
  /// The greatest existing entry up to the number; nil before the first.
  public let last: Int64?
  /// The time of that entry.
  public let recordedAt: Instant?
  /// The time that was given.
  public let asked: Instant?
  /// Whether no seal is later than the time that was given. A later entry may then still belong before that time.
  public let isProvisional: Bool
}

extension Session {
  /// Finds a moment in the sealed prefix. Seals first, if this session may write.
  ///
  /// Entries are in the order of their numbers, and 74 of 100 have an earlier time than an entry before them. A time
  /// therefore means the greatest entry recorded at or before it: one jump of the clock does not hide all later entries.
  ///
  /// - Throws: `OPS_011` after the last sealed entry, or before the first entry.
  public func moment(_ when: When) throws(OpsError) -> Moment {
    let sealed = try sealed()
    switch when {
    case .entry(let entry):
      guard entry <= sealed else {
        throw OpsError(
          .notFound, "entry \(entry) is not sealed; the last sealed entry is \(sealed)",
          hint: "`opsledger status` names what holds the seal back, if anything does",
          facts: ["entry": "\(entry)", "sealed": "\(sealed)"])
      }
      return try moment(at: entry, asked: nil, sealed: sealed)
    case .time(let time): return try moment(asked: time, sealed)
    case .ago(let span):
      return try moment(asked: try now().adding(milliseconds: -span), sealed)
    }
  }

  private func moment(asked time: Instant, _ sealed: Int64) throws(OpsError) -> Moment {
    var parameters = Parameters()
    parameters.time(time)
    parameters.int8(sealed)
    let found = try HistoryReader.read(
      self, first: [(Self.greatestAtTime, parameters)]
    ) { (answers, reader) throws(OpsError) -> Int64? in
      let found = try onDatabase { () throws(PostgresError) in try answers[0].int8IfPresent(0, 0) }
      if let found { return found }
      return try reader.lastArchivedEvent(upTo: sealed, at: time)?.entry
    }
    guard let found else {
      throw OpsError(
        .notFound, "the log has no entry at or before \(time)",
        hint: "give a later time; `opsledger log show --entry 1` shows when the log begins")
    }
    return try moment(at: found, asked: time, sealed: sealed)
  }

  private static let greatestAtTime = Statement(
    """
    SELECT max(e.entry) FROM ledger.events AS e
    WHERE e.recorded_at <= $1::timestamptz AND e.entry <= $2::bigint
    """)

  private func moment(
    at entry: Int64, asked: Instant?, sealed: Int64
  ) throws(OpsError) -> Moment {
    var time = Parameters()
    time.time(asked ?? Instant(micros: .min))
    time.int8(sealed)
    let (last, isFinal) = try HistoryReader.read(
      self, first: [(Self.lastUpTo, Parameters(entry)), (Self.isFinal, time)]
    ) { (answers, reader) throws(OpsError) -> (LoggedEvent?, Bool) in
      let isFinal = try onDatabase { () throws(PostgresError) in try answers[1].bool(0, 0) }
      if let last = try answers[0].events().first { return (last, isFinal) }
      return (try reader.lastArchivedEvent(upTo: entry), isFinal)
    }
    return Moment(
      entry: entry, last: last?.entry, recordedAt: last?.recordedAt, asked: asked,
      isProvisional: asked != nil && !isFinal)
  }

  private static let lastUpTo = Statement(
    """
    SELECT \(LoggedEvent.columns) FROM ledger.events AS e WHERE e.entry <= $1::bigint
    ORDER BY e.entry DESC, e.index DESC LIMIT 1
    """)

  /// Whether a seal is later than a time, or the time is past and no number was allocated since the last seal.
  private static let isFinal = Statement(
    """
    SELECT EXISTS (SELECT FROM ledger.checkpoints AS c WHERE c.sealed_at > $1::timestamptz)
      OR NOT pg_is_in_recovery() AND $1::timestamptz < clock_timestamp()
        AND (SELECT s.last_value FROM ledger.entry_sequence AS s) <= $2::bigint
    """)
}
