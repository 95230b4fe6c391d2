import JSON
import Ledger
import Log
import Postgres

/// The conditions of patterns: SQL/JSON paths, which the server evaluates.
enum Conditions {
  /// SQL for one character a path; see `ledger.condition_holds`. The statement with it runs between
  /// ``limit(seconds:)`` and ``unlimited``.
  static func holding(of data: String, paths: String) -> String {
    """
    (SELECT string_agg(ledger.condition_holds(\(data), c.path), '' ORDER BY c.n)
      FROM unnest(\(paths)) WITH ORDINALITY AS c(path, n))
    """
  }

  /// Returns the path in the server's spelling: every variable is `$"name"`.
  static let parse = Statement("SELECT ($1::text)::jsonpath::text")
  static let evaluate = Statement(
    "SELECT \(holding(of: "$1::jsonb", paths: "$2::text[]")), NULL::text")

  /// Limits the time of the next statement's conditions.
  static func limit(seconds: Int) -> (Statement, Parameters) {
    let sql = """
      SELECT set_config('statement_timeout', '\(seconds)s', true),
        set_config('opsledger.condition_time', '', true)
      """
    return (Statement(sql), Parameters())
  }
  static let unlimited = (Statement("SET LOCAL statement_timeout = 0"), Parameters())

  /// The first variable of a path. Nothing could give it a value.
  ///
  /// - Parameter path: In the server's spelling.
  static func variable(in path: String) -> String? {
    let bytes = Array(path.utf8)
    let (quote, escape, dollar) = (UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "$"))
    var index = 0
    var opening: Int?
    while index < bytes.count {
      if let start = opening {
        if bytes[index] == escape {
          index += 1
        } else if bytes[index] == quote {
          if start > 0, bytes[start - 1] == dollar {
            return String(decoding: bytes[start + 1..<index], as: UTF8.self)
          }
          opening = nil
        }
      } else if bytes[index] == quote {
        opening = index
      }
      index += 1
    }
    return nil
  }
}

/// Whether the server had the time to evaluate an event's conditions.
enum ConditionTime {
  case enough
  case exceeded(by: String)
  /// A condition took too long on an earlier event of the batch.
  case exceededBefore
}

extension Rows {
  func conditionTime(
    _ row: Int, _ column: Int, _ conditions: [String]
  ) throws(OpsError) -> ConditionTime {
    let flags = try onDatabase { () throws(PostgresError) in try textIfPresent(row, column) ?? "" }
    if let late = zip(flags, conditions).first(where: { $0.0 == "t" }) {
      return .exceeded(by: late.1)
    }
    return flags.contains("-") ? .exceededBefore : .enough
  }

  /// Reads the columns of ``Conditions/holding(of:paths:)`` and of the causation depth, which stand side by side.
  func facts(_ row: Int, _ first: Int, _ conditions: [String]) throws(OpsError) -> EventFacts {
    try onDatabase { () throws(PostgresError) in
      let flags = try textIfPresent(row, first) ?? ""
      func flagged(_ set: String) -> Set<String> {
        Set(zip(flags, conditions).lazy.filter { set.contains($0.0) }.map(\.1))
      }
      let depth = try textIfPresent(row, first + 1).flatMap { Int($0) } ?? 0
      return EventFacts(
        holding: flagged("1"), unanswered: flagged("!t-"), depth: max(depth, 0))
    }
  }
}

extension Engine {
  /// Asks the server whether the conditions are SQL/JSON paths.
  ///
  /// - Throws: `OPS_008`.
  func checkConditions(of matrix: ReactionMatrix) throws(OpsError) {
    for condition in matrix.conditions where !cache.goodConditions.contains(condition) {
      try check(condition, of: matrix)
      cache.goodConditions.insert(condition)
    }
  }

  private func check(_ condition: String, of matrix: ReactionMatrix) throws(OpsError) {
    func wrong(_ fault: String) -> OpsError {
      let pattern = matrix.patterns.first { $0.condition == condition }?.id ?? "?"
      return OpsError(
        .patternInvalid, "policy reaction_matrix: pattern \(pattern): condition \(fault)",
        hint: "write a path such as $.score > 5 or $.items[*] ? (@.price < 10)",
        facts: ["policy": ReactionMatrix.key, "field": "condition"])
    }
    let rows: Rows
    do throws(OpsError) {
      rows = try session.readBack(Conditions.parse, Parameters(condition))
    } catch {
      // The text causes syntax errors and data exceptions; everything else has another cause.
      guard let fault = error.database, [.syntax, .data].contains(fault.errorClass) else {
        throw error
      }
      throw wrong("is not a valid SQL/JSON path: \(fault.message ?? error.message)")
    }
    let path = try onDatabase { () throws(PostgresError) in try rows.text(0, 0) }
    if let variable = Conditions.variable(in: path) {
      throw wrong("uses the variable $\(variable), which has no value")
    }
  }

  /// Checks the conditions of the policies that were read. Where the matrix or the worker policy cannot be read, its
  /// last valid version in the log takes its place.
  func settlePolicies() throws(OpsError) {
    if let matrix = cache.policies.matrix.value {
      do throws(OpsError) { try checkConditions(of: matrix) } catch {
        guard error.code == .patternInvalid else { throw error }
        cache.policies.breakMatrix(error)
      }
    }
    if cache.policies.matrix.value == nil {
      let last = try lastValidIfUnknown(ReactionMatrix.self) { (matrix) throws(OpsError) in
        try self.checkConditions(of: matrix)
      }
      if let last { cache.policies.hold(last.value, version: last.version) }
    }
    if cache.policies.worker.value == nil, let last = try lastValidIfUnknown(WorkerPolicy.self) {
      cache.policies.hold(last.value, version: last.version)
    }
  }

  private static let historyMax = 200

  /// Nil also where the history was searched for this state of the policy before.
  private func lastValidIfUnknown<Value: PolicyValue>(
    _ type: Value.Type, _ check: (Value) throws(OpsError) -> Void = { _ throws(OpsError) in }
  ) throws(OpsError) -> (value: Value, json: JSON, version: Int32)? {
    let token = cache.token(of: Value.key)
    guard cache.askedHistoryFor[Value.key] != token else { return nil }
    let last = try lastValid(Value.self, check)
    // Not before the answer: a search that failed is repeated.
    cache.askedHistoryFor[Value.key] = token
    return last
  }

  /// The last version in the log that is a valid value of this policy.
  func lastValid<Value: PolicyValue>(
    _ type: Value.Type, _ check: (Value) throws(OpsError) -> Void = { _ throws(OpsError) in }
  ) throws(OpsError) -> (value: Value, json: JSON, version: Int32)? {
    let versions: [PolicyVersion]
    do throws(OpsError) {
      versions = try session.policyHistory(Value.key, limit: Self.historyMax)
    } catch {
      guard error.code == .policyNotFound else { throw error }
      return nil
    }
    for version in versions {
      guard let json = version.value.flatMap({ try? JSON(parsing: $0) }),
        let value = try? Value(json)
      else { continue }
      do throws(OpsError) { try check(value) } catch {
        guard error.code == .patternInvalid else { throw error }
        continue
      }
      return (value, json, version.version)
    }
    return nil
  }
}

extension OpsError {
  /// An event's data makes a condition take too long.
  static func tooSlow(_ condition: String, seconds: Int) -> OpsError {
    OpsError(
      .patternInvalid,
      "the condition \(condition.prefix(200)) takes more than \(seconds) s on the event's data",
      hint: "use fewer .** in the path: each one searches everything that the one before it found",
      facts: ["policy": ReactionMatrix.key, "field": "condition"])
  }
}
