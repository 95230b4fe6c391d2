import Glibc
import JSON
import Ledger

/// What a step can be run by.
enum Executors {
  /// The names that a template may use.
  static let names: Set<String> = ["noop", "radar"]
}
