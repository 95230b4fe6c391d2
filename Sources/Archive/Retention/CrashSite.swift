import Glibc

/// The places in `retention apply` at which the proof kills the process.
public enum CrashSite: String, CaseIterable, Sendable {
  /// After the run is recorded.
  case begun
  case pushed
  case verified
  /// In the transaction of a batch, with its rows locked.
  case leaving
  /// After a batch is committed.
  case left
  /// Before, in, and after the transaction that drops a partition.
  case dropping
  case dropped
  case committed
  /// Before the run is recorded as ended.
  case ending

  static let variable = "OPSLEDGER_CRASH_AT"

  /// Kills this process if the environment names this site.
  func reach() {
    guard let named = getenv(Self.variable), String(cString: named) == rawValue else { return }
    kill(getpid(), SIGKILL)
  }
}
