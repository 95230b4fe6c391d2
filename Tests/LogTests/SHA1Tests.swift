import Crypto
import TestLedgers
import Testing

@Suite(.needsServer)
struct SHA1Tests {
  @Test("the database's SHA-1 is libcrypto's, whatever the length")
  func lengths() throws {
    try TestLedger.with { ledger in
      let found = try ledger.lines(
        """
        SELECT encode(ledger.sha1(decode(repeat('5a', n), 'hex')), 'hex') AS digest
        FROM generate_series(0, 199) AS n
        """)
      #expect(found.count == 200)
      for (count, digest) in found.enumerated() {
        let expected = sha1([UInt8](repeating: 0x5A, count: count))
        #expect(
          digest
            == expected.map { byte in
              (byte < 16 ? "0" : "") + String(byte, radix: 16)
            }.joined())
      }
    }
  }
}
