import Ledger
import TestSupport
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

  @Test("what code decides by is told to people as facts")
  func facts() {
    let damaged = OpsError(
      store: .damaged, "It is damaged.", at: "/srv", file: "a.lz4", losing: 3...5,
      facts: ["frame": "2"])
    #expect(damaged.code == .storeDiverged && damaged.store?.lost == 3...5)
    #expect(
      damaged.facts == [
        "store": "/srv", "file": "a.lz4", "first_entry": "3", "last_entry": "5", "frame": "2",
      ])
    let newer = OpsError(store: .newerFormat, "It is newer.", losing: 3...5)
    #expect(newer.store?.lost == nil && newer.facts["is_newer"] == "true")
    let said = damaged.saying("It is damaged, and nothing is pushed.", hint: nil)
    #expect(said.cause == damaged.cause && said.facts == damaged.facts)
  }

  @Test(
    "a SQLSTATE is told by what it means",
    arguments: [
      ("55P03", .state, true, false), ("57P01", .intervention, false, true),
      ("08006", .connection, false, true), ("40001", .rollback, false, false),
      ("P0001", nil, false, false), ("", nil, false, false),
    ] as [(String, DatabaseFault.Class?, Bool, Bool)])
  func states(state: String, group: DatabaseFault.Class?, isLock: Bool, isLost: Bool) {
    let fault = DatabaseFault(sqlstate: state)
    #expect(fault.errorClass == group && fault.isLockTimeout == isLock)
    #expect(fault.isLostConnection == isLost)
  }

  @Test("no code reads an error's facts, and each OPS_015 says which it is")
  func steering() throws {
    let reading = /\bfacts\["[a-z_]+"\](?! = )|\b(error|failure|refusal|first)!?\??\.facts\b/
    let unsaid = /OpsError\(\s*\.storeDiverged/
    // Definitions have facts of the catalogue.
    for file in try Repository.files(in: ["Sources"], endingIn: ".swift")
    where !file.hasPrefix("Sources/Log/Definitions/") {
      let text = try Repository.read(file)
      if text.contains("storeDiverged") {
        #expect(text.firstMatch(of: unsaid) == nil, "\(file): OpsError(store:) says which it is")
      }
      guard text.contains("facts") else { continue }
      for line in text.split(separator: "\n") where line.contains("facts") {
        #expect(line.firstMatch(of: reading) == nil, "\(file): decide by the code or the cause")
      }
    }
  }
}
