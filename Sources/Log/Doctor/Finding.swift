public import Ledger
import Postgres

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
  /// What the check saw: one text for each fault, or one text that all is well.
  public var saw: [String]
  /// What to do; nil if nothing is wrong.
  public var remedy: String?

  public init(name: String, verdict: Verdict, saw: [String], remedy: String? = nil) {
    self.name = name
    self.verdict = verdict
    self.saw = saw
    self.remedy = remedy
  }
}

extension Finding {
  /// A pass if there are no faults.
  fileprivate init(
    _ name: String, _ severity: Verdict, _ faults: [String], fine: String, remedy: String
  ) {
    let isFine = faults.isEmpty
    self.init(
      name: name, verdict: isFine ? .pass : severity, saw: isFine ? [fine] : faults,
      remedy: isFine ? nil : remedy)
  }
}

/// A check: a query that returns one row for each fault.
struct Check: Sendable {
  var name: String
  /// The verdict if there is a fault.
  var severity: Finding.Verdict
  /// What to say if there is no fault.
  var fine: String
  var remedy: String
  /// Whether applying the schema again repairs the fault.
  var isApplied = false
  var sql: String
}

extension Session {
  /// Runs every check. It changes nothing, and needs only the right to read. A check that cannot run is a warning.
  ///
  /// - Throws: `OPS_001` if the database cannot be reached.
  public func examine() throws(OpsError) -> [Finding] {
    var findings = [try examineSchema(), try examineDefinitions()]
    for check in Check.all { findings.append(try examine(check)) }
    return findings
  }

  /// The checks with a fault that applying the schema again repairs.
  func unapplied() throws(OpsError) -> [String] {
    var names: [String] = []
    for check in Check.all where check.isApplied {
      if try examine(check).verdict == .fail { names.append(check.name) }
    }
    if try examineDefinitions().verdict != .pass { names.append(Installer.definitions) }
    return names
  }

  /// Whether the schema's definitions are recorded. If not, there is no ledger to examine.
  public func notesDefinitions() throws(OpsError) -> Bool {
    try boolean(Statement("SELECT to_regclass('ledger_guard.definitions') IS NOT NULL"))
  }

  /// Constraints and indexes of the eight tables that are not in force: the schema's, and those of operators.
  package func notInForce() throws(OpsError) -> [String] {
    let (applied, found) = try definitions()
    return try (applied.map { Definitions.repairable($0, found).map(\.text) } ?? [])
      + query(Statement(Check.notInForce)).texts()
  }

  private func definitions() throws(OpsError) -> (applied: Definitions?, found: Definitions) {
    let connection = try connection()
    return try onDatabase { () throws(PostgresError) in try Definitions.read(on: connection) }
  }

  private func checked(
    _ name: String, _ body: () throws(OpsError) -> Finding
  ) throws(OpsError) -> Finding {
    do throws(OpsError) { return try body() } catch {
      if error.code == .databaseUnreachable { throw error }
      return Finding(
        name: name, verdict: .warn, saw: ["cannot be checked: \(error.message)"],
        remedy: error.isLockTimeout
          ? "see `locks` below; then run `opsledger doctor` again"
          : "use a login that may read it: the engine's, or an auditor's")
    }
  }

  private func examine(_ check: Check) throws(OpsError) -> Finding {
    try checked(check.name) { () throws(OpsError) in
      Finding(
        check.name, check.severity, try query(Statement(check.sql)).texts(), fine: check.fine,
        remedy: check.remedy)
    }
  }

  /// Compares everything that the schema defines with what was applied.
  private func examineDefinitions() throws(OpsError) -> Finding {
    let name = Installer.definitions
    return try checked(name) { () throws(OpsError) in
      let (applied, found) = try definitions()
      guard let applied else {
        return Finding(
          name: name, verdict: .fail, saw: ["no definitions are recorded"],
          remedy: "record them with `opsledger init`")
      }
      return Finding(
        name, .fail, Definitions.faults(applied: applied, found: found).map(\.text),
        fine: "\(applied.facts.count) objects are as they were applied",
        remedy:
          "`opsledger init`, by a superuser, repairs them, and names what it cannot repair; then `verify`"
      )
    }
  }

  private func examineSchema() throws(OpsError) -> Finding {
    try checked("schema") { () throws(OpsError) in
      Finding(
        "schema", .warn,
        try Installer.pending(self).map { "\($0) is not applied, or is another release's" },
        fine: "it is the schema of release \(Installer.release)",
        remedy: "apply the schema with `opsledger init`")
    }
  }
}
