import Ledger
import Testing

@Suite("Stream ids")
struct IdentityTests {
  @Test("version 7 is that of RFC 9562, A.6")
  func version7() {
    // unix_ts_ms 0x017F22E279B0, rand_a 0xCC3, rand_b 0x18C4DC0C0C07398F.
    let id = StreamID(version7At: 0x017F_22E2_79B0, random: (0xCC3, 0x18C4_DC0C_0C07_398F))
    #expect(id.description == "017f22e2-79b0-7cc3-98c4-dc0c0c07398f")
  }

  @Test("version 7 takes no more random bits than it has, whatever the clock says")
  func version7Bits() {
    for milliseconds in [0, 1, UInt64.max, 1 << 48] {
      let id = StreamID(version7At: milliseconds, random: (.max, .max))
      #expect(id.high & 0xF000 == 0x7000)
      #expect(id.low >> 62 == 0b10)
      let none = StreamID(version7At: milliseconds, random: (0, 0))
      #expect(none.high & 0xFFFF == 0x7000)
      #expect(none.low == 0x8000_0000_0000_0000)
    }
  }

  @Test("version 5 is that of RFC 9562, A.4: www.example.com in the DNS namespace")
  func version5() {
    // The SHA-1 is the RFC's own.
    let digest: [UInt8] = [
      0x2e, 0xd6, 0x65, 0x7d, 0xe9, 0x27, 0x46, 0x8b, 0x55, 0xe1, 0x26, 0x65, 0xa8, 0xae, 0xa6,
      0xa2, 0x2d, 0xee, 0x3e, 0x35,
    ]
    #expect(
      StreamID(version5Digest: digest)?.description == "2ed6657d-e927-568b-95e1-2665a8aea6a2")
    #expect(StreamID(version5Digest: Array(digest[..<15])) == nil)
  }

  @Test("our namespace is the version 5 of opsledger in the URL namespace")
  func namespace() {
    // printf '\x6b\xa7\xb8\x11\x9d\xad\x11\xd1\x80\xb4\x00\xc0\x4f\xd4\x30\xc8opsledger' | sha1sum
    let digest: [UInt8] = [
      0x92, 0xb8, 0x12, 0xff, 0xfc, 0xda, 0x2e, 0xc4, 0x65, 0x24, 0xd5, 0x29, 0xe9, 0x2a, 0x7a,
      0x52, 0x2b, 0xf7, 0xf6, 0x09,
    ]
    #expect(StreamID(version5Digest: digest) == StreamID.namespace)
    #expect(StreamID.namespace.description == "92b812ff-fcda-5ec4-a524-d529e92a7a52")
  }

  @Test("an id prints as it is read, in lower case")
  func text() throws {
    let text = "0198f3a4-5B6C-7D8E-9fa0-b1c2d3e4f506"
    let id = try #require(StreamID(text))
    #expect(id.description == "0198f3a4-5b6c-7d8e-9fa0-b1c2d3e4f506")
    #expect(id.high == 0x0198_f3a4_5b6c_7d8e)
    #expect(id.low == 0x9fa0_b1c2_d3e4_f506)
    #expect(id.bytes.count == 16)
    #expect(id.bytes.first == 0x01)
    #expect(id.bytes.last == 0x06)
    #expect(StreamID(high: 0, low: 0).description == "00000000-0000-0000-0000-000000000000")
  }

  @Test(
    "what is no id is none",
    arguments: [
      "", "0198f3a45b6c7d8e9fa0b1c2d3e4f506", "{0198f3a4-5b6c-7d8e-9fa0-b1c2d3e4f506}",
      "0198f3a4-5b6c-7d8e-9fa0-b1c2d3e4f50", "0198f3a4-5b6c-7d8e-9fa0-b1c2d3e4f5066",
      "0198f3a4-5b6c-7d8e-9fa0-b1c2d3e4f50g", "0198f3a45-b6c-7d8e-9fa0-b1c2d3e4f506",
      "0198f3a4-5b6c-7d8e-9fa0_b1c2d3e4f506", "0198f3a4-5b6c-7d8e-9fa0-b1c2d3e4f5\u{E9}",
    ])
  func malformed(text: String) {
    #expect(StreamID(text) == nil)
  }

  @Test("ids of one command sort in the order in which they were made, and none comes twice")
  func source() {
    var ids = IDSource(seed: (1, 2))
    let made = (0..<1000).map { _ in ids.next(at: Fixed.time(0)).description }
    #expect(made == made.sorted())
    #expect(Set(made).count == made.count)
    var same = IDSource(seed: (1, 2))
    #expect(same.next(at: Fixed.time(0)).description == made[0])
    #expect((0..<1000).allSatisfy { _ in (0..<1).contains(same.draw()) })
  }
}
