private import Glibc

/// Seeds for tests over random data. As a test's argument, a seed that fails is printed with it.
public enum Seeds {
  /// `OPS_TEST_SEED` alone where it is set, else `count` new ones.
  public static func some(_ count: Int) -> [UInt64] {
    if let text = environment("OPS_TEST_SEED"), let seed = UInt64(text) { return [seed] }
    return (0..<count).map { _ in UInt64.random(in: 0...UInt64(UInt32.max)) }
  }

  public static func environment(_ name: String) -> String? {
    getenv(name).map { String(cString: $0) }
  }
}
