import Archive
import Ledger
import TestLedgers
import TestSupport
import Testing

/// What every place of files must do, whatever it is. Each function is one rule, and gets a store that is
/// empty and another view of the same place, as a second process has it.
struct ObjectStoreRules {
  let store: any ObjectStore
  let other: any ObjectStore

  static let names = [
    "putsOnce", "listsByName", "readsRanges", "keepsEmptyFiles", "keepsLargeFiles",
    "oneOfTwoWritersWins", "abandonedFilesAreGone", "removes", "refusesNames", "namesWhatIsMissing",
  ]

  func check(_ name: String) throws {
    switch name {
    case "putsOnce": try putsOnce()
    case "listsByName": try listsByName()
    case "readsRanges": try readsRanges()
    case "keepsEmptyFiles": try keepsEmptyFiles()
    case "keepsLargeFiles": try keepsLargeFiles()
    case "oneOfTwoWritersWins": try oneOfTwoWritersWins()
    case "abandonedFilesAreGone": try abandonedFilesAreGone()
    case "removes": try removes()
    case "refusesNames": try refusesNames()
    case "namesWhatIsMissing": try namesWhatIsMissing()
    default: Issue.record("no rule \(name)")
    }
  }

  /// The first of a name is the one that stays.
  func putsOnce() throws {
    #expect(try put(store, "segments/1.lz4", Array("first".utf8)))
    #expect(try !put(store, "segments/1.lz4", Array("second, and longer".utf8)))
    #expect(try !put(other, "segments/1.lz4", []))
    #expect(try other.read("segments/1.lz4", nil) == Array("first".utf8))
    #expect(try store.list("") == [StoredFile(name: "segments/1.lz4", size: 5)])
  }

