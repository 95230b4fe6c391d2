import Host
import Ledger
import Testing

@testable import opsledger

@Suite("a store in a bucket, named on the command line")
struct BucketTests {
  @Test("its secrets are masked, and may be in files")
  func masked() {
    for setting in [Setting.bucketKey, .bucketSecret, .bucketToken] {
      #expect(setting.isSecret)
      #expect(setting.shown("abcdef") == "****")
    }
    #expect(Setting.bucketEndpoint.shown("https://me:hidden@host") == "https://me:****@host")
    #expect(Setting.bucketRegion.standard == "us-east-1")
  }

  @Test("without a key it is out of reach, and the hint says what to set")
  func withoutKey() throws {
    let answer = try LedgerProgram(url: "")("--store", "s3://bucket/ledger", "archive", "list")
    #expect(answer.code == 3)
    #expect(
      answer.errors.hasPrefix(
        "error OPS_001: no access key is set for s3://bucket/ledger\nhint: set AWS_"))
  }
}
