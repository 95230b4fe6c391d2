import Ledger
import Testing

@Suite("Error codes")
struct OpsErrorTests {
  @Test("there are the runbook's ten codes and nine more, numbered without a gap")
  func codes() {
    let expected = (1...19).map { "OPS_0" + ($0 < 10 ? "0" : "") + "\($0)" }
    #expect(OpsError.Code.allCases.map(\.rawValue).sorted() == expected)
  }

  @Test(
    "a code's exit code: 001 and 014 are the environment's, 019 is no command, all others say no",
    arguments: OpsError.Code.allCases)
  func exitCodes(code: OpsError.Code) {
    let expected: Int32 =
      switch code.rawValue {
      case "OPS_001", "OPS_014": 3
      case "OPS_019": 2
      default: 1
      }
    #expect(code.exitCode == expected)
  }

  @Test("an error prints as its code and its sentence, on one line")
  func line() {
    let error = OpsError(.templateInvalid, "The template has no steps.", hint: "Add one.")
    #expect("\(error)" == "OPS_004: The template has no steps.")
  }
}
