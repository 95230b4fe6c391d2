import Glibc
import Synchronization
import Threads

/// Stands between a client and PostgreSQL, reads along, and breaks the connection where it is told to.
public final class CutProxy: Sendable {
  public enum Cut: Sendable, Equatable {
    /// Passes on so many statements, and nothing after them.
    case afterStatements(Int)
    /// Passes on so many batches whole, and no answer to the last of them.
    case answer(batches: Int)
    /// Passes on what comes before COMMIT.
    case commit
    /// Passes on COMMIT, and not its answer.
    case answerOfCommit
  }

  public enum Address: Sendable {
    /// A directory, with the socket of port 5432 in it.
    case unix(String)
    /// On 127.0.0.1.
    case tcp(UInt16)
  }

  private struct State {
    var cut: Cut?
    var statements = 0
    var batches = 0
    var hasCut = false
  }

  private let state = Mutex(State())
  private let listener: Int32
  private let server: Address

  /// Begins to listen.
  public init(listen: Address, server: Address) throws {
    self.server = server
    listener = try Self.bound(listen)
    guard startThread({ self.accept() }) else { throw TestFailure("no thread for a proxy") }
  }

  /// No more connections are taken.
  public func stop() { shutdown(listener, Int32(SHUT_RDWR)) }

  /// Cuts once, from now on.
  public func arm(_ cut: Cut) { state.withLock { $0 = State(cut: cut) } }

  /// - Returns: Whether the connection was cut since it was armed.
  @discardableResult
  public func disarm() -> Bool {
    state.withLock { state in
      defer { state = State() }
      return state.hasCut
    }
  }

  enum Verdict { case pass, stop, passUnanswered }

  /// What to do with one message of the client's.
  fileprivate func judge(_ message: Message) -> Verdict {
    state.withLock { state in
      guard let cut = state.cut, !state.hasCut else { return .pass }
      let verdict: Verdict
      switch cut {
      case .afterStatements(let count):
        if message.isStatement { state.statements += 1 }
        verdict = state.statements > count ? .stop : .pass
      case .answer(let count):
        if message.endsBatch { state.batches += 1 }
        verdict = state.batches >= count ? .passUnanswered : .pass
      case .commit: verdict = message.commits ? .stop : .pass
      case .answerOfCommit:
        verdict = message.endsBatch && message.batchCommits ? .passUnanswered : .pass
      }
      if verdict != .pass { state.hasCut = true }
      return verdict
    }
  }

  private func accept() {
    while true {
      let client = Glibc.accept(listener, nil, nil)
      guard client >= 0 else { break }
      guard let upstream = try? Self.connected(server) else {
        close(client)
        continue
      }
      let relay = Relay(client: client, server: upstream, proxy: self)
      guard startThread({ relay.pumpToServer() }), startThread({ relay.pumpToClient() }) else {
        break
      }
    }
    close(listener)
  }

  // MARK: Sockets

  private static func bound(_ address: Address) throws -> Int32 {
    if case .unix(let directory) = address { unlink(directory + "/.s.PGSQL.5432") }
    return try socket(address) { bind($0, $1, $2) == 0 && listen($0, 64) == 0 }
  }

  private static func connected(_ address: Address) throws -> Int32 {
    try socket(address) { connect($0, $1, $2) == 0 }
  }

  private static func socket(
    _ address: Address, _ use: (Int32, UnsafePointer<sockaddr>, socklen_t) -> Bool
  ) throws -> Int32 {
    let done: (Int32, Bool)
    switch address {
    case .unix(let directory):
      var name = sockaddr_un()
      name.sun_family = sa_family_t(AF_UNIX)
      let path = Array((directory + "/.s.PGSQL.5432").utf8)
      withUnsafeMutableBytes(of: &name.sun_path) { $0.copyBytes(from: path.prefix($0.count - 1)) }
      done = make(AF_UNIX, name, use)
    case .tcp(let port):
      var name = sockaddr_in()
      name.sin_family = sa_family_t(AF_INET)
      name.sin_port = port.bigEndian
      name.sin_addr = in_addr(s_addr: UInt32(0x7F00_0001).bigEndian)
      done = make(AF_INET, name, use)
    }
    guard done.1 else {
      close(done.0)
      throw TestFailure("a socket of the proxy: \(String(cString: strerror(errno)))")
    }
    return done.0
  }

  private static func make<Name>(
    _ family: Int32, _ name: Name, _ use: (Int32, UnsafePointer<sockaddr>, socklen_t) -> Bool
  ) -> (Int32, Bool) {
    let file = Glibc.socket(family, Int32(SOCK_STREAM.rawValue), 0)
    var on: Int32 = 1
    setsockopt(file, SOL_SOCKET, SO_REUSEADDR, &on, socklen_t(MemoryLayout<Int32>.size))
    let used = withUnsafePointer(to: name) { pointer in
      pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        use(file, $0, socklen_t(MemoryLayout<Name>.size))
      }
    }
    return (file, used)
  }
}

