import JSON
import Ledger
import Log
import Postgres

/// Conditions of patterns: SQL/JSON paths, which the server evaluates.
enum Conditions {
  /// The SQL that gives one character a path: `1` where it holds. A path holds where the first thing
  /// that it gives is neither false nor null, so that predicates and filters both say what they mean.
  static func holding(of data: String, paths: String) -> String {
    """
    (SELECT string_agg(CASE WHEN coalesce(jsonb_path_query_first(\(data), c.path::jsonpath, '{}', true)
        NOT IN ('false', 'null'), false) THEN '1' ELSE '0' END, '' ORDER BY c.n)
      FROM unnest(\(paths)) WITH ORDINALITY AS c(path, n))
    """
  }

  static let parse = Statement("SELECT ($1::text)::jsonpath IS NOT NULL")
  static let evaluate = Statement(
    "SELECT \(holding(of: "$1::jsonb", paths: "$2::text[]")), NULL::text")
}

extension Rows {
  /// What ``Conditions/holding(of:paths:)`` and the causation depth gave, side by side.
  func facts(_ row: Int, _ first: Int, _ conditions: [String]) throws(OpsError) -> EventFacts {
    do throws(PostgresError) {
      let flags = Array((try textIfPresent(row, first) ?? "").utf8)
      let holding = conditions.indices.filter { $0 < flags.count && flags[$0] == UInt8(ascii: "1") }
      let depth = try textIfPresent(row, first + 1).flatMap { Int($0) } ?? 0
      return EventFacts(holding: Set(holding.map { conditions[$0] }), depth: max(depth, 0))
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
    do throws(OpsError) { _ = try session.readBack(Conditions.parse, parameters) } catch {
      // Syntax errors and data exceptions are the text's own.
      guard let state = error.facts["sqlstate"], state.hasPrefix("42") || state.hasPrefix("22")
      else { throw error }
      let pattern = matrix.patterns.first { $0.condition == condition }?.id ?? "?"
      throw OpsError(
        .patternInvalid,
        "policy reaction_matrix: pattern \(pattern): condition is no SQL/JSON path: \(error.message)",
        hint: "like $.score > 5, or $.items[*] ? (@.price < 10)",
        facts: ["policy": ReactionMatrix.key, "field": "condition"])
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
      if let last { cache.policies.hold(last) }
    }
    if cache.policies.worker.value == nil, let last = try lastValid(WorkerPolicy.self) {
      cache.policies.hold(last)
    }
  }

  private static let historyMax = 200

  private func lastValid<Value: PolicyValue>(
    _ type: Value.Type, _ check: (Value) throws(OpsError) -> Void = { _ throws(OpsError) in }
  ) throws(OpsError) -> Value? {
    let token = cache.token(of: Value.key)
    guard cache.askedHistoryFor[Value.key] != token else { return nil }
    let last = try lastValid(Value.self, of: Value.key, check)
    // Only now: whoever was cut off has not asked.
    cache.askedHistoryFor[Value.key] = token
    return last
  }

  private func lastValid<Value: PolicyValue>(
    _ type: Value.Type, of key: String, _ check: (Value) throws(OpsError) -> Void
  ) throws(OpsError) -> Value? {
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
      return value
    }
    return nil
  }
}
