import Crypto
import Glibc
import Host
import Ledger

/// A file of a ``DirectoryStore`` that is being written.
///
/// Writes, fsyncs and closes a temporary file, each of which may fail; reads it back from the disk; links it to its name;
/// and fsyncs the directory, which it opened first, since an open after the write could miss an error.
final class DirectoryFile: FileInTheMaking {
  private let name: StoreName
  private let place: String
  private let folder: OpenDirectory
  private let temporary: String
  /// Nil after the file is published or abandoned.
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
    _ = try? folder.remove(temporary)  // If this fails, a later push removes it.
    _ = try? file.close()
  }

  /// Makes a temporary file, and locks it: the lock shows that its process lives.
  private static func makeTemporary(
    _ folder: OpenDirectory
  ) throws(SystemError) -> (String, OpenFile) {
    while true {
      let random = String(UInt64.random(in: 0...UInt64.max), radix: 36)
      let name = "\(DirectoryStore.temporaryPrefix)\(getpid()).\(random)"
      let file = try folder.makeFile(name, mode: mode)
      // On a file system without locks nobody removes temporary files, so this does not matter there.
      guard (try? file.lockShared()) ?? true else { continue }
      // Another process may have removed the file before it was locked.
      if try file.status().names > 0 { return (name, file) }
    }
  }

  func write(_ bytes: UnsafeRawBufferPointer) throws(OpsError) {
    guard let file else { preconditionFailure("the file is published already") }
    try inStore(place, name.text) { () throws(SystemError) in try file.write(bytes) }
    sha.update(bytes)
    size += UInt64(bytes.count)
  }

  func publish() throws(OpsError) -> Bool {
    guard let file else { preconditionFailure("the file is published already") }
    defer { self.file = nil }
    var isNamed = false
    defer { if !isNamed { _ = try? folder.remove(temporary) } }
    let written = sha.finish()
    let reader = try inStore(place, name.text) { () throws(SystemError) -> OpenFile in
      try file.sync()
      // Opened before the other is closed, so that the file is always locked.
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
        store: .damaged,
        "store \(place): \(name.text) was not stored: its bytes read back differ from those written",
        hint: "check the disk, and look at the kernel's log", at: place, file: name.text)
    }
    return try inStore(place, name.text) { () throws(SystemError) in
      let isOurs = try give(reader)
      isNamed = true
      _ = try? folder.remove(temporary)
      // Also if the name was taken: its writer may have died before the name was durable.
      try folder.sync()
      return isOurs
    }
  }

  /// - Returns: False if another file has the name.
  private func give(_ reader: OpenFile) throws(SystemError) -> Bool {
    if try folder.link(temporary, as: name.leaf) { return true }
    // A network file system may lose the answer to a link that it made.
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
