import Crypto
import Host
import LZ4
import TestSupport
import Testing

@Suite("LZ4 frames")
struct FrameTests {
  @Test(
    "the frames of small contents are these bytes",
    arguments: [
      ("", "04224d187440bd00000000055dcc02"),
      ("abc", "04224d187c4003000000000000007403000080616263ff53d13200000000ff53d132"),
    ])
  func known(content: String, frame: String) throws {
    let bytes = Array(content.utf8)
    #expect(hexEncoded(FrameEncoder().encode(bytes)) == frame)
    #expect(try FrameDecoder().decode(#require(hexDecoded(frame)), bytesMax: 3) == bytes)
  }

  /// Contents of every kind of size: none, one byte, around each block size, and of many blocks.
  static let sizes = [
    0, 1, 65_535, 65_536, 65_537, 262_144, 262_145, 1_048_575, 1_048_576, 1_048_577, 2_500_000,
  ]

  static func content(_ count: Int, seed: UInt64) -> [UInt8] {
    var generator = Generator(seed: seed)
    // Half of it repeats, half is noise.
    let noise = (0...(count / 2)).map { _ in UInt8(truncatingIfNeeded: generator.next()) }
    return (0..<count).map { $0 < count / 2 ? noise[$0 % 97 % noise.count] : noise[$0 - count / 2] }
  }

  @Test("a content comes back, one context for all", arguments: Seeds.some(1))
  func roundTrip(seed: UInt64) throws {
    let (encoder, decoder) = (FrameEncoder(), FrameDecoder())
    for size in Self.sizes + Self.sizes.reversed() {
      let content = Self.content(size, seed: seed)
      let frame = encoder.encode(content)
      #expect(try decoder.decode(frame, bytesMax: size) == content)
      // Size said, blocks independent, everything checked.
      #expect(frame[4] == (size == 0 ? 0x74 : 0x7C))
    }
  }

  @Test("the lz4 command reads ours", arguments: sizes)
  func commandReads(size: Int) throws {
    let content = Self.content(size, seed: 3)
    var command = Subprocess("lz4", ["-dc"], input: FrameEncoder().encode(content))
    command.outputBytesMax = size + 1
    let result = try command.run()
    #expect(result.succeeded, "\(result.errorText)")
    #expect(result.output == content)
  }

  @Test("we read the lz4 command's, whose headers do not say the size", arguments: sizes)
  func commandWrites(size: Int) throws {
    let content = Self.content(size, seed: 4)
    for options in [["-1"], ["-9", "-B5"], ["-1", "-BX", "-BD"], ["--no-frame-crc"]] {
      var command = Subprocess("lz4", ["-c"] + options, input: content)
      command.outputBytesMax = size * 2 + 1000
      let frame = try command.run().output
      #expect(try FrameDecoder().decode(frame, bytesMax: size) == content)
      if size > 0 {
        #expect(throws: LZ4Error.tooLarge(bytesMax: size - 1)) {
          try FrameDecoder().decode(frame, bytesMax: size - 1)
        }
      }
    }
  }

  @Test("more content than allowed is refused, said in the header or not")
  func tooLarge() {
    let frame = FrameEncoder().encode([UInt8](repeating: 7, count: 1000))
    #expect(throws: LZ4Error.tooLarge(bytesMax: 999)) {
      try FrameDecoder().decode(frame, bytesMax: 999)
    }
  }

  static let small = Array("one line\tof text\nand another line\tof text\n".utf8)

  @Test("every bit flip of a frame is an error")
  func flips() {
    let (frame, decoder) = (FrameEncoder().encode(Self.small), FrameDecoder())
    for bit in 0..<(frame.count * 8) {
      var damaged = frame
      damaged[bit / 8] ^= 1 << UInt8(bit % 8)
      #expect(throws: LZ4Error.self, "bit \(bit)") { try decoder.decode(damaged, bytesMax: 1000) }
    }
    #expect((try? decoder.decode(frame, bytesMax: 1000)) == Self.small)
  }

  @Test("every cut of a frame is an error, and so is every byte after it")
  func cuts() {
    let (frame, decoder) = (FrameEncoder().encode(Self.small), FrameDecoder())
    for count in 0..<frame.count {
      #expect(throws: LZ4Error.truncated, "\(count) bytes") {
        try decoder.decode(Array(frame.prefix(count)), bytesMax: 1000)
      }
    }
    for byte in [0, 4, 255] as [UInt8] {
      #expect(throws: LZ4Error.trailingBytes(1)) {
        try decoder.decode(frame + [byte], bytesMax: 1000)
      }
    }
    #expect(throws: LZ4Error.trailingBytes(frame.count)) {
      try decoder.decode(frame + frame, bytesMax: 1000)
    }
  }

  @Test(
    "bytes of any kind are refused or read, and never more than allowed", arguments: Seeds.some(1))
  func noise(seed: UInt64) {
    var generator = Generator(seed: seed)
    let frame = FrameEncoder().encode(Self.content(3000, seed: seed))
    let decoder = FrameDecoder()
    for _ in 0..<5000 {
      var damaged = frame
      for _ in 0...generator.below(6) {
        damaged[generator.below(frame.count)] = UInt8(truncatingIfNeeded: generator.next())
      }
      if generator.flip() { damaged.removeLast(generator.below(frame.count)) }
      let content = try? decoder.decode(damaged, bytesMax: 4000)
      #expect(content == nil || damaged == frame)
    }
  }

  @Test("a size that cannot be true asks for no memory")
  func hugeSize() throws {
    // The header's own checksum is right.
    let header = try #require(hexDecoded("04224d187c70ffffffffffffff0f"))
    for check in 0...255 as ClosedRange<UInt8> {
      #expect(throws: LZ4Error.self) {
        try FrameDecoder().decode(header + [check, 0, 0, 0, 0], bytesMax: .max)
      }
    }
  }

  @Test("a skippable frame's header is written and read, and its frame is none of ours")
  func skippable() throws {
    let header = SkippableFrame.header(kind: 10, bodyBytes: 0x0102_0304)
    #expect(hexEncoded(header) == "5a2a4d1804030201")
    let read = header.withUnsafeBytes { SkippableFrame.read($0) }
    #expect(read?.kind == 10 && read?.bodyBytes == 0x0102_0304)
    let frame = FrameEncoder().encode(Self.small)
    #expect(frame.withUnsafeBytes { SkippableFrame.read($0) } == nil)
    #expect(header.dropLast().withUnsafeBytes { SkippableFrame.read($0) } == nil)
    #expect(throws: LZ4Error.notAFrame) {
      try FrameDecoder().decode(SkippableFrame.header(kind: 0, bodyBytes: 0), bytesMax: 10)
    }
  }
}
