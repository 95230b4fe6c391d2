public import Ledger

/// Where the files of a store lie: a directory or a bucket.
///
/// A file gets its name when all of it is there and was read back, never before, and is not changed
/// from then on: it can be read, listed and removed. Names are relative paths of letters, digits, `.`, `-` and `/`.
///
/// What is out of reach throws `OPS_001`, a file that is not there `OPS_011`, what may not be done or does not
/// fit `OPS_013`, and bytes that are not those that were written `OPS_015`.
public protocol ObjectStore: Sendable {
  /// How people name it: a path, or `s3://bucket/prefix`. Never holds a secret.
  var place: String { get }

  /// The files whose names begin so, by name, and what has the name of a file and is none.
  func list(_ prefix: String) throws(OpsError) -> [StoredFile]

  /// Reads a part of a file, no more than a few megabytes at once.
  ///
  /// - Parameter range: Of bytes; less is given only where the file ends before. Nil: all of it.
  func read(_ name: String, _ range: Range<UInt64>?) throws(OpsError) -> [UInt8]

  /// Begins a file that will be called `name`. Nothing is seen of it before ``FileInTheMaking/publish()``.
  func make(_ name: String) throws(OpsError) -> any FileInTheMaking

  /// Removes a file; that it is not there is no error.
  func remove(_ name: String) throws(OpsError)
}

/// A file of a store, as listed.
public struct StoredFile: Equatable, Sendable {
  public let name: String
  /// In bytes.
  public let size: UInt64
  /// What has this name, where it is no file: `a link`. It cannot be read.
  public let oddity: String?

  public init(name: String, size: UInt64, oddity: String? = nil) {
    self.name = name
    self.size = size
    self.oddity = oddity
  }
}

/// A file that is being written. One that is let go of without ``publish()`` leaves nothing behind.
public protocol FileInTheMaking: AnyObject {
  func write(_ bytes: UnsafeRawBufferPointer) throws(OpsError)

  /// Makes everything durable, reads it back from where it lies and compares, and gives it its name.
  ///
  /// - Returns: False where a file of that name is there already: it stays as it is, and this one is gone.
  func publish() throws(OpsError) -> Bool
}
