public import JSON
public import Ledger
import Log
import Postgres

extension Engine {
  public static let policyBytesMax = 1_048_576

  /// Sets a policy.
  ///
  /// - Parameter rollbackTo: The version whose value this is, where it is a rollback.
  /// - Returns: The policy's new version.
  /// - Throws: `OPS_008`, `OPS_009`, `OPS_019` for a value that its kind does not allow.
  public func setPolicy(
    _ key: String, to value: JSON, why: String?, rollbackTo: Int32? = nil
  ) throws(OpsError) -> Int32 {
    guard !key.isEmpty, key.utf8.count <= 200, !key.utf8.contains(where: { $0 <= 0x20 }) else {
      throw OpsError(.badInput, "a policy's key is a text of 1 to 200 bytes without spaces")
    }
    try Policies.check(key: key, value: value)
    let text = value.text
    guard text.utf8.count <= Self.policyBytesMax else {
      throw OpsError(.badInput, "a policy is at most \(Self.policyBytesMax) bytes")
    }
    var parameters = Parameters()
    parameters.text(key)
    var version: Int32?
    let command = Command(load: [(Self.lockPolicy, parameters)]) {
      (answers, draft) throws(OpsError) in
      let stream = StreamID.policy(key)
      if answers[0].count == 1 {
        try draft.load(try answers[0].row(0, of: Policy.self), as: stream)
      }
      draft.append(
        .set(key: key, value: text, rollbackTo: rollbackTo, why: why), of: Policy.self, to: stream)
      version = draft.row(stream, of: Policy.self)?.version
      return version.map(JSON.int) ?? .null
    }
    let committed = try perform(command)
    // What the last attempt decided counts only where it is what was recorded.
    let recorded = committed.result.intValue.flatMap(Int32.init(exactly:))
    return (committed.isRepeat ? recorded : version) ?? 0
  }

  static let lockPolicy = Statement(
    "SELECT \(Policy.select("p")) FROM ops_policy AS p WHERE p.key = $1::text FOR NO KEY UPDATE")
}
