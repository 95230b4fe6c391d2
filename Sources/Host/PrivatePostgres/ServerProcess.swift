import Glibc

/// The server process of a data directory. `postmaster.pid` and the kernel describe it.
enum ServerProcess {
  enum State: Equatable {
    case stopped
    case starting(Int32)
    case ready(Int32)
    case stopping(Int32)

    var pid: Int32? {
      switch self {
      case .stopped: nil
      case .starting(let pid), .ready(let pid), .stopping(let pid): pid
      }
    }
  }

  static func state(_ data: String) -> State {
    guard let lines = pidLines(data), let pid = lines.first.flatMap({ Int32($0) }), pid > 0,
      serves(pid, data)
    else { return .stopped }
    // The server writes the eighth line for pg_ctl, which waits in the same way.
    switch lines.count > 7 ? lines[7].filter(\.isLetter) : "" {
    case "ready": return .ready(pid)
    case "stopping": return .stopping(pid)
    default: return .starting(pid)
    }
  }

  /// Whether a process exists and has not ended. A process that is not reaped yet has ended.
  static func isAlive(_ pid: Int32) -> Bool {
    guard kill(pid, 0) == 0 || errno == EPERM else { return false }
    guard let text = try? FileSystem.readText("/proc/\(pid)/stat"),
      let end = text.lastIndex(of: ")")
    else { return FileSystem.exists("/proc/self") == false }
    return !["Z", "X"].contains(text[end...].dropFirst(2).first)
  }

  /// Replaces the number in a stale `postmaster.pid` if another process or a zombie has it, so that PostgreSQL starts.
  /// The rest of the file stays: with it PostgreSQL finds children of the old server that still use the data.
  static func forgetDead(_ data: String) {
    guard var lines = pidLines(data), let pid = lines.first.flatMap({ Int32($0) }), pid > 0,
      kill(pid, 0) == 0 || errno == EPERM, !serves(pid, data)
    else { return }
    lines[0] = "\(Int32.max)"  // Linux gives no such number.
    try? FileSystem.writeInPlace(lines.joined(separator: "\n") + "\n", to: pidFile(data))
  }

  /// Whether a process is the server of this data directory, which is its working directory.
  private static func serves(_ pid: Int32, _ data: String) -> Bool {
    guard isAlive(pid) else { return false }
    guard let directory = link(pid, "cwd") else { return errno == EACCES }
    return directory == (FileSystem.realPath(data) ?? data)
  }

  /// The target of a link in /proc: `cwd` or `exe`. Nil, with errno, if it cannot be read.
  static func link(_ pid: Int32, _ name: String) -> String? {
    var buffer = [CChar](repeating: 0, count: 4096)
    let count = readlink("/proc/\(pid)/\(name)", &buffer, buffer.count)
    guard count > 0 else { return nil }
    return String(decoding: buffer[..<count].map(UInt8.init(bitPattern:)), as: UTF8.self)
  }

  private static func pidLines(_ data: String) -> [Substring]? {
    guard let text = try? FileSystem.readText(pidFile(data)) else { return nil }
    return text.split(separator: "\n", omittingEmptySubsequences: false).dropLast()
  }

  private static func pidFile(_ data: String) -> String { data + "/postmaster.pid" }
}
