import JSON
import Ledger
import Log
import Postgres

/// Conditions of patterns: SQL/JSON paths, which the server evaluates.
enum Conditions {
  /// The SQL that gives one character a path; see `ledger.condition_holds`. Between ``limit(seconds:)`` and
  /// ``unlimited``.
  static func holding(of data: String, paths: String) -> String {
    """
    (SELECT string_agg(ledger.condition_holds(\(data), c.path), '' ORDER BY c.n)
      FROM unnest(\(paths)) WITH ORDINALITY AS c(path, n))
    """
  }

  /// As the server writes it: every variable is `$"name"`.
  static let parse = Statement("SELECT ($1::text)::jsonpath::text")
  static let evaluate = Statement(
    "SELECT \(holding(of: "$1::jsonb", paths: "$2::text[]")), NULL::text")

  /// The next statement's conditions may take so long.
  static func limit(seconds: Int) -> (Statement, Parameters) {
    let sql = """
      SELECT set_config('statement_timeout', '\(seconds)s', true),
        set_config('opsledger.condition_time', '', true)
      """
    return (Statement(sql), Parameters())
  }
  static let unlimited = (Statement("SET LOCAL statement_timeout = 0"), Parameters())

  /// The first variable of a path, which nobody could give a value.
  ///
  /// - Parameter path: As the server writes it.
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
  /// This condition took too long.
  case up(condition: String)
  /// Another event's did.
  case wasUp
}

extension Rows {
  func conditionTime(
    _ row: Int, _ column: Int, _ conditions: [String]
  ) throws(OpsError) -> ConditionTime {
    let flags: String
    do { flags = try textIfPresent(row, column) ?? "" } catch { throw OpsError(database: error) }
    if let late = zip(flags, conditions).first(where: { $0.0 == "t" }) {
      return .up(condition: late.1)
    }
    return flags.contains("-") ? .wasUp : .enough
  }

  /// What ``Conditions/holding(of:paths:)`` and the causation depth gave, side by side.
  func facts(_ row: Int, _ first: Int, _ conditions: [String]) throws(OpsError) -> EventFacts {
    do throws(PostgresError) {
      let flags = Array((try textIfPresent(row, first) ?? "").utf8)
      func flagged(_ set: StaticString) -> Set<String> {
        Set(zip(flags, conditions).lazy.filter { set.description.utf8.contains($0.0) }.map(\.1))
      }
      let depth = try textIfPresent(row, first + 1).flatMap { Int($0) } ?? 0
      return EventFacts(
        holding: flagged("1"), unanswered: flagged("!t-"), depth: max(depth, 0))
    } catch {
      throw OpsError(database: error)
    }
  }
}

extension Engine {
  /// Asks the server whether a text is an SQL/JSON path.
  ///
  /// - Throws: `OPS_008` where it is not.
  func checkCondition(_ condition: String, of matrix: ReactionMatrix) throws(OpsError) {
    if cache.goodConditions.contains(condition) { return }
    var parameters = Parameters()
    parameters.text(condition)
    func wrong(_ fault: String) -> OpsError {
      let pattern = matrix.patterns.first { $0.condition == condition }?.id ?? "?"
      return OpsError(
        .patternInvalid, "policy reaction_matrix: pattern \(pattern): condition \(fault)",
        hint: "like $.score > 5, or $.items[*] ? (@.price < 10)",
        facts: ["policy": ReactionMatrix.key, "field": "condition"])
    }
    let rows: Rows
    do throws(OpsError) { rows = try session.readBack(Conditions.parse, parameters) } catch {
      // Syntax errors and data exceptions are the text's own.
      guard let fault = error.database, [.syntax, .data].contains(fault.errorClass) else {
        throw error
      }
      throw wrong("is no SQL/JSON path: \(fault.message ?? error.message)")
    }
    let path = try onRow { () throws(PostgresError) in try rows.text(0, 0) }
    if let variable = Conditions.variable(in: path) {
      throw wrong("has a variable, $\(variable), which nothing gives a value")
    }
    cache.goodConditions.insert(condition)
  }

  func checkConditions(of matrix: ReactionMatrix) throws(OpsError) {
    for condition in matrix.conditions { try checkCondition(condition, of: matrix) }
  }

  /// Makes what was read usable: conditions are checked by the server, and where matrix or worker policy
  /// cannot be read, their last valid version holds, from the log.
  func settlePolicies() throws(OpsError) {
    if let matrix = cache.policies.matrix.value {
      do throws(OpsError) { try checkConditions(of: matrix) } catch {
        guard error.code == .patternInvalid else { throw error }
        cache.policies.breakMatrix(error)
      }
    }
    if cache.policies.matrix.value == nil {
      let last = try lastValid(ReactionMatrix.self) { (matrix) throws(OpsError) in
        try self.checkConditions(of: matrix)
      }
      if let last { cache.policies.hold(last.value, version: last.version) }
    }
    if cache.policies.worker.value == nil, let last = try lastValid(WorkerPolicy.self) {
      cache.policies.hold(last.value, version: last.version)
    }
  }

  private static let historyMax = 200

  private func lastValid<Value: PolicyValue>(
    _ type: Value.Type, _ check: (Value) throws(OpsError) -> Void = { _ throws(OpsError) in }
  ) throws(OpsError) -> (value: Value, version: Int32)? {
    let token = cache.token(of: Value.key)
    guard cache.askedHistoryFor[Value.key] != token else { return nil }
    let last = try lastValid(Value.self, of: Value.key, check)
    // Only now: whoever was cut off has not asked.
    cache.askedHistoryFor[Value.key] = token
    return last.map { ($0.value, $0.version) }
  }

  /// The last version of a policy that can be read, from the log.
  func lastValid<Value: PolicyValue>(
    _ type: Value.Type, of key: String,
    _ check: (Value) throws(OpsError) -> Void = { _ throws(OpsError) in }
  ) throws(OpsError) -> (value: Value, json: JSON, version: Int32)? {
    let versions: [PolicyVersion]
    do throws(OpsError) {
      versions = try session.policyHistory(key, limit: Self.historyMax)
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
  /// A condition that an event's data keeps busy for too long.
  static func tooSlow(_ condition: String, seconds: Int) -> OpsError {
    OpsError(
      .patternInvalid,
      "the condition \(condition.prefix(200)) takes more than \(seconds) s for its data",
      hint: "look for less in it: each .** in a path looks into all that the one before it finds",
      facts: ["policy": ReactionMatrix.key, "field": "condition"])
  }
}
