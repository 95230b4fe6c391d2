internal import CPostgres
internal import Dispatch
internal import Glibc
internal import Synchronization

/// An open connection that the thread which made it gives to its owner.
struct OpenedConnection: @unchecked Sendable {
  // Unchecked: it is given away once, under the lock of `ConnectAttempt`.
  let handle: OpaquePointer
  let notices: NoticeLog

  func close() { PQfinish(handle) }
}

/// Connects on a thread of its own, since the look-up of a name has no other time limit. The caller gives up after its
/// timeout, and the thread then closes its connection.
final class ConnectAttempt: Sendable {
  private enum State {
    case running
    case finished(Result<OpenedConnection, PostgresError>)
    case abandoned
  }

  private let state = Mutex(State.running)
  private let done = DispatchSemaphore(value: 0)
  private let target: ConnectTarget

  init(_ target: ConnectTarget) { self.target = target }

  func run() throws(PostgresError) -> OpenedConnection {
    var thread: pthread_t = 0
    let retained = Unmanaged.passRetained(self)
    let status = pthread_create(
      &thread, nil,
      { argument in
        guard let argument else { return nil }
        let attempt = Unmanaged<ConnectAttempt>.fromOpaque(argument).takeRetainedValue()
        attempt.finish(attempt.target.open())
        return nil
      }, retained.toOpaque())
    guard status == 0 else {
      retained.release()
      throw .connect("cannot start a thread that connects (errno \(status))")
    }
    pthread_detach(thread)
    // A little longer than the attempt's own limit, so that its better message wins.
    let patience = target.timeoutMillis + 250
    if done.wait(timeout: .now() + .milliseconds(patience)) == .timedOut, abandon() {
      throw target.timedOut("no answer")
    }
    let result = state.withLock { state in
      if case .finished(let result) = state { return result }
      return .failure(target.timedOut("no answer"))
    }
    return try result.get()
  }

  /// False if the attempt has just finished.
  private func abandon() -> Bool {
    state.withLock { state in
      guard case .running = state else { return false }
      state = .abandoned
      return true
    }
  }

  private func finish(_ result: Result<OpenedConnection, PostgresError>) {
    let wanted = state.withLock { state in
      guard case .running = state else { return false }
      state = .finished(result)
      return true
    }
    if wanted {
      done.signal()
    } else if case .success(let opened) = result {
      opened.close()
    }
  }
}

struct ConnectTarget: Sendable {
  let string: ConnectionString
  let applicationName: String?
  let timeoutMillis: Int

  func timedOut(_ what: String) -> PostgresError {
    .connect("\(what) within \(timeoutMillis / 1000) s", sqlstate: "08001")
  }

  /// libpq tries the hosts itself, but limits the time for each only in its blocking form, which cannot catch notices.
  /// So the limit is here: a host that is silent for its share of the time is left out, and libpq tries the rest again.
  func open() -> Result<OpenedConnection, PostgresError> {
    let end = monotonicMillis() + timeoutMillis
    var left = HostList(string)
    while true {
      let notices = NoticeLog()
      defer { withExtendedLifetime(notices) {} }  // The handle holds only its address.
      guard let handle = start(left) else { return .failure(.connect("out of memory")) }
      notices.attach(to: handle)
      switch advance(handle, hostsLeft: left.count, end: end) {
      case .ready:
        _ = PQsetErrorVerbosity(handle, PQERRORS_DEFAULT)
        return .success(OpenedConnection(handle: handle, notices: notices))
      case .refused:
        defer { PQfinish(handle) }
        return .failure(ConnectFailure.error(handle, string))
      case .silent(let host, let port):
        PQfinish(handle)
        guard left.remove(host: host, port: port), left.count > 0, monotonicMillis() < end else {
          return .failure(timedOut("no answer from \(host.isEmpty ? "the server" : host)"))
        }
      }
    }
  }

  private enum Outcome {
    case ready
    case refused
    case silent(host: String, port: String)
  }

  private func advance(_ handle: OpaquePointer, hostsLeft: Int, end: Int) -> Outcome {
    guard PQstatus(handle) != CONNECTION_BAD else { return .refused }
    _ = PQsetErrorVerbosity(handle, PQERRORS_VERBOSE)  // For the SQLSTATE; see ConnectFailure.
    var hostsLeft = max(1, hostsLeft)
    var current = Self.peer(of: handle)
    var deadline = Self.share(of: end, among: hostsLeft)
    var polling = PGRES_POLLING_WRITING
    while true {
      switch polling {
      case PGRES_POLLING_OK: return .ready
      case PGRES_POLLING_FAILED: return .refused
      default: break
      }
      let events = polling == PGRES_POLLING_READING ? POLLIN : POLLOUT
      guard waitForSocket(PQsocket(handle), Int16(events), until: deadline) else {
        return .silent(host: current.host, port: current.port)
      }
      polling = PQconnectPoll(handle)
      let peer = Self.peer(of: handle)
      if peer != current {
        current = peer
        hostsLeft = max(1, hostsLeft - 1)
        deadline = Self.share(of: end, among: hostsLeft)
      }
    }
  }

