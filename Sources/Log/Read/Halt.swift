import JSON
public import Ledger

/// Since when the loop is halted, and who halted it.
public struct Halt: Equatable, Sendable {
  public var since: Instant
  public var by: String
}

extension Session {
  /// The change of policy `loop` that halted the loop, manual or not; nil if the loop runs, or row and log differ.
  public func halt() throws(OpsError) -> Halt? {
    let (now, versions): (JSON?, [PolicyVersion])
    do throws(OpsError) {
      now = try JSON(parsed: policy(LoopState.key).value)
      versions = try policyHistory(LoopState.key, limit: 1000)
    } catch {
      guard error.code == .policyNotFound else { throw error }
      return nil
    }
    guard let last = versions.first, JSON(parsed: last.value) == now else { return nil }
    var halt: Halt?
    for version in versions {
      guard let value = JSON(parsed: version.value), (try? LoopState(value))?.state != .running
      else { break }
      halt = Halt(since: version.at, by: version.actor)
    }
    return halt
  }
}

extension JSON {
  fileprivate init?(parsed text: String?) {
    guard let text, let value = try? JSON(parsing: text) else { return nil }
    self = value
  }
}
