import Glibc
import Host
import JSON
import TestLedgers
import Testing

/// How places of stores are named, and what is said where one cannot take what it should.
@Suite("places of stores on the command line", .needsServer)
struct StorePlaceTests {
  private func withPlace(_ body: (TestLedger, LedgerProgram, String) throws -> Void) throws {
    try TestLedger.with { ledger in
      let place = "/tmp/opsledger-places.\(getpid()).\(UInt32.random(in: 0 ... .max))"
      try FileSystem.makeDirectory(place, mode: 0o700)
      defer { _ = try? Subprocess("rm", ["-rf", "--", place]).run() }
      try body(ledger, LedgerProgram(ledger), place)
    }
  }

  @Test("an empty name is none, and a store that is named twice is one copy")
  func names() throws {
    try withPlace { ledger, opsledger, place in
      let (store, other) = (place + "/store", place + "/other")
      for line in [
        ["--store", "", "archive", "push"], ["--store", store, "restore", "--to", ""],
        ["--store", store, "restore", "--to", "nonsense"],
        ["hold", "place", "--source", "", "--why", "w"],
      ] {
        #expect(try opsledger.run(line).code == 2, "\(line)")
      }
      let twice = ["--store", store, "--store", "\(place)//store/", "--json"]
      #expect(try opsledger("--store", store, "archive", "push").code == 0)
      #expect(try opsledger.run(twice + ["archive", "push"]).lines.count == 1)
      let policy = #"{"succeeded_days": 0, "copies": 2}"#
      let set = try opsledger(
        "policy", "set", "retention", "--file", "-", "--why", "w", input: policy)
      #expect(set.code == 0, "\(set.errors)")
      let digest = try opsledger.json("retention", "plan")["digest"]?.stringValue ?? ""
      let apply = ["retention", "apply", "--plan", digest]
      let refused = try opsledger.run(twice + apply)
      #expect(refused.code == 1 && refused.errors.hasPrefix("error OPS_013: "))
      let both = ["--store", store, "--store", other, "--json"]
      #expect(try opsledger.run(both + apply).code == 0)
      let list = try opsledger.run(both + ["archive", "list"]).json
      #expect(
        Set(list.arrayValue?.compactMap { $0["store"]?.stringValue } ?? []) == [store, other])
    }
  }

  @Test("what was erased is said, although a store could not take it")
  func erasedWithoutStore() throws {
    try withPlace { ledger, opsledger, place in
      let emitted = try opsledger.json("event", "emit", "a:b", "--data", #"{"summary": "s"}"#)
      let event = try #require(emitted["event_id"]?.stringValue)
      #expect(try opsledger("--store", place + "/store", "archive", "push").code == 0)
      let erase = try opsledger(
        "--store", place + "/gone", "--store", place + "/store", "--json", "erase", "--event",
        event,
        "--why", "w")
      #expect(erase.code == 3 && erase.json["entry"]?.intValue != nil, "\(erase.errors)")
      #expect(
        erase.errors.contains("warning: \(place)/gone may hold the content until the next push"))
      #expect(erase.json["stores"]?.arrayValue?.count == 1)
    }
  }
}
