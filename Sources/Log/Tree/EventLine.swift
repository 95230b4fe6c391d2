public import Crypto
public import Ledger

/// An event, read from a line of `COPY ledger.events TO` in text format. It is a view of the reader's memory, valid
/// until the reader reads the next line.
public struct EventLine {
  public let entry: Int64
  public let index: Int32
  public let stream: StreamID
  public let version: Int32
  /// UTF-8.
  public let type: UnsafeRawBufferPointer
  public let recordedAt: Instant
  /// UTF-8.
  public let actor: UnsafeRawBufferPointer
  public let cause: Int64?
  public let command: StreamID?
  /// JSON text, as it was written.
  public let data: UnsafeRawBufferPointer
  public let content: UnsafeRawBufferPointer?
  /// 16 bytes if there is content that was not erased.
  public let salt: UnsafeRawBufferPointer?
  /// Present if the content was erased.
  public let commitment: Digest?
}

/// Why a line is none that `COPY ledger.events TO` writes.
public struct EventLineError: Error, Equatable, Sendable {
  /// The column with the fault; nil for the whole line.
  public let column: String?
  public let reason: String

  init(_ column: String?, _ reason: String) {
    self.column = column
    self.reason = reason
  }
}

extension EventLineError: CustomStringConvertible {
  public var description: String { column.map { "\($0): \(reason)" } ?? reason }
}

extension LoggedEvent {
  public init(_ line: EventLine) {
    entry = line.entry
    index = line.index
    stream = line.stream
    version = line.version
    type = String(decoding: line.type, as: UTF8.self)
    recordedAt = line.recordedAt
    actor = String(decoding: line.actor, as: UTF8.self)
    cause = line.cause
    command = line.command
    data = String(decoding: line.data, as: UTF8.self)
    content = line.content.map { String(decoding: $0, as: UTF8.self) }
    salt = line.salt.map { Array($0) }
    commitment = line.commitment?.bytes
  }
}
