import Glibc
import Synchronization
import Testing
import Threads

@testable import Host

@Suite("files")
struct FileSystemTests {
  @Test("a file is written whole, with its mode, and leaves no temporary one")
  func write() throws {
    try withTemporaryDirectory { directory in
      let path = directory + "/a"
      try FileSystem.write("one", to: path, mode: 0o600)
      try FileSystem.write("two", to: path, mode: 0o600)
      #expect(try FileSystem.readText(path) == "two")
      #expect(FileSystem.status(path)?.mode == 0o600)
      #expect(FileSystem.names(in: directory) == ["a"])
    }
  }

  @Test("a file larger than expected is refused")
  func readLimit() throws {
    try withTemporaryDirectory { directory in
      try FileSystem.write("12345", to: directory + "/a")
      #expect(try FileSystem.read(directory + "/a", bytesMax: 5).count == 5)
      #expect(throws: HostError.self) { try FileSystem.read(directory + "/a", bytesMax: 4) }
      #expect(throws: HostError.self) { try FileSystem.read("/dev/zero", bytesMax: 1000) }
    }
  }

  @Test("directories are made with those above them, and a file in the way is an error")
  func makeDirectory() throws {
    try withTemporaryDirectory { directory in
      try FileSystem.makeDirectory(directory + "/a/b/c", mode: 0o700, parents: true)
      try FileSystem.makeDirectory(directory + "/a/b/c", mode: 0o700)
      #expect(FileSystem.status(directory + "/a/b/c")?.mode == 0o700)
      try FileSystem.write("", to: directory + "/f")
      #expect(throws: HostError.self) { try FileSystem.makeDirectory(directory + "/f") }
    }
  }

  @Test("one at a time holds a lock, and who waits too long is told")
  func lock() throws {
    try withTemporaryDirectory { directory in
      let path = directory + "/lock"
      let inside = Atomic<Int>(0)
      let most = Atomic<Int>(0)
      concurrently(4) { _ in
        guard let lock = try? FileLock(path, timeoutMillis: 300_000) else { return }
        let now = inside.wrappingAdd(1, ordering: .sequentiallyConsistent).newValue
        most.max(now, ordering: .sequentiallyConsistent)
        // Whoever else might be inside gets its turn.
        for _ in 0..<1000 { sched_yield() }
        inside.subtract(1, ordering: .sequentiallyConsistent)
        withExtendedLifetime(lock) {}
      }
      #expect(most.load(ordering: .sequentiallyConsistent) == 1)
      // A process that another test is just starting may hold the file until it runs its program.
      let held = try FileLock(path, timeoutMillis: 300_000)
      #expect(throws: HostError.self) { _ = try FileLock(path, timeoutMillis: 50) }
      withExtendedLifetime(held) {}
    }
  }
}

@Suite("what people read")
struct TextTests {
  @Test(
    "a duration reads as people say it",
    arguments: [
      (3, "3 ms"), (1200, "1.2 s"), (59_999, "59.9 s"), (180_000, "3 min"), (61_000, "1 min 1 s"),
      (7_500_000, "2 h 5 min"), (86_400_000, "1 d"),
    ])
  func duration(millis: Int, text: String) {
    #expect(DurationText.format(millis: millis) == text)
  }

  @Test(
    "a duration of any size is said, and traps nothing",
    arguments: [
      (0, "0 ms"), (-1, "-1 ms"), (-61_000, "-1 min 1 s"), (.max, "106751991167 d 7 h"),
      (.min, "-106751991167 d 7 h"),
    ] as [(Int, String)])
  func extremes(millis: Int, text: String) {
    #expect(DurationText.format(millis: millis) == text)
  }

