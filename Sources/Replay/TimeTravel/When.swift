public import Ledger
public import Log
import Postgres

/// A moment of the log, as people say it.
public enum When: Equatable, Sendable {
  /// After this entry; a number that no entry has stands for the entries below it.
  case entry(Int64)
  case time(Instant)
  /// So many milliseconds before now.
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
      .badInput, "\(text.isEmpty ? "an empty text" : text) is no moment",
      hint: "an entry's number, a time like 2026-11-24T14:05:00Z (UTC unless it has an offset), "
        + "or -2h (ms, s, m, h, d, w)")
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

/// A sealed entry, up to which a state is what the log says.
public struct Moment: Equatable, Sendable {
  /// As it was asked for, or found by its time.
  public let entry: Int64
  /// The greatest entry that there is up to it; nil before the first.
  public let last: Int64?
  /// When that was recorded.
  public let recordedAt: Instant?
  /// The time that was asked for.
  public let asked: Instant?
  /// No seal is later than the time that was asked for: what is recorded from now on may still belong
  /// before it.
  public let isProvisional: Bool
}

extension Session {
  /// Finds a moment, in what is sealed; seals first, where that is allowed here.
  ///
  /// Entries are ordered by their numbers, and 74 of 100 carry an earlier time than one before them. A
  /// time therefore means the greatest entry recorded at or before it, so that one leap of the clock
  /// does not hide what follows.
  ///
  /// - Throws: `OPS_011` beyond the last sealed entry, or before anything was recorded.
  public func moment(_ when: When) throws(OpsError) -> Moment {
    let sealed = try sealed()
    switch when {
    case .entry(let entry):
      guard entry <= sealed else {
        throw OpsError(
          .notFound, "entry \(entry) is beyond the last that is sealed, \(sealed)",
          hint: "opsledger status names what holds the seal back, if anything does",
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
      let hot = try onDatabase { () throws(PostgresError) in try answers[0].int8IfPresent(0, 0) }
      if let hot { return hot }
      return try reader.lastArchivedEvent(upTo: sealed, at: time)?.entry
    }
    guard let found else {
      throw OpsError(.notFound, "nothing was recorded at or before \(time)")
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
    var (number, time) = (Parameters(), Parameters())
    number.int8(entry)
    time.time(asked ?? Instant(micros: .min))
    time.int8(sealed)
    let (last, isSettled) = try HistoryReader.read(
      self, first: [(Self.lastUpTo, number), (Self.isSettled, time)]
    ) { (answers, reader) throws(OpsError) -> (LoggedEvent?, Bool) in
      let isSettled = try onDatabase { () throws(PostgresError) in try answers[1].bool(0, 0) }
      if let last = try answers[0].events().first { return (last, isSettled) }
      return (try reader.lastArchivedEvent(upTo: entry), isSettled)
    }
    return Moment(
      entry: entry, last: last?.entry, recordedAt: last?.recordedAt, asked: asked,
      isProvisional: asked != nil && !isSettled)
  }

  private static let lastUpTo = Statement(
    """
    SELECT \(LoggedEvent.columns) FROM ledger.events AS e WHERE e.entry <= $1::bigint
    ORDER BY e.entry DESC, e.index DESC LIMIT 1
    """)

  /// Whether a seal is later than a time, or nothing was drawn since the last one, which is over now.
  private static let isSettled = Statement(
    """
    SELECT EXISTS (SELECT FROM ledger.checkpoints AS c WHERE c.sealed_at > $1::timestamptz)
      OR NOT pg_is_in_recovery() AND $1::timestamptz < clock_timestamp()
        AND (SELECT s.last_value FROM ledger.entry_sequence AS s) <= $2::bigint
    """)
}
