public import Ledger

/// The files of a store: a directory or a bucket.
///
/// A file gets its name after all of it was written and read back. After that it can be read, listed and removed, and
/// never changes. Names are relative paths of letters, digits, `.`, `-` and `/`.
///
/// An unreachable store throws `OPS_001`, a missing file `OPS_011`, a lack of rights or space `OPS_013`, and bytes that
/// differ from those written `OPS_015`.
public protocol ObjectStore: Sendable {
  /// A path, or `s3://bucket/prefix`. Never holds a secret.
  var place: String { get }

  /// The files with this prefix, sorted by name, and anything else with the name of a file.
  func list(_ prefix: String) throws(OpsError) -> [StoredFile]

  /// Reads a part of a file, no more than a few megabytes at once.
  ///
  /// - Parameter range: A range of bytes, of which a shorter file gives fewer; nil: the whole file.
  func read(_ name: String, _ range: Range<UInt64>?) throws(OpsError) -> [UInt8]

  /// Begins a file. Nobody sees it before ``FileInTheMaking/publish()``.
  func make(_ name: String) throws(OpsError) -> any FileInTheMaking

  /// Removes a file, if it exists.
  func remove(_ name: String) throws(OpsError)
}

/// A file of a store, as listed.
public struct StoredFile: Equatable, Sendable {
  public let name: String
  /// In bytes.
  public let size: UInt64
  /// What has this name instead of a file: `a link`. It cannot be read.
  public let oddity: String?

  public init(name: String, size: UInt64, oddity: String? = nil) {
    self.name = name
    self.size = size
    self.oddity = oddity
  }
}

/// A file that is being written. Without ``publish()`` it leaves nothing behind.
public protocol FileInTheMaking: AnyObject {
  func write(_ bytes: UnsafeRawBufferPointer) throws(OpsError)

  /// Makes the file durable, reads it back and compares, and gives it its name.
  ///
  /// - Returns: False if the store has a file of that name already, which stays; this one is discarded.
  func publish() throws(OpsError) -> Bool
}