  @Test(
    "seconds of any number are said, never with an exponent",
    arguments: [
      (0, "0 ms"), (4.32, "4.3 s"), (5e-05, "less than 1 ms"), (-5e-05, "less than 1 ms"),
      (.infinity, "for ever"), (-.infinity, "for ever"), (.nan, "for ever"), (1e300, "for ever"),
      (9.3e15, "for ever"), (8e15, "92592592592 d 14 h"), (-90, "-1 min 30 s"),
    ] as [(Double, String)])
  func seconds(seconds: Double, text: String) {
    #expect(DurationText.format(seconds: seconds) == text)
  }

  @Test("a number becomes the nearest whole one that there is")
  func clamping() {
    #expect(Int(clamping: Double.infinity) == .max)
    #expect(Int(clamping: -Double.infinity) == .min)
    #expect(Int(clamping: Double.nan) == 0)
    #expect(Int(clamping: 9.3e18) == .max)
    #expect(Int(clamping: -1.9) == -1)
    #expect(Int(clamping: 9_223_372_036_854_774_784.0) == 9_223_372_036_854_774_784)
  }

  @Test("a duration is read with its unit, and nothing else is")
  func parseDuration() {
    let read = ["500ms", "30s", "5m", "2h", "1d", "7"].map { DurationText.parseMillis($0) }
    #expect(read == [500, 30_000, 300_000, 7_200_000, 86_400_000, 7000])
    for text in ["", "m", "5 m", "-5m", "5x", "99999999999999999999s", "9223372036854775807d"] {
      #expect(DurationText.parseMillis(text) == nil, "\(text)")
    }
  }

  @Test("what agents wrote cannot steer a terminal")
  func printable() {
    #expect(Terminal.printable("a\u{1B}[31mb\nc") == "a\u{FFFD}[31mb\\nc")
    #expect(Terminal.printable("日本 ok") == "日本 ok")
    for odd in [
      "\u{7F}", "\u{9B}", "\u{61C}", "\u{200B}", "\u{200E}", "\u{202E}", "\u{2066}", "\u{2028}",
      "\u{FEFF}",
      "\u{E0041}", "\u{0}", "\u{FFF9}", "\u{2064}",
    ] {
      #expect(Terminal.printable("a\(odd)b") == "a\u{FFFD}b")
      #expect(
        !Terminal.guarded("a\(odd)b").unicodeScalars.contains(odd.unicodeScalars.first ?? " "))
    }
    #expect(
      Terminal.guarded("{\"a\": \"\u{9B}x\u{E0041}\"}\n") == #"{"a": "\u009bx\udb40\udc41"}"# + "\n"
    )
    #expect(Terminal.width("e\u{301}") == 1)
    #expect(Terminal.width("⌚") == 2)
    #expect(Terminal.width("日本 ok") == 7)
  }

  @Test("a progress bar fits its terminal")
  func progress() {
    for columns in 1...120 {
      let text = Progress.text(
        label: "rebuild", done: 250, total: 1000, unit: "rows", millis: 2000, columns: columns)
      #expect(Terminal.width(text) <= columns)
    }
    let wide = Progress.text(
      label: "rebuild", done: 250, total: 1000, unit: "rows", millis: 2000, columns: 100)
    #expect(wide.hasSuffix("25 %  125 rows/s  6.0 s left"))
  }

  @Test("how much is left is said once the beginning is over, and no count traps")
  func estimates() {
    func text(_ done: Int, _ total: Int, _ millis: Int) -> String {
      Progress.text(label: "x", done: done, total: total, unit: "", millis: millis, columns: 100)
    }
    #expect(!text(1, 200_000, 1000).contains("left"))
    #expect(!text(9000, 200_000, 29_000).contains("left"))
    #expect(text(9000, 200_000, 30_000).hasSuffix("10 min 36 s left"))
    #expect(text(10_000, 200_000, 1000).hasSuffix("19.0 s left"))
    for (done, total) in [
      (Int.max, 1), (.max, .max), (0, .max), (.min, 1), (1, .max), (5, 0), (.max, 0),
    ] {
      _ = text(done, total, 0)
      _ = text(done, total, .max)
    }
  }
}
