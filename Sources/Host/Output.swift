import Glibc
import Synchronization

/// One of the two standard streams, written with write(2). Safe to use from any thread.
///
/// A reader that went away ends the process quietly with 141, as a shell reports SIGPIPE; any
/// other failure to write ends it with 3, since nobody can be told the result.
public final class Output: Sendable {
  private let file: Int32
  private let bufferBytesMax: Int
  private let isTerminal: Bool
  private let buffer: Mutex<[UInt8]> = Mutex([])
  private let hidden: Mutex<[(text: [UInt8], shown: [UInt8])]> = Mutex([])

  /// Results. Buffered unless it is a terminal; `main` flushes it at the end.
  public static let standard = Output(1, bufferBytesMax: Terminal.isTerminal(1) ? 0 : 65_536)
  /// Messages, progress and errors. Never buffered.
  public static let messages = Output(2, bufferBytesMax: 0)

  init(_ file: Int32, bufferBytesMax: Int, isTerminal: Bool? = nil) {
    self.file = file
    self.bufferBytesMax = bufferBytesMax
    self.isTerminal = isTerminal ?? Terminal.isTerminal(file)
  }

  /// Writes a text, without what is hidden: to a file or pipe otherwise as it is, to a terminal without anything that it
  /// would obey.
  public func write(_ text: String) {
    var bytes = Array(text.utf8)
    for (text, shown) in hidden.withLock({ $0 }) { bytes = bytes.replacing(text, with: shown) }
    write(isTerminal ? Array(Terminal.guarded(String(decoding: bytes, as: UTF8.self)).utf8) : bytes)
  }

  /// Writes what a terminal is meant to obey.
  public func control(_ sequence: String) { write(Array(sequence.utf8)) }

  /// Writes `shown` wherever a text has `text` from now on.
  public func hide(_ text: String, behind shown: String) {
    hidden.withLock { hidden in
      hidden.append((Array(text.utf8), Array(shown.utf8)))
      // One that holds another goes first.
      hidden.sort { $0.text.count > $1.text.count }
    }
  }

  /// Writes a text and ends the line.
  public func line(_ text: String = "") { write(text + "\n") }

  private func write(_ bytes: [UInt8]) {
    buffer.withLock { buffer in
      buffer += bytes
      if buffer.count > bufferBytesMax { send(&buffer) }
    }
  }

  /// Hands over what is buffered. Streams call it after each thing that a reader may wait for.
  public func flush() { buffer.withLock { send(&$0) } }

  private func send(_ buffer: inout [UInt8]) {
    defer { buffer.removeAll(keepingCapacity: true) }
    var done = 0
    while done < buffer.count {
      let count = buffer.withUnsafeBytes { bytes in
        Glibc.write(file, bytes.baseAddress.map { $0 + done }, bytes.count - done)
      }
      if count >= 0 {
        done += count
      } else if errno == EAGAIN {
        var wait = pollfd(fd: file, events: Int16(POLLOUT), revents: 0)
        poll(&wait, 1, -1)
      } else if errno != EINTR {
        fail(errno)
        return
      }
    }
  }

  private func fail(_ reason: Int32) {
    // Messages are a throttle: work goes on without them.
    guard file == 1 else { return }
    if reason == EPIPE { _exit(141) }
    let text = "error OPS_001: cannot write the result: \(String(cString: strerror(reason)))\n"
    _ = Array(text.utf8).withUnsafeBytes { Glibc.write(2, $0.baseAddress, $0.count) }
    _exit(3)
  }
}

extension [UInt8] {
  /// By bytes, since characters may combine with what surrounds a text.
  fileprivate func replacing(_ text: [UInt8], with other: [UInt8]) -> [UInt8] {
    var result: [UInt8] = []
    var rest = self[...]
    while let first = text.first, let start = rest.firstIndex(of: first) {
      result += rest[..<start]
      rest = rest[start...]
      if rest.starts(with: text) {
        result += other
        rest = rest.dropFirst(text.count)
      } else {
        result.append(first)
        rest = rest.dropFirst()
      }
    }
    return result + rest
  }
}

/// What every program of ours does first.
public enum Process {
  /// Makes a closed pipe, and a file that may not grow, an error instead of a signal, and sees to it that descriptors 0 to 2 are
  /// taken, so that no file or socket of ours is ever mistaken for a standard stream. One that was closed can be
  /// read and not written: a result that nobody gets is an error.
  public static func prepare() {
    signal(SIGPIPE, SIG_IGN)
    signal(SIGXFSZ, SIG_IGN)
    var file: Int32
    repeat { file = open("/dev/null", O_RDONLY) } while file >= 0 && file <= 2
    if file > 2 { close(file) }
  }
}
