import Glibc

/// Where a process may be killed while it takes history out of the database: the proof kills it at each of these.
public enum CrashSite: String, CaseIterable, Sendable {
  /// The run is on record.
  case begun
  case pushed
  case verified
  /// In a batch's transaction, its rows locked.
  case leaving
  /// A batch of missions has left.
  case left
  /// Before a partition goes, and in its transaction, and after it.
  case dropping
  case dropped
  case committed
  /// All is done, and the run not ended yet.
  case ending

  static let variable = "OPSLEDGER_CRASH_AT"

  /// Ends the process as a power cut would, where the environment names this site, for tests.
  func reach() {
    guard let named = getenv(Self.variable), String(cString: named) == rawValue else { return }
    kill(getpid(), SIGKILL)
  }
}
