import Crypto
import LZ4
import Ledger
import TestSupport
import Testing

@testable import Archive
@testable import Log

@Suite("A damaged segment")
struct SegmentDamageTests {
  /// A small one: a few frames of a few lines.
  static let log = {
    var log = SampleLog(6, seed: 4)
    for index in log.events.indices {
      log.events[index].data = #"{"n": \#(index)}"#
      if log.events[index].content != nil { log.events[index].content = #"{"why": "x"}"# }
    }
    return log
  }()

  struct Small {
    let store = MemoryStore()
    let name: String
    let bytes: [UInt8]

    init() throws {
      let index = try log.write(
        to: store, frameTextBytes: log.text.count / 2 + 100)
      name = index.name.path
      bytes = store[name] ?? []
      #expect(index.frames.count >= 2 && log.entries.count > 2)
      try store.segment(index).verify()
    }

    /// Puts other bytes in the file's place; what verify finds, and the lines that come before it.
    func damage(_ bytes: [UInt8]) -> (error: OpsError?, text: [UInt8]) {
      store[name] = bytes
      var text: [UInt8] = []
      do {
        let reader = try store.segment(name)
        try reader.verify { text += $0.text }
        return (nil, text)
      } catch {
        return (error as? OpsError, text)
      }
    }

    func expectNamed(_ damaged: [UInt8], _ what: String) {
      let (error, text) = damage(damaged)
      guard let error else {
        Issue.record("\(what) is not found")
        return
      }
      #expect(error.code == .storeDiverged, "\(what)")
      #expect(error.message.contains(name), "\(what): \(error)")
      #expect(error.store?.file == name && error.store?.entries != nil, "\(what): \(error)")
      #expect(log.text.starts(with: text), "\(what) gives other lines")
    }
  }

  @Test("of which any bit is another is named", arguments: 0..<8)
  func flips(bit: Int) throws {
    let small = try Small()
    for byte in small.bytes.indices {
      var damaged = small.bytes
      damaged[byte] ^= 1 << UInt8(bit)
      small.expectNamed(damaged, "bit \(bit) of byte \(byte)")
    }
  }

  @Test("that is cut anywhere, or goes on, is named")
  func cuts() throws {
    let small = try Small()
    for count in small.bytes.indices {
      small.expectNamed(Array(small.bytes.prefix(count)), "\(count) bytes")
    }
    small.expectNamed(small.bytes + [0], "a byte more")
    small.expectNamed([0] + small.bytes, "a byte before")
    small.expectNamed(small.bytes + small.bytes, "the file twice")
    small.expectNamed(Array(small.bytes.dropFirst()), "a byte less")
  }

  @Test("that lies under another's name is named")
  func renamed() throws {
    let small = try Small()
    for other in [
      SegmentName(2...1000), SegmentName(0...Self.log.entries.upperBound),
      SegmentName(Self.log.entries, generation: 2),
    ] {
      small.store[other.path] = small.bytes
      expectRefusal(.storeDiverged) { try small.store.segment(other.path) }
    }
  }

  /// The file with another index, whose own hashes are right: what somebody makes who can write the store.
  private func forged(
    _ change: (inout FramedIndex) -> Void
  ) throws -> (small: Small, bytes: [UInt8]) {
    let small = try Small()
    return (small, try small.store.forged(small.name, change))
  }

  @Test("whose index was made anew is named, whatever of it is wrong")
  func forgedIndex() throws {
    let (small, same) = try forged { _ in }
    #expect(same == small.bytes)
    let changes: [(String, (inout FramedIndex) -> Void)] = [
      ("kind", { $0.kind = .snapshot }),
      ("first entry", { $0.entries = 1...$0.entries.upperBound }),
      ("generation", { $0.generation = 2 }),
      ("a frame less", { $0.frames.removeLast() }),
      ("a frame twice", { $0.frames.append($0.frames[0]) }),
      ("frames swapped", { $0.frames.swapAt(0, 1) }),
      ("offset", { $0.frames[1].offset += 1 }),
      ("length", { $0.frames[0].bytes += 1 }),
      ("no length", { $0.frames[0].bytes = 0 }),
      ("text length", { $0.frames[0].textBytes -= 1 }),
      ("huge text", { $0.frames[0].textBytes = .max }),
      ("lines", { $0.frames[0].lines += 1 }),
      ("run", { $0.frames[0].run = 1 }),
      ("SHA-256", { $0.frames[0].sha256 = .zero }),
      ("frame's entries", { $0.frames[0].entries = 2...9 }),
      (
        "frame's times",
        { $0.frames[0].times = Instant(micros: 0)...$0.frames[0].times.upperBound }
      ),
      ("a bucket's length", { $0.map[0].bytes += 1 }),
      ("a bucket's SHA-256", { $0.map[0].check ^= 1 }),
      ("a bucket more", { $0.map.append($0.map[0]) }),
      ("no map", { $0.map = [] }),
      ("particulars cut", { $0.particulars.removeLast() }),
      ("particulars longer", { $0.particulars.append(0) }),
    ]
    for (what, change) in changes { small.expectNamed(try forged(change).bytes, what) }
    // Every byte of the particulars: counts, sizes, roots, frontiers.
    for byte in try FramedFile(small.store, StoredFile(name: small.name, size: restored(small)))
      .index.particulars.indices
    {
      small.expectNamed(try forged { $0.particulars[byte] ^= 1 }.bytes, "particulars \(byte)")
    }
  }

  private func restored(_ small: Small) -> UInt64 {
    small.store[small.name] = small.bytes
    return UInt64(small.bytes.count)
  }

  @Test("whose frames hold other lines, with an index to match, does not have its roots")
  func forgedLines() throws {
    let small = try Small()
    var other = Self.log
    other.events[3].data = #"{"forged": true}"#
    let store = MemoryStore()
    try other.write(to: store, frameTextBytes: 100_000)
    let own = try FramedFile(small.store, small.store.list("")[0])
    let (error, _) = small.damage(
      try store.forged(small.name) { $0.particulars = own.index.particulars })
    #expect(error?.message.contains("roots") == true)
  }

  @Test("of a format or a kind that is not known is refused by its number")
  func unknown() throws {
    let small = try Small()
    var bytes = small.bytes
    bytes[bytes.count - 9] = 7
    let format = small.damage(bytes).error
    #expect(format?.code == .storeDiverged && format?.store?.kind == .newerFormat)
    #expect(format?.store?.lost == nil)
    #expect(format?.message.contains("format 7") == true)
    #expect(format?.message.contains("damaged") == false)
  }

  @Test("loses the entries of the damaged frame and gives what comes before it")
  func lost() throws {
    let small = try Small()
    var damaged = small.bytes
    let frames = try small.store.segment(small.name).index.frames
    damaged[Int(frames[1].offset) + 30] ^= 1
    let (error, text) = small.damage(damaged)
    #expect(error?.facts["frame"] == "1")
    #expect(error?.store?.kind == .damaged && error?.store?.lost == frames[1].entries)
    let rest = Self.log.text.dropFirst(Int(frames[0].textBytes))
    #expect(Self.log.text.dropLast(rest.count) == text[...])
  }
}
