import Ledger
import TestSupport
import Testing

@testable import Archive

@Suite("Names of files of a store")
struct StoreNameTests {
  @Test(
    "names as the design has them are names",
    arguments: [
      "ledger.json", "segments/00000000000000000001-00000000000000050000.lz4",
      "snapshots/00000000000000050000.g2.lz4", "tile/0/x001/234/067.p/112", "checkpoints/7",
      "a-b/C.d",
    ])
  func fine(text: String) throws {
    let name = try StoreName(text)
    #expect((name.folders + [name.leaf]).joined(separator: "/") == text)
  }

  @Test(
    "what leads out, hides, or would have to be escaped is refused",
    arguments: [
      "", "/", "/etc/passwd", "..", "../x", "a/../b", "a/..", ".", "./a", "a/.", "a//b", "a/",
      ".tmp.1",
      "a/.b", "a\0b", "a b", "a%2fb", "a\\b", "a\nb", "é", "e\u{301}", "a_b", "a+b", "-a", "~",
      "a*", "a?b",
      String(repeating: "a", count: 201), Array(repeating: "a", count: 17).joined(separator: "/"),
    ])
  func refused(text: String) {
    let error = #expect(throws: OpsError.self) { try StoreName(text) }
    #expect(error?.code == .notAllowed)
  }

  @Test("a prefix may end anywhere in a name")
  func prefixes() throws {
    #expect(try StoreName.folders(ofPrefix: "") == [])
    #expect(try StoreName.folders(ofPrefix: "seg") == [])
    #expect(try StoreName.folders(ofPrefix: "segments/") == ["segments"])
    #expect(try StoreName.folders(ofPrefix: "tile/0/x0") == ["tile", "0"])
    for prefix in ["../", "/", "a//", ".tmp.", "a/../"] {
      expectRefusal(.notAllowed) { try StoreName.folders(ofPrefix: prefix) }
    }
  }
}
