extension OpsError {
  /// What is behind an error, for code that decides by more than the code. ``facts`` says the same to people.
  public enum Cause: Equatable, Sendable {
    case database(DatabaseFault)
    case store(StoreFault)
    /// The database gives a line of the log that is no event of this entry.
    case unreadableLine(entry: Int64, fault: String)
    /// Something on the tables changed the rows that a repair wrote.
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

  /// Nil where the database refused nothing.
  public var database: DatabaseFault? {
    if case .database(let fault) = cause { fault } else { nil }
  }

  /// Nil where it is about no store.
  public var store: StoreFault? {
    if case .store(let fault) = cause { fault } else { nil }
  }

  /// Whether another transaction held a lock for longer than the statement was willing to wait.
  public var isLockTimeout: Bool { database?.isLockTimeout ?? false }
}

/// Why PostgreSQL refused a statement, or how its connection was lost.
public struct DatabaseFault: Equatable, Sendable {
  /// Five characters.
  ///
  /// - Source: PostgreSQL manual, appendix A.
  public let sqlstate: String
  /// The server's own words.
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

  /// The classes that something here decides by: the first two characters of a SQLSTATE.
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

  /// Nil for any other class.
  public var errorClass: Class? { Class(rawValue: String(sqlstate.prefix(2))) }

  public var isLockTimeout: Bool { sqlstate == "55P03" }

  /// The transaction may only read, as each does on a replica.
  public var isReadOnly: Bool { sqlstate == "25006" }

  /// The connection broke, or the server ended it (57P01 to 57P05); another can be made.
  public var isLostConnection: Bool { errorClass == .connection || sqlstate.hasPrefix("57P") }

  var facts: [String: String] {
    var facts = ["sqlstate": sqlstate]
    facts["server"] = message
    facts["constraint"] = constraint
    facts["table"] = table
    return facts
  }
}

/// What is the matter with a store, or with one file in it.
public struct StoreFault: Equatable, Sendable {
  public enum Kind: Sendable {
    /// Bytes are missing, or are not what was written.
    case damaged
    /// A release wrote it whose format this one does not read, mostly a newer one.
    case newerFormat
    /// It belongs to another ledger, or to another line of this one's history.
    case anotherLedger
    /// It and the database, or another store, went on apart, or one lacks what the other has.
    case diverged
    /// It is not there, out of reach, closed to us, or in use.
    case unavailable
  }

  public var kind: Kind
  /// Where the store lies, and the file in it; nil where the error is about no single one.
  public var place: String?
  public var file: String?
  /// The entries that cannot be had for it.
  public var entries: ClosedRange<Int64>?

  public init(
    _ kind: Kind, at place: String? = nil, file: String? = nil, entries: ClosedRange<Int64>? = nil
  ) {
    self.kind = kind
    self.place = place
    self.file = file
    self.entries = entries
  }

  /// The entries that are lost unless another copy has them. What a newer release can read is not lost.
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
  /// `OPS_015`, by what it means.
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
