import Crypto
import Testing

@Suite struct SHA256Tests {
  @Test(
    "SHA-256 gives the published values",
    arguments: [
      ("", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
      ("abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
      (
        "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
        "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"
      ),
    ])
  func published(message: String, digest: String) {
    #expect(SHA256.hash(message).hex == digest)
  }

  @Test("a million times the letter a, in pieces of any size, gives the published value")
  func millionLetters() {
    let hasher = SHA256()
    var left = 1_000_000
    var size = 1
    while left > 0 {
      let count = min(left, size)
      hasher.update([UInt8](repeating: UInt8(ascii: "a"), count: count))
      left -= count
      size = size * 3 % 10_007
    }
    #expect(
      hasher.finish().hex == "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0")
  }

  @Test("one hasher serves many messages, and none touches the next")
  func reuse() {
    let hasher = SHA256()
    let first = hasher.hash(Array("abc".utf8))
    #expect(hasher.hash(Array("other".utf8)) != first)
    #expect(hasher.hash(Array("abc".utf8)) == first)
  }

  @Test("a digest keeps its bytes and reads back from them")
  func bytes() throws {
    let digest = SHA256.hash("abc")
    #expect(digest.bytes.prefix(4) == [0xba, 0x78, 0x16, 0xbf])
    #expect(Digest(digest.bytes) == digest)
    #expect(Digest(Array(digest.bytes.dropLast())) == nil)
    #expect(Digest.zero.hex == String(repeating: "0", count: 64))
  }

  @Test("SHA-1 gives the published values")
  func sha1Published() {
    #expect(hexEncoded(sha1(Array("abc".utf8))) == "a9993e364706816aba3e25717850c26c9cd0d89d")
    #expect(hexEncoded(sha1([])) == "da39a3ee5e6b4b0d3255bfef95601890afd80709")
  }
}

@Suite struct BytesTests {
  @Test("hex reads back, in either case, and refuses what is none")
  func hex() {
    let bytes = [UInt8](0...255)
    #expect(hexDecoded(hexEncoded(bytes)) == bytes)
    #expect(hexDecoded("fF00") == [255, 0])
    #expect(hexDecoded("f") == nil)
    #expect(hexDecoded("fg") == nil)
  }

  @Test("random bytes have the size asked for and differ")
  func random() {
    #expect(randomBytes(count: 0).isEmpty)
    #expect(randomBytes(count: 16).count == 16)
    #expect(randomBytes(count: 16) != randomBytes(count: 16))
  }
}
