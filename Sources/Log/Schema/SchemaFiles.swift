import CSchema
import Crypto

/// A file of `schema/`, embedded in the program.
struct SchemaFile: Equatable, Sendable {
  /// The path below `schema/`, such as `migrations/0001_roles.sql`.
  let path: String
  let text: String

  /// A migration runs once. Every other file is applied again for each release.
  var isMigration: Bool { path.hasPrefix("migrations/") }
  /// The name in `ledger.migrations`: `0001_roles.sql` for a migration, the path for another file.
  var name: String { isMigration ? String(path.dropFirst("migrations/".count)) : path }
  var sha256: Digest { SHA256.hash(text) }

  /// The SQL files, in the order in which they are applied.
  static var sql: [SchemaFile] { files(opsledger_schema_sql(), opsledger_schema_sql_count()) }

  /// The seeded policies: key and value.
  static var policies: [(key: String, value: String)] {
    files(opsledger_schema_policies(), opsledger_schema_policies_count()).map { file in
      (String(file.path.dropFirst("policies/".count).dropLast(".json".count)), file.text)
    }
  }

  /// The objects for which the SQL files with a prefix are named: `views/ops_` gives `ops_policy_audit`, ….
  static func names(in prefix: String) -> [String] {
    sql.compactMap { file in
      guard file.path.hasPrefix(prefix), let name = file.path.split(separator: "/").last else {
        return nil
      }
      return String(name.dropLast(".sql".count))
    }
  }

  private static func files(
    _ start: UnsafePointer<opsledger_schema_file>?, _ count: Int
  ) -> [SchemaFile] {
    UnsafeBufferPointer(start: start, count: count).map { file in
      SchemaFile(
        path: String(cString: file.name),
        text: String(
          decoding: UnsafeBufferPointer(start: file.bytes, count: file.length), as: UTF8.self))
    }
  }
}
