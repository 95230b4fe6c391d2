import TestSupport
import Testing

/// Who writes the log is listed in docs/architecture.md, with the reason for each.
@Suite struct LogWritersTests {
  @Test("nothing writes the log but what the document lists")
  func writers() throws {
    var writers: Set<String> = []
    for file in try Repository.files(in: ["Sources", "schema"], [".swift", ".sql"]) {
      let text = try Repository.read(file)
      if text.contains("INSERT INTO ledger.events ") || text.contains("COPY ledger.events FROM") {
        writers.insert(file)
      }
    }
    let document = try Repository.read("docs/architecture.md")
    let table = try #require(document.split(separator: "These write `ledger.events`").last)
    let rows = table.split(separator: "\n## ")[0].split(separator: "\n").filter {
      $0.hasPrefix("| `")
    }
    let listed = rows.flatMap { row in
      row.split(separator: "|")[0].split(separator: "`").filter { $0.contains("/") }.map(
        String.init)
    }
    #expect(writers == Set(listed))
    #expect(listed.count > 4)
  }
}
