import Archive
import Ledger

/// The damages, and what was found of them.
struct Trial {
  private let whole: FilesInMemory
  private let foreign: FilesInMemory
  /// All lines of the log.
  private let log: [UInt8]
  private var counts: [(what: String, count: Int)] = []
  private var failures: [String] = []

  init(_ whole: FilesInMemory, _ foreign: FilesInMemory) throws {
    (self.whole, self.foreign) = (whole, foreign)
    let report = try StoreVerifier(try Store.existing(whole)).run()
    guard report.faults.isEmpty, report.events > 10, report.segments > 2 else {
      throw OpsError(.badInput, "the store is not sound and small: \(report)")
    }
    log = try Self.restorable(whole).log
  }

  /// What a restore would read: the lines of all segments, up to what stops it.
  private static func restorable(_ files: FilesInMemory) throws -> (log: [UInt8], error: OpsError?)
  {
    var log: [UInt8] = []
    do throws(OpsError) {
      let store = try Store.existing(files)
      for segment in try store.segments().segments {
        try store.reader(of: segment).verify { (frame) throws(OpsError) in log += frame.text }
      }
      return (log, nil)
    } catch {
      return (log, error)
    }
  }

  /// Faults of all files but snapshots and tiles stop a restore as well.
  private func isOfTheLog(_ name: String) -> Bool {
    name.hasPrefix("segments/") || name == "ledger.json"
  }

  private mutating func expectNamed(
    _ files: FilesInMemory, _ name: String, _ what: @autoclosure () -> String
  ) throws {
    var named: String
    do throws(OpsError) {
      let report = try StoreVerifier(try Store.existing(files)).run()
      // What nothing needs is named, and no fault.
      named = (name.hasSuffix(".bak") ? report.notes : report.faults).joined(separator: "\n")
    } catch {
      named = error.message
    }
    if !named.contains(name) { failures.append("\(name), \(what()): verify says: \(named)") }
    guard isOfTheLog(name) else { return }
    let (read, error) = try Self.restorable(files)
    if !log.starts(with: read) { failures.append("\(name), \(what()): other lines are restored") }
    if error == nil, read != log {
      failures.append("\(name), \(what()): lines are missing silently")
    }
  }

  mutating func bits(_ every: Int) throws {
    var count = 0
    for (name, bytes) in whole.files {
      var files = whole
      for byte in stride(from: 0, to: bytes.count, by: every) {
        for bit in 0..<8 {
          files.files[name]?[byte] ^= 1 << UInt8(bit)
          try expectNamed(files, name, "bit \(bit) of byte \(byte)")
          files.files[name]?[byte] ^= 1 << UInt8(bit)
          count += 1
        }
      }
    }
    counts.append(("bits flipped", count))
  }

  mutating func cuts(_ every: Int) throws {
    var count = 0
    for (name, bytes) in whole.files {
      var files = whole
      for length in stride(from: 0, to: bytes.count, by: every) {
        files.files[name] = Array(bytes.prefix(length))
        try expectNamed(files, name, "cut to \(length) bytes")
        count += 1
      }
      files.files[name] = bytes + [0]
      try expectNamed(files, name, "a byte more")
    }
    counts.append(("cuts", count))
  }

  /// - Returns: Whether everything was found.
  func end() -> Bool {
    for (what, count) in counts { print("\(count) \(what)") }
    for failure in failures.prefix(20) { print("NOT NAMED: \(failure)") }
    if failures.count > 20 { print("and \(failures.count - 20) more") }
    return failures.isEmpty
  }
}

// MARK: - Whole files

extension Trial {
  private var segments: [String] {
    whole.files.keys.filter { $0.hasPrefix("segments/") }.sorted()
  }

  mutating func wholeFiles() throws {
    var count = 0
    func changed(_ change: (inout FilesInMemory) -> Void) -> FilesInMemory {
      var files = whole
      change(&files)
      count += 1
      return files
    }
    // The newest segment that is missing leaves a store that is whole: its database tells (stale-copy, damaged-store).
    for name in segments.dropLast() {
      try expectHole(changed { $0.files[name] = nil }, of: name)
      let other = name.replacing("00.lz4", with: "01.lz4")
      if other != name {
        try expectHole(
          changed {
            $0.files[other] = $0.files[name]
            $0.files[name] = nil
          }, of: name)
      }
    }
    try expectNamed(changed { $0.files["ledger.json"] = nil }, "ledger.json", "missing")
    // One that is missing is missed by nobody.
    for name in whole.files.keys.filter({ $0.hasPrefix("snapshots/") }) {
      let other = "snapshots/00000000000000000003.lz4"
      try expectNamed(changed { $0.files[other] = whole.files[name] }, other, "of another entry")
      let later = name.replacing(".lz4", with: ".g2.lz4")
      try expectNamed(
        changed { $0.files[later] = whole.files[name] }, later, "as a later generation")
      try expectNamed(
        changed { $0.files[name] = whole.files[segments[0]] }, name, "a segment in its place")
      try expectNamed(
        changed { $0.files[name + ".bak"] = whole.files[name] }, name + ".bak", "duplicated")
    }
    for (a, b) in zip(segments, segments.dropFirst()) {
      try expectNamed(
        changed {
          $0.files[a] = whole.files[b]
          $0.files[b] = whole.files[a]
        }, a, "swapped with \(b)")
      try expectNamed(changed { $0.files[a] = whole.files[b] }, a, "replaced by \(b)")
      let between = a.replacing(".lz4", with: ".g2.lz4")
      try expectNamed(
        changed { $0.files[between] = whole.files[a] }, between, "as a later generation")
      try expectNamed(changed { $0.files[a + ".bak"] = whole.files[a] }, a + ".bak", "duplicated")
    }
    for name in whole.files.keys {
      guard let bytes = foreign.files[name] ?? foreignLike(name) else { continue }
      try expectForeign(changed { $0.files[name] = bytes }, name)
    }
    counts.append(("whole files missing, renamed, swapped, duplicated or foreign", count))
  }

  /// A file of the other ledger of the same kind.
  private func foreignLike(_ name: String) -> [UInt8]? {
    let folder = name.prefix { $0 != "/" }
    return foreign.files.keys.filter { $0.hasPrefix(folder) }.sorted().first.flatMap {
      foreign.files[$0]
    }
  }

  /// Of a missing segment, its entries are named.
  private mutating func expectHole(_ files: FilesInMemory, of name: String) throws {
    let first = name.split(separator: "/")[1].prefix(20).drop { $0 == "0" }
    try expectNamed(files, String(first), "\(name) missing")
  }

  /// Another ledger's `ledger.json` makes every segment a foreign one.
  private mutating func expectForeign(_ files: FilesInMemory, _ name: String) throws {
    try expectNamed(files, name == "ledger.json" ? segments[0] : name, "another ledger's")
  }
}
