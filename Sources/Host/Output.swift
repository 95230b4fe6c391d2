import Glibc
import Synchronization

/// One of the two standard streams. Any thread may use it.
///
/// If the reader of the results is gone, the process ends with 141, as a shell reports SIGPIPE. If results cannot be
/// written for another reason, it ends with 3.
public final class Output: Sendable {
  private let file: Int32
  private let bufferBytesMax: Int
  private let isTerminal: Bool
  private let buffer: Mutex<[UInt8]> = Mutex([])
  private let hidden: Mutex<[(text: [UInt8], shown: [UInt8])]> = Mutex([])

  /// Results. The stream is buffered unless it is a terminal. `main` flushes it at the end.
  public static let standard = Output(1, bufferBytesMax: Terminal.isTerminal(1) ? 0 : 65_536)
  /// Messages, progress and errors. The stream is not buffered.
  public static let messages = Output(2, bufferBytesMax: 0)

  init(_ file: Int32, bufferBytesMax: Int, isTerminal: Bool? = nil) {
    self.file = file
    self.bufferBytesMax = bufferBytesMax
    self.isTerminal = isTerminal ?? Terminal.isTerminal(file)
  }

  /// Writes a text without the hidden texts. A terminal gets no control characters.
  public func write(_ text: String) {
    var bytes = Array(text.utf8)
    for (text, shown) in hidden.withLock({ $0 }) { bytes = bytes.replacing(text, with: shown) }
    write(isTerminal ? Array(Terminal.guarded(String(decoding: bytes, as: UTF8.self)).utf8) : bytes)
  }

  /// Writes a control sequence for a terminal.
  public func control(_ sequence: String) { write(Array(sequence.utf8)) }

  /// From now on, writes `shown` in the place of `text`, which is not empty.
  public func hide(_ text: String, behind shown: String) {
    hidden.withLock { hidden in
      hidden.append((Array(text.utf8), Array(shown.utf8)))
      // A text that contains another one comes first.
      hidden.sort { $0.text.count > $1.text.count }
    }
  }

  public func line(_ text: String = "") { write(text + "\n") }

  private func write(_ bytes: [UInt8]) {
    buffer.withLock { buffer in
      buffer += bytes
      if buffer.count > bufferBytesMax { send(&buffer) }
    }
  }

  /// Writes the buffer. A command that streams calls this after each item that a reader may wait for.
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
    // Work continues without its messages.
    guard file == 1 else { return }
    if reason == EPIPE { _exit(141) }
    let text = "error OPS_001: cannot write the result: \(String(cString: strerror(reason)))\n"
    _ = Array(text.utf8).withUnsafeBytes { writeAll($0, to: 2) }
    _exit(3)
  }
}

public enum Process {
  /// Prepares a process; call it first. A closed pipe, and a file that may not grow, become errors instead of signals.
  /// And descriptors 0 to 2 are opened if they are closed, so that no file or socket becomes a standard stream. They
  /// can only be read, so results that nobody gets are an error.
  public static func prepare() {
    signal(SIGPIPE, SIG_IGN)
    signal(SIGXFSZ, SIG_IGN)
    var file: Int32
    repeat { file = open("/dev/null", O_RDONLY) } while file >= 0 && file <= 2
    if file > 2 { close(file) }
  }
}
