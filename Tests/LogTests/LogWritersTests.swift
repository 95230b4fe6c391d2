import Glibc
import TestSupport
import Testing

/// Who writes the log is listed in docs/architecture.md, with the reason for each.
@Suite struct LogWritersTests {
  @Test("nothing writes the log but what the document lists")
  func writers() throws {
    var writers: Set<String> = []
    for file in try files(in: ["Sources", "schema"]) {
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

  /// Swift and SQL below these folders, but for the copy of the schema that the program has in it.
  private func files(in folders: [String]) throws -> [String] {
    var found: [String] = []
    var open = folders
    while let folder = open.popLast() {
      let directory = try #require(opendir(Repository.root + "/" + folder))
      defer { closedir(directory) }
      while let entry = readdir(directory) {
        let name = withUnsafePointer(to: &entry.pointee.d_name) {
          $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
        }
        let path = folder + "/" + name
        if entry.pointee.d_type == UInt8(DT_DIR) {
          if !name.hasPrefix(".") { open.append(path) }
        } else if path.hasSuffix(".swift") || path.hasSuffix(".sql") {
          found.append(path)
        }
      }
    }
    return found
  }
}
