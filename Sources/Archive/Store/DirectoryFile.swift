import Crypto
import Glibc
import Host
import Ledger

/// A file of a ``DirectoryStore`` that is being written.
///
/// The steps are those of audited file writers: write, fsync and close, each of which may say that it
/// failed; read back from the medium; link to its name; fsync the directory that was opened before all of
/// this, since an error of it would be lost if it were opened only then.
final class DirectoryFile: FileInTheMaking {
  private let name: StoreName
  private let place: String
  private let folder: OpenDirectory
  private let temporary: String
  /// Nil once it is published or given up.
  private var file: OpenFile?
  private let sha = SHA256()
  private var size: UInt64 = 0

  private static let mode: UInt32 = 0o640
  private static let readBytes = 1 << 20

  init(_ name: StoreName, in place: String, _ folder: OpenDirectory) throws(SystemError) {
    self.name = name
    self.place = place
    self.folder = folder
    (temporary, file) = try Self.makeTemporary(folder)
  }

  deinit {
    guard let file else { return }
    _ = try? folder.remove(temporary)  // Else it is swept later.
    _ = try? file.close()
  }

  /// Makes a file that is known by its lock to be a living process's.
  private static func makeTemporary(
    _ folder: OpenDirectory
  ) throws(SystemError) -> (String, OpenFile) {
    while true {
      let random = String(UInt64.random(in: 0...UInt64.max), radix: 36)
      let name = "\(DirectoryStore.temporaryPrefix)\(getpid()).\(random)"
      let file = try folder.makeFile(name, mode: mode)
      // File systems without locks have no sweeping either: there nobody gets one alone.
      guard (try? file.lockShared()) ?? true else { continue }
      // Swept between the two.
      if try file.status().names > 0 { return (name, file) }
    }
  }

  func write(_ bytes: UnsafeRawBufferPointer) throws(OpsError) {
    guard let file else { preconditionFailure("a file is written to before it is published") }
    try inStore(place, name.text) { () throws(SystemError) in try file.write(bytes) }
    sha.update(bytes)
    size += UInt64(bytes.count)
  }

  func publish() throws(OpsError) -> Bool {
    guard let file else { preconditionFailure("a file is published once") }
    defer { self.file = nil }
    var isNamed = false
    defer { if !isNamed { _ = try? folder.remove(temporary) } }
    let written = sha.finish()
    let reader = try inStore(place, name.text) { () throws(SystemError) -> OpenFile in
      try file.sync()
      // Opened before the other is closed, so that the lock is never free.
      let reader = try folder.file(temporary)
      _ = try? reader.lockShared()
      try file.close()
      return reader
    }
    let found = try inStore(place, name.text, reading: true) { () throws(SystemError) in
      try digest(reader)
    }
    guard found == (written, size) else {
      throw OpsError(
        store: .damaged, "store \(place): \(name.text) reads back other than it was written",
        hint: "its disk is not to be trusted; the file did not get its name", at: place,
        file: name.text)
    }
    return try inStore(place, name.text) { () throws(SystemError) in
      let isOurs = try give(reader)
      isNamed = true
      _ = try? folder.remove(temporary)
      // Also where the name was taken: who gave it may have died before it was durable.
      try folder.sync()
      return isOurs
    }
  }

  /// Gives the file its name, or answers false where that is taken.
  private func give(_ reader: OpenFile) throws(SystemError) -> Bool {
    if try folder.link(temporary, as: name.leaf) { return true }
    // A network file system may have lost the answer to a link that it made.
    return try folder.status(name.leaf)?.inode == reader.status().inode
  }

  private func digest(_ reader: OpenFile) throws(SystemError) -> (Digest, UInt64) {
    reader.dropCache()
    var chunk = [UInt8](repeating: 0, count: Self.readBytes)
    var offset: UInt64 = 0
    while true {
      let count = try reader.read(into: &chunk, 0..<chunk.count, at: offset)
      chunk.withUnsafeBytes { sha.update(UnsafeRawBufferPointer(rebasing: $0[..<count])) }
      offset += UInt64(count)
      if count < chunk.count { return (sha.finish(), offset) }
    }
  }
}