  private static func peer(of handle: OpaquePointer) -> (host: String, port: String) {
    (
      PQhost(handle).map { String(cString: $0) } ?? "",
      PQport(handle).map { String(cString: $0) } ?? ""
    )
  }

  private static func share(of end: Int, among hosts: Int) -> Int {
    let now = monotonicMillis()
    return now + max(0, end - now) / hosts
  }

  /// libpq reads the list from left to right. An option before `dbname` (the URL) is a default, and an option after it
  /// overrides the URL.
  private func start(_ hosts: HostList) -> OpaquePointer? {
    var options: [(String, String)] = [
      ("keepalives_idle", "30"), ("keepalives_interval", "5"), ("keepalives_count", "3"),
      ("tcp_user_timeout", "30000"),
    ]
    if let applicationName { options.append(("application_name", applicationName)) }
    options.append(("dbname", string.text))
    options.append(("client_encoding", "UTF8"))
    options += hosts.overrides
    return withCStrings(options.map(\.0)) { keywords in
      withCStrings(options.map(\.1)) { values in PQconnectStartParams(keywords, values, 1) }
    }
  }
}

/// The hosts of a connection string that are still tried.
struct HostList {
  private var hosts: [String]
  private var addresses: [String]
  private var ports: [String]
  private var changed = false

  init(_ string: ConnectionString) {
    hosts = string.hosts
    addresses = string.hostAddresses
    ports = string.ports
  }

  /// 0 if the string names no host, so that libpq uses its default.
  var count: Int { max(hosts.count, addresses.count) }

  /// The options for libpq, if a host was removed.
  var overrides: [(String, String)] {
    guard changed else { return [] }
    var result: [(String, String)] = []
    if !hosts.isEmpty { result.append(("host", hosts.joined(separator: ","))) }
    if !addresses.isEmpty { result.append(("hostaddr", addresses.joined(separator: ","))) }
    if !ports.isEmpty { result.append(("port", ports.joined(separator: ","))) }
    return result
  }

  /// False if the host is not in the list.
  mutating func remove(host: String, port: String) -> Bool {
    for index in 0..<count {
      let name = index < hosts.count && !hosts[index].isEmpty ? hosts[index] : nil
      let address = index < addresses.count ? addresses[index] : nil
      let itsPort = ports.count > 1 ? ports[min(index, ports.count - 1)] : ports.first
      guard (name ?? address) == host, itsPort == nil || itsPort == "" || itsPort == port else {
        continue
      }
      if index < hosts.count { hosts.remove(at: index) }
      if index < addresses.count { addresses.remove(at: index) }
      if ports.count > 1, index < ports.count { ports.remove(at: index) }
      changed = true
      return true
    }
    return false
  }
}

/// Reads libpq's verbose message about a failed connection, and its SQLSTATE. The server may write the severity in its
/// own language: `FATAL:  28P01: …`, `ВАЖНО:  28P01: …`.
enum ConnectFailure {
  static func error(_ handle: OpaquePointer, _ string: ConnectionString) -> PostgresError {
    let text = PQerrorMessage(handle).map { String(cString: $0) } ?? "no connection"
    let (message, sqlstate) = read(text)
    return .connect(string.redacted(trimmed(message)), sqlstate: sqlstate)
  }

  static func read(_ text: String) -> (message: String, sqlstate: String) {
    var sqlstate = "08001"  // sqlclient_unable_to_establish_sqlconnection
    var lines: [Substring] = []
    for line in text.split(separator: "\n") where !line.hasPrefix("LOCATION:") {
      if let match = line.firstMatch(of: #/:  (?<state>[0-9A-Z]{5}): /#) {
        sqlstate = String(match.state)
        lines.append(line[..<match.range.lowerBound] + ":  " + line[match.range.upperBound...])
      } else {
        lines.append(line)
      }
    }
    return (lines.joined(separator: "\n"), sqlstate)
  }
}

/// Nanoseconds of a clock that nobody sets.
func monotonicNanos() -> UInt64 { DispatchTime.now().uptimeNanoseconds }

func monotonicMillis() -> Int { Int(monotonicNanos() / 1_000_000) }

/// Waits until the socket is ready or has failed. Returns false if `deadline` (monotonic milliseconds) comes first.
func waitForSocket(_ socket: Int32, _ events: Int16, until deadline: Int) -> Bool {
  while true {
    let left = deadline - monotonicMillis()
    if left <= 0 { return false }
    var descriptor = pollfd(fd: socket, events: events, revents: 0)
    let ready = poll(&descriptor, 1, Int32(clamping: left))
    if ready > 0 { return true }
    if ready < 0, errno != EINTR { return true }
  }
}

/// Calls `body` with a NULL-terminated array of C strings.
private func withCStrings<Value>(
  _ strings: [String], _ body: (UnsafePointer<UnsafePointer<CChar>?>) -> Value
) -> Value {
  let copies = strings.map { strdup($0) }
  defer { for copy in copies { free(copy) } }
  var pointers = copies.map { UnsafePointer($0) }
  pointers.append(nil)
  return pointers.withUnsafeBufferPointer { buffer in
    guard let base = buffer.baseAddress else { preconditionFailure("an array with a nil in it") }
    return body(base)
  }
}
