import Archive
import Ledger
import Synchronization

/// A store in memory, for tests that damage bytes.
final class MemoryStore: ObjectStore {
  private let files = Mutex<[String: [UInt8]]>([:])
  private let readBytes = Atomic<Int>(0)
  let place = "memory"

  /// All that was read of it.
  var bytesRead: Int { readBytes.load(ordering: .relaxed) }

  subscript(name: String) -> [UInt8]? {
    get { files.withLock { $0[name] } }
    set { files.withLock { $0[name] = newValue } }
  }

  func list(_ prefix: String) throws(OpsError) -> [StoredFile] {
    files.withLock { files in
      files.filter { $0.key.hasPrefix(prefix) }
        .map { StoredFile(name: $0.key, size: UInt64($0.value.count)) }
        .sorted { $0.name < $1.name }
    }
  }

  func read(_ name: String, _ range: Range<UInt64>?) throws(OpsError) -> [UInt8] {
    guard let bytes = self[name] else { throw OpsError(.notFound, "no \(name)") }
    let all = 0..<bytes.count
    let part = range.map { all.clamped(to: Int($0.lowerBound)..<Int($0.upperBound)) } ?? all
    readBytes.add(part.count, ordering: .relaxed)
    return Array(bytes[part])
  }

  func make(_ name: String) throws(OpsError) -> any FileInTheMaking {
    Making(name: name, store: self)
  }

  func remove(_ name: String) throws(OpsError) { self[name] = nil }

  private final class Making: FileInTheMaking {
    let name: String
    let store: MemoryStore
    var bytes: [UInt8] = []

    init(name: String, store: MemoryStore) {
      self.name = name
      self.store = store
    }

    func write(_ bytes: UnsafeRawBufferPointer) throws(OpsError) { self.bytes += bytes }

    func publish() throws(OpsError) -> Bool {
      if store[name] != nil { return false }
      store[name] = bytes
      return true
    }
  }
}
