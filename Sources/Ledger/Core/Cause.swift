extension OpsError {
  /// The cause of an error, for callers that decide by more than its code. ``facts`` tell the same to people.
  public enum Cause: Equatable, Sendable {
    case database(DatabaseFault)
    case store(StoreFault)
    /// A line of the log is not an event of this entry.
    case unreadableLine(entry: Int64, fault: String)
    /// A trigger or a rule on the tables changed the rows that a repair wrote.
    case tablesChanged

    var facts: [String: String] {
      switch self {
      case .database(let fault): fault.facts
      case .store(let fault): fault.facts
      case .unreadableLine(let entry, let fault): ["entry": String(entry), "fault": fault]
      case .tablesChanged: ["tables": "changed"]
      }
    }
  }

  /// Nil if the database is not the cause.
  public var database: DatabaseFault? {
    if case .database(let fault) = cause { fault } else { nil }
  }

  /// Nil if a store is not the cause.
  public var store: StoreFault? {
    if case .store(let fault) = cause { fault } else { nil }
  }

  /// Whether another transaction held a lock for longer than the statement's timeout.
  public var isLockTimeout: Bool { database?.isLockTimeout ?? false }
}

/// PostgreSQL refused a statement, or the connection to it was lost.
public struct DatabaseFault: Equatable, Sendable {
  /// - Source: PostgreSQL manual, appendix A.
  public let sqlstate: String
  /// The server's message.
  public let message: String?
  public let constraint: String?
  public let table: String?

  public init(
    sqlstate: String, message: String? = nil, constraint: String? = nil, table: String? = nil
  ) {
    self.sqlstate = sqlstate
    self.message = message
    self.constraint = constraint
    self.table = table
  }

  /// The classes of a SQLSTATE, its first two characters, that opsledger decides by.
  public enum Class: String, Sendable {
    case connection = "08"
    case data = "22"
    case constraint = "23"
    case rollback = "40"
    case syntax = "42"
    case resources = "53"
    case limits = "54"
    case state = "55"
    case intervention = "57"
    case system = "58"
    case `internal` = "XX"
  }

  public var errorClass: Class? { Class(rawValue: String(sqlstate.prefix(2))) }

  public var isLockTimeout: Bool { sqlstate == "55P03" }

  /// Whether the transaction may only read, as every transaction of a replica.
  public var isReadOnly: Bool { sqlstate == "25006" }

  /// Whether the connection broke, or the server ended it (57P01 to 57P05).
  public var isLostConnection: Bool { errorClass == .connection || sqlstate.hasPrefix("57P") }

  var facts: [String: String] {
    var facts = ["sqlstate": sqlstate]
    facts["server"] = message
    facts["constraint"] = constraint
    facts["table"] = table
    return facts
  }
}

/// A fault of a store, or of one file in it.
public struct StoreFault: Equatable, Sendable {
  public enum Kind: Sendable {
    /// Bytes are missing or changed.
    case damaged
    /// This release cannot read the format, mostly because a newer release wrote it.
    case newerFormat
    /// The store belongs to another ledger, or to another history of this one.
    case anotherLedger
    /// The store has diverged from the database or from another store, or one lacks entries of the other.
    case diverged
    /// The store is missing, cannot be reached, denies access, or is in use.
    case unavailable
  }

  public var kind: Kind
  /// The store's directory or bucket, and the file in it; nil if the error is not about a single one.
  public var place: String?
  public var file: String?
  /// The entries that cannot be read because of the fault.
  public var entries: ClosedRange<Int64>?

  public init(
    _ kind: Kind, at place: String? = nil, file: String? = nil, entries: ClosedRange<Int64>? = nil
  ) {
    self.kind = kind
    self.place = place
    self.file = file
    self.entries = entries
  }

  /// The entries that are lost unless another copy has them. Entries that a newer release can read are not lost.
  public var lost: ClosedRange<Int64>? {
    switch kind {
    case .damaged, .anotherLedger, .diverged: entries
    case .newerFormat, .unavailable: nil
    }
  }

  var facts: [String: String] {
    var facts: [String: String] = [:]
    facts["store"] = place
    facts["file"] = file
    facts["first_entry"] = entries.map { String($0.lowerBound) }
    facts["last_entry"] = entries.map { String($0.upperBound) }
    if kind == .newerFormat { facts["is_newer"] = "true" }
    return facts
  }
}

extension OpsError {
  /// An error `OPS_015`.
  public init(
    store kind: StoreFault.Kind, _ message: String, hint: String? = nil, at place: String? = nil,
    file: String? = nil, losing entries: ClosedRange<Int64>? = nil, facts: [String: String] = [:]
  ) {
    self.init(
      StoreFault(kind, at: place, file: file, entries: entries), message, hint: hint, facts: facts)
  }

  public init(
    _ fault: StoreFault, _ message: String, hint: String? = nil, facts: [String: String] = [:]
  ) {
    self.init(.storeDiverged, message, hint: hint, facts: facts, cause: .store(fault))
  }
}
