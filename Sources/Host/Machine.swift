import Glibc

/// The user and the host of this process.
public enum Machine {
  /// A user of this system.
  public struct User: Equatable, Sendable {
    public let id: UInt32
    public let group: UInt32
    public let name: String
  }

  /// The effective user id.
  public static var userID: UInt32 { geteuid() }

  /// The name of the effective user, or `uid-<n>` if it has none.
  public static var userName: String { user(id: geteuid())?.name ?? "uid-\(geteuid())" }

  /// The host's name, as `hostname` prints it.
  public static var hostName: String {
    var buffer = [CChar](repeating: 0, count: 256)
    guard gethostname(&buffer, buffer.count - 1) == 0 else { return "localhost" }
    return String(decoding: buffer.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
  }

  public static func user(named name: String) -> User? {
    lookUp { getpwnam_r(name, $0, $1, $2, $3) }
  }

  public static func user(id: UInt32) -> User? {
    lookUp { getpwuid_r(id, $0, $1, $2, $3) }
  }

  private static func lookUp(
    _ call: (
      UnsafeMutablePointer<passwd>, UnsafeMutablePointer<CChar>, Int,
      UnsafeMutablePointer<UnsafeMutablePointer<passwd>?>
    ) -> Int32
  ) -> User? {
    var buffer = [CChar](repeating: 0, count: 16_384)
    return buffer.withUnsafeMutableBufferPointer { texts in
      guard let start = texts.baseAddress else { return nil }
      var entry = passwd()
      var found: UnsafeMutablePointer<passwd>?
      guard call(&entry, start, texts.count, &found) == 0, found != nil else { return nil }
      return User(id: entry.pw_uid, group: entry.pw_gid, name: String(cString: entry.pw_name))
    }
  }
}