/// A message of the client's, as far as it matters here.
private struct Message {
  let isStatement: Bool
  let endsBatch: Bool
  /// It is what makes a transaction last: COMMIT, or the end of a batch that is its own transaction.
  let commits: Bool
  /// Its batch has such a message.
  let batchCommits: Bool
}

/// One connection on its way through.
private final class Relay: @unchecked Sendable {
  private let client: Int32
  private let server: Int32
  private let proxy: CutProxy
  private let open = Atomic<Int>(2)
  // Of the thread that reads from the client.
  private var sql: [[UInt8]: Kind] = [:]
  private var batch = Kind.other
  private var isStarted = false

  private enum Kind { case other, commit, wholeTransaction }

  init(client: Int32, server: Int32, proxy: CutProxy) {
    self.client = client
    self.server = server
    self.proxy = proxy
  }

  func pumpToClient() {
    var chunk = [UInt8](repeating: 0, count: 65_536)
    while true {
      let count = read(server, &chunk, chunk.count)
      guard count > 0 else { break }
      // A client that is gone gets no answer; the server is heard to its end all the same.
      _ = Self.write(client, chunk[..<count])
    }
    shutdown(client, Int32(SHUT_RDWR))
    finish()
  }

  func pumpToServer() {
    var chunk = [UInt8](repeating: 0, count: 65_536)
    var pending: [UInt8] = []
    reading: while true {
      let count = read(client, &chunk, chunk.count)
      guard count > 0 else { break }
      pending += chunk[..<count]
      var passed = 0
      while let length = length(of: pending[passed...]) {
        let message = pending[passed..<(passed + length)]
        switch isStarted ? proxy.judge(examine(message)) : .pass {
        case .pass: passed += length
        case .stop:
          _ = Self.write(server, pending[..<passed])
          shutdown(client, Int32(SHUT_RDWR))
          break reading
        case .passUnanswered:
          shutdown(client, Int32(SHUT_RDWR))
          _ = Self.write(server, pending[..<(passed + length)])
          break reading
        }
        isStarted = true
      }
      guard Self.write(server, pending[..<passed]) else { break }
      pending.removeFirst(passed)
    }
    shutdown(server, Int32(SHUT_WR))
    finish()
  }

  private func finish() {
    guard open.subtract(1, ordering: .acquiringAndReleasing).newValue == 0 else { return }
    close(client)
    close(server)
  }

  /// The length of the first message, where it is all there. The very first has no type.
  private func length(of bytes: ArraySlice<UInt8>) -> Int? {
    let head = isStarted ? 1 : 0
    guard bytes.count >= head + 4 else { return nil }
    let start = bytes.startIndex + head
    let length = bytes[start..<(start + 4)].reduce(0) { $0 << 8 | Int($1) } + head
    return bytes.count >= length ? length : nil
  }

  private func examine(_ message: ArraySlice<UInt8>) -> Message {
    let type = message[message.startIndex]
    let body = message.dropFirst(5)
    var commits = false
    switch type {
    case UInt8(ascii: "P"):
      let parts = body.split(separator: 0, maxSplits: 2, omittingEmptySubsequences: false)
      if parts.count > 1 { sql[Array(parts[0])] = Self.kind(parts[1]) }
    case UInt8(ascii: "B"):
      let parts = body.split(separator: 0, maxSplits: 2, omittingEmptySubsequences: false)
      let kind = parts.count > 1 ? sql[Array(parts[1])] ?? .other : .other
      if kind != .other { batch = kind }
      commits = kind == .commit
    case UInt8(ascii: "S"): commits = batch == .wholeTransaction
    default: break
    }
    let endsBatch = type == UInt8(ascii: "S") || type == UInt8(ascii: "Q")
    let isStatement = type == UInt8(ascii: "E") || type == UInt8(ascii: "Q")
    defer { if endsBatch { batch = .other } }
    return Message(
      isStatement: isStatement, endsBatch: endsBatch, commits: commits,
      batchCommits: batch != .other)
  }

  private static func kind(_ sql: ArraySlice<UInt8>) -> Kind {
    if sql.elementsEqual("COMMIT".utf8) { return .commit }
    let whole = [
      "WITH d AS MATERIALIZED", "SELECT entry, recorded_at FROM ledger.append_agent_event(",
    ]
    return whole.contains { sql.starts(with: $0.utf8) } ? .wholeTransaction : .other
  }

  private static func write(_ file: Int32, _ bytes: ArraySlice<UInt8>) -> Bool {
    var rest = bytes
    while !rest.isEmpty {
      let sent = rest.withUnsafeBytes {
        send(file, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
      }
      guard sent > 0 else { return false }
      rest = rest.dropFirst(sent)
    }
    return true
  }
}