  /// Lists are in the order of the names' bytes, and hold what begins so.
  func listsByName() throws {
    #expect(try store.list("") == [])
    #expect(try store.list("segments/") == [])
    let names = [
      "ledger.json", "segments/10.lz4", "segments/9.lz4", "segments/9/x", "segments.d/a",
      "tile/0/000",
      "tile/0/x001/000", "tile/0/x001/001.p/3", "Upper", "segments/a-b", "segments/a.b",
      "segments/aB",
    ]
    for name in names { #expect(try put(store, name, Array(name.utf8))) }
    let sorted = names.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
    for prefix in [
      "", "s", "segments", "segments/", "segments/9", "segments/9/", "segments/a", "tile/0/x",
      "tile/1",
      "ledger.json", "ledger.json/", "none/", "U",
    ] {
      let expected = sorted.filter { $0.hasPrefix(prefix) }.map {
        StoredFile(name: $0, size: UInt64($0.utf8.count))
      }
      #expect(try other.list(prefix) == expected, "\(prefix)")
    }
  }

  /// A range gives what of it is there.
  func readsRanges() throws {
    let bytes = (0..<1000).map { UInt8(truncatingIfNeeded: $0 &* 7) }
    #expect(try put(store, "a", bytes))
    let ranges: [Range<UInt64>] = [
      0..<1000, 0..<0, 0..<1, 5..<5, 10..<20, 990..<1000, 990..<5000, 999..<1001, 1000..<1000,
      1000..<1001, 5000..<6000, 0..<UInt64.max, 999..<UInt64.max, UInt64.max - 1..<UInt64.max,
      UInt64.max..<UInt64.max,
    ]
    for range in ranges {
      let expected = bytes.indices.filter { range.contains(UInt64($0)) }.map { bytes[$0] }
      #expect(try store.read("a", range) == expected, "\(range)")
    }
    #expect(try store.read("a", nil) == bytes)
  }

  func keepsEmptyFiles() throws {
    #expect(try put(store, "empty", []))
    #expect(try store.read("empty", nil) == [])
    #expect(try store.read("empty", 0..<10) == [])
    #expect(try store.list("e") == [StoredFile(name: "empty", size: 0)])
    #expect(try !put(store, "empty", [1]))
    #expect(try store.read("empty", nil) == [])
  }

  /// 20 MB, written in parts of all sizes, one of them empty.
  func keepsLargeFiles() throws {
    var random = Generator(seed: 8)
    let bytes = (0..<2_500_000).flatMap { _ in withUnsafeBytes(of: random.next()) { Array($0) } }
    let file = try store.make("large")
    var done = 0
    for size in [0, 1, 4095, 1 << 20, 7, bytes.count] {
      let part = bytes[done..<min(bytes.count, done + size)]
      try write(file, Array(part))
      done += part.count
    }
    #expect(try store.list("") == [])
    #expect(try file.publish())
    #expect(try other.read("large", nil) == bytes)
    #expect(try other.read("large", 19_999_990..<30_000_000) == Array(bytes.suffix(10)))
  }

  /// However many write a name at once, one is told that it did, and its bytes are there.
  func oneOfTwoWritersWins() throws {
    for round in 0..<5 {
      let name = "race/\(round)"
      let (store, other) = (store, other)
      let winners = try atOnce(4) { number -> UInt8? in
        let writer = UInt8(number)
        let view = number % 2 == 0 ? store : other
        return try put(view, name, Array(repeating: writer, count: 100_000)) ? writer : nil
      }.compactMap { $0 }
      #expect(winners.count == 1)
      #expect(try store.read(name, nil) == Array(repeating: winners.first ?? 255, count: 100_000))
    }
    #expect(try store.list("").count == 5)
  }

  /// What is let go of, or loses, leaves its name free and nothing in a list.
  func abandonedFilesAreGone() throws {
    do {
      let file = try store.make("d/gone")
      try write(file, Array("half".utf8))
      #expect(try store.list("") == [])
      expectRefusal(.notFound) { try store.read("d/gone", nil) }
    }
    #expect(try other.list("") == [])
    #expect(try put(other, "d/gone", [1]))
    #expect(try store.list("") == [StoredFile(name: "d/gone", size: 1)])
  }

  func removes() throws {
    #expect(try put(store, "a/b", [1]))
    #expect(try put(store, "a/c", [2]))
    try other.remove("a/b")
    try other.remove("a/b")
    try other.remove("never/was")
    try other.remove("a/c/below")
    #expect(try store.list("") == [StoredFile(name: "a/c", size: 1)])
    expectRefusal(.notFound) { try store.read("a/b", nil) }
    #expect(try put(store, "a/b", [3]))
    #expect(try store.read("a/b", nil) == [3])
  }

  func refusesNames() throws {
    for name in ["", "..", "../a", "/a", "a/../b", "a//b", "a\0b", ".tmp.1", "a/", "a b", "é"] {
      let errors = [
        expectRefusal(.notAllowed) { try store.read(name, nil) },
        expectRefusal(.notAllowed) { try store.make(name) },
        expectRefusal(.notAllowed) { try store.remove(name) },
      ]
      for error in errors { #expect(error?.code == .notAllowed, "\(name)") }
    }
    for prefix in ["../", "/", "a/../", ".t"] {
      expectRefusal(.notAllowed) { try store.list(prefix) }
    }
  }

  /// The error names the place and the file.
  func namesWhatIsMissing() throws {
    #expect(try put(store, "there", [1]))
    for name in ["none", "no/folder", "there/below"] {
      let error = #expect(throws: OpsError.self) { try store.read(name, nil) }
      #expect(error?.code == .notFound)
      #expect(error?.facts == ["store": store.place, "file": name])
      #expect(error?.message.contains(store.place) == true)
    }
  }
}

/// Makes a whole file.
func put(_ store: any ObjectStore, _ name: String, _ bytes: [UInt8]) throws -> Bool {
  let file = try store.make(name)
  try write(file, bytes)
  return try file.publish()
}

func write(_ file: any FileInTheMaking, _ bytes: [UInt8]) throws {
  try bytes.withUnsafeBytes { try file.write($0) }
}
