public import Ledger
import Postgres

/// What `doctor` says of one protection.
public struct Finding: Equatable, Sendable {
  public enum Verdict: String, Comparable, Sendable {
    case pass = "PASS"
    case warn = "WARN"
    case fail = "FAIL"

    public static func < (a: Verdict, b: Verdict) -> Bool { a.rank < b.rank }

    private var rank: Int {
      switch self {
      case .pass: 0
      case .warn: 1
      case .fail: 2
      }
    }
  }

  public var name: String
  public var verdict: Verdict
  /// What was seen, a sentence each; where all is well, one.
  public var saw: [String]
  /// What to do about it; nil where nothing is wrong.
  public var remedy: String?

  public init(name: String, verdict: Verdict, saw: [String], remedy: String? = nil) {
    self.name = name
    self.verdict = verdict
    self.saw = saw
    self.remedy = remedy
  }
}

/// One protection: a query whose rows are what is wrong with it.
struct Check: Sendable {
  var name: String
  /// What a row means.
  var severity: Finding.Verdict
  /// What to say where there are no rows.
  var fine: String
  var remedy: String
  /// Whether laying the schema again mends it.
  var isApplied = false
  var sql: String
}

extension Session {
  /// Looks at every protection of the ledger, in the catalogue. It changes nothing and needs no more rights
  /// than to read; what it may not look at is a warning.
  ///
  /// - Throws: Where the database is out of reach.
  public func examine() throws(OpsError) -> [Finding] {
    var findings = [try examineSchema(), try examineDefinitions()]
    for check in Check.all { findings.append(try examine(check)) }
    return findings
  }

  /// The names of the protections that are out of force and that laying the schema again mends.
  func unapplied() throws(OpsError) -> [String] {
    var names: [String] = []
    for check in Check.all where check.isApplied {
      if try examine(check).verdict == .fail { names.append(check.name) }
    }
    if try examineDefinitions().verdict != .pass { names.append(Installer.definitions) }
    return names
  }

  /// Whether it is known what the schema laid: where it is not, there is no ledger to examine.
  public func notesDefinitions() throws(OpsError) -> Bool {
    let rows = try query(Statement("SELECT to_regclass('ledger_guard.definitions') IS NOT NULL"))
    return try onDatabase { () throws(PostgresError) in try rows.bool(0, 0) }
  }

  /// Constraints and indexes of the eight tables that are not in force: what the schema laid, and what operators have
  /// added and rows break.
  package func notInForce() throws(OpsError) -> [String] {
    let connection = try connection()
    return try onDatabase { () throws(PostgresError) in
      let (applied, found) = try Definitions.read(on: connection)
      var texts = applied.map { Definitions.repairable($0, found).map(\.text) } ?? []
      let rows = try connection.query(Statement(Check.notInForce))
      for row in 0..<rows.count { texts.append(try rows.text(row, 0)) }
      return texts
    }
  }

  /// What keeps one check from looking is its finding, and stops no other.
  private func looking(
    _ name: String, _ body: () throws(OpsError) -> Finding
  ) throws(OpsError) -> Finding {
    do throws(OpsError) { return try body() } catch {
      if error.code == .databaseUnreachable { throw error }
      return Finding(
        name: name, verdict: .warn, saw: ["could not be looked at: \(error.message)"],
        remedy: error.isLockTimeout
          ? "see `locks` below; then ask again"
          : "ask as a login that may: the engine's, or an auditor's")
    }
  }

  private func examine(_ check: Check) throws(OpsError) -> Finding {
    try looking(check.name) { () throws(OpsError) in
      let rows = try query(Statement(check.sql))
      let saw = try onDatabase { () throws(PostgresError) in
        var saw: [String] = []
        for row in 0..<rows.count { saw.append(try rows.text(row, 0)) }
        return saw
      }
      if saw.isEmpty { return Finding(name: check.name, verdict: .pass, saw: [check.fine]) }
      return Finding(
        name: check.name, verdict: check.severity, saw: saw, remedy: check.remedy)
    }
  }

  /// Everything that the schema lays, against what was laid.
  private func examineDefinitions() throws(OpsError) -> Finding {
    let name = Installer.definitions
    return try looking(name) { () throws(OpsError) in
      let connection = try connection()
      let (applied, found) = try onDatabase { () throws(PostgresError) in
        try Definitions.read(on: connection)
      }
      guard let applied else {
        return Finding(
          name: name, verdict: .fail, saw: ["nobody has noted what was laid"],
          remedy: "note it with `opsledger init`")
      }
      let saw = Definitions.faults(applied: applied, found: found).map(\.text)
      if saw.isEmpty {
        return Finding(
          name: name, verdict: .pass, saw: ["\(applied.facts.count) objects are as they were laid"])
      }
      return Finding(
        name: name, verdict: .fail, saw: saw,
        remedy:
          "`opsledger init`, by a superuser, lays them again, and names what it cannot put back; then `verify`"
      )
    }
  }

  private func examineSchema() throws(OpsError) -> Finding {
    try looking("schema") { () throws(OpsError) in
      let pending = try Installer.pending(self)
      if pending.isEmpty {
        return Finding(
          name: "schema", verdict: .pass, saw: ["it is the one of release \(Installer.release)"])
      }
      return Finding(
        name: "schema", verdict: .warn,
        saw: pending.map { "\($0) is not laid, or is another release's" },
        remedy: "lay it with `opsledger init`")
    }
  }
}
