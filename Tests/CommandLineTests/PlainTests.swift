import Host
import JSON
import Ledger
import TestLedgers
import TestSupport
import Testing

@testable import opsledger

@Suite("what commands say")
struct PlainTests {
  @Test("no text that a user reads names a file of this repository, which they may not have")
  func noFiles() throws {
    let files = try Repository.files(in: ["Sources"], endingIn: ".swift")
    #expect(files.count > 200)
    for file in files {
      let lines = try FileSystem.readText(Repository.root + "/" + file).split(
        separator: "\n", omittingEmptySubsequences: false)
      for (number, line) in lines.enumerated() {
        let code = line.drop { $0 == " " }
        guard !code.hasPrefix("//"), code.contains("\"") else { continue }
        for name in ["docs/", "schema/", "tools/", "Tests/", "snapshots/rows"]
        where code.contains(name) {
          // Not what is no text for people: names of embedded files.
          Issue.record("\(file):\(number + 1): \(code)")
        }
      }
    }
  }

  @Test(
    "what looks like an address is no directory",
    arguments: ["s3:/x", "s3:x", "S3://b/p", "file:///x", "gs://b", "c:/x", "a.b+c-d:e"])
  func addresses(place: String) throws {
    let answer = try LedgerProgram(url: "postgresql://nobody@/none?host=/nowhere")(
      "--store", place, "archive", "list")
    #expect(answer.code == 2)
    #expect(answer.errors.hasPrefix("error OPS_019: \(place) is not a store"), "\(answer.errors)")
  }

  @Test("a reason that nobody can read is none")
  func blank() throws {
    let program = LedgerProgram(url: "postgresql://nobody@/none?host=/nowhere")
    for why in [" ", "\n\t", "\u{A0}\u{2003}", "\u{200B}", "\u{2800}", "\u{3164}", "\u{FEFF}"] {
      let answer = try program("halt", "--why", why)
      #expect(answer.code == 2, "\(why.unicodeScalars.map(\.value))")
      #expect(answer.errors.contains("--why is blank"))
    }
  }

  @Test("a dry run needs no reason, the deed does")
  func dryRun() throws {
    let id = "01932a7e-8d3c-7b0a-9f4e-0d6a5b1c2e3f"
    for line in [
      ["erase", "--mission", id, "--dry-run"], ["policy", "import", "--file", "f", "--dry-run"],
    ] {
      var parser = Parser(CommandTable.all)
      guard case .run = try parser.read(line) else {
        Issue.record("\(line) is not read")
        continue
      }
      var other = Parser(CommandTable.all)
      expectRefusal(.badInput) { try other.read(line.dropLast()) }
    }
  }
}

@Suite("what commands say of a ledger", .needsServer)
struct PlainLedgerTests {
  @Test("a proposal that SQL decided has its decider everywhere")
  func decider() throws {
    try TestLedger.with { ledger in
      let opsledger = LedgerProgram(ledger)
      let template = #"{"title": "t", "risk_level": "high", "steps": [{"kind": "noop"}]}"#
      for status in ["approved", "rejected"] {
        let made = try opsledger.json("proposal", "submit", "--file", "-", input: template)
        let id = try #require(made["proposal_id"]?.stringValue)
        #expect(try opsledger.json("proposal", "show", id)["decided_by"] == .null)
        try ledger.execute(
          "UPDATE ops_mission_proposals SET status = '\(status)', reason = 'since' WHERE id = '\(id)'"
        )
        let shown = try opsledger.json("proposal", "show", id)
        #expect(shown["decided_by"]?.stringValue?.hasPrefix("psql/") == true)
        #expect(shown["decision"] == .string(status))
        #expect(shown["decision_reason"] == .string("since"))
        #expect(try opsledger("proposal", "show", id).output.contains("\(status) by psql/"))
      }
      // One that is taken back is decided by nobody.
      try ledger.execute(
        "UPDATE ops_mission_proposals SET status = 'pending' WHERE status = 'rejected'")
      let back = try opsledger.json("proposal", "list", "--status", "pending")
      let id = try #require(back[0]?["id"]?.stringValue)
      #expect(try opsledger.json("proposal", "show", id)["decided_by"] == .null)
    }
  }

  @Test("a moment without an end is said as what it is, in every list and in JSON")
  func infinity() throws {
    try TestLedger.with { ledger in
      let opsledger = LedgerProgram(ledger)
      _ = try opsledger.json(
        "proposal", "submit", "--file", "-",
        input: #"{"title": "t", "risk_level": "low", "steps": [{"kind": "noop"}]}"#)
      try ledger.execute(
        """
        UPDATE ops_mission_steps SET not_before = 'infinity';
        UPDATE ops_missions SET started_at = '-infinity', completed_at = 'infinity';
        """)
      let step = try #require(try opsledger.json("step", "list")[0])
      #expect(step["not_before"] == .string("infinity"))
      let mission = try #require(try opsledger.json("mission", "list")[0])
      #expect(mission["started_at"] == .string("-infinity"))
      #expect(try opsledger("mission", "list").output.contains("for ever"))
      let id = try #require(step["id"]?.stringValue)
      #expect(try opsledger("step", "show", id).output.contains("not before infinity"))
      #expect(try opsledger.json("verify")["ok"] == .bool(true))
    }
  }

  @Test("status says what stands still, each with what holds instead")
  func standing() throws {
    try TestLedger.with { ledger in
      let opsledger = LedgerProgram(ledger)
      let whole = try opsledger.json("status")
      for list in ["broken_policies", "stopped_executors", "emptied_tables", "stores"] {
        #expect(whole[list] == .array([]), "\(list)")
      }
      try ledger.execute("UPDATE ops_policy SET value = '7'")
      let broken = try opsledger.json("status")["broken_policies"]?.arrayValue ?? []
      #expect(broken.compactMap { $0["key"]?.stringValue }.count == 8)
      for fault in broken {
        let holds = ["reaction_matrix", "worker_policy"].contains(fault["key"]?.stringValue)
        #expect((fault["version_in_force"] == .int(1)) == holds, "\(fault)")
      }
      let text = try opsledger("status").output
      #expect(text.split(separator: "\n").count { $0.hasPrefix("policy ") } == 8)
    }
  }
}
