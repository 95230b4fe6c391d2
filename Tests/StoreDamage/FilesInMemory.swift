import Archive
import Ledger

/// A store's files, read once and then damaged in memory.
struct FilesInMemory: ObjectStore {
  var files: [String: [UInt8]] = [:]
  let place = "the store"

  init(_ store: some ObjectStore) throws(OpsError) {
    for file in try store.list("") { files[file.name] = try store.read(file.name, nil) }
  }

  func list(_ prefix: String) throws(OpsError) -> [StoredFile] {
    files.filter { $0.key.hasPrefix(prefix) }
      .map { StoredFile(name: $0.key, size: UInt64($0.value.count)) }
      .sorted { $0.name < $1.name }
  }

  func read(_ name: String, _ range: Range<UInt64>?) throws(OpsError) -> [UInt8] {
    guard let bytes = files[name] else { throw OpsError(.notFound, "no \(name)") }
    let all = 0..<bytes.count
    guard let range else { return bytes }
    return Array(
      bytes[all.clamped(to: Int(clamping: range.lowerBound)..<Int(clamping: range.upperBound))])
  }

  func make(_ name: String) throws(OpsError) -> any FileInTheMaking {
    throw OpsError(.notAllowed, "nothing is written here")
  }

  func remove(_ name: String) throws(OpsError) {
    throw OpsError(.notAllowed, "nothing is removed here")
  }
}
