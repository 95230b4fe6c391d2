import Host
import Ledger

/// The database that a command uses: `--database`, else OPS_DATABASE_URL, DATABASE_URL, SUPABASE_URL
/// when it is a PostgreSQL URL, else the private PostgreSQL.
///
/// The runbook has people set SUPABASE_URL to the https address of their project. opsledger cannot connect to that
/// address. It refuses to use the private PostgreSQL instead, since people would take an empty ledger there for theirs.
enum DatabaseChoice: Equatable, Sendable {
  /// A URL, or a connection string of libpq, and the option or variable that named it.
  case url(String, from: String)
  /// The private PostgreSQL of this directory or one above.
  case privatePostgres

  /// - Parameters:
  ///   - flag: the value of `--database`.
  ///   - ignoresAddress: whether the private one is used where SUPABASE_URL is an https address: only `db …` does.
  static func resolve(
    flag: String?, environment: Environment, ignoresAddress: Bool = false
  ) throws(OpsError) -> DatabaseChoice {
    if let flag {
      guard isConnectionString(flag) else {
        throw .badInput("--database needs a PostgreSQL URL", hint: "postgresql://user@host/name")
      }
      return .url(flag, from: "--database")
    }
    for setting in [Setting.databaseURL, .plainDatabaseURL] {
      guard let value = try environment.text(setting) else { continue }
      let name = setting.rawValue
      guard isConnectionString(value) else {
        throw .noDatabase(
          "\(name) is not a PostgreSQL URL",
          hint: "set OPS_DATABASE_URL to one, like postgresql://user@host/name")
      }
      return .url(value, from: name)
    }
    guard let value = try environment.text(.supabaseURL) else { return .privatePostgres }
    if isPostgresURL(value) { return .url(value, from: Setting.supabaseURL.rawValue) }
    if ignoresAddress { return .privatePostgres }
    throw .noDatabase(
      "no database is named: SUPABASE_URL is the address of an API, not of a database",
      hint: "set OPS_DATABASE_URL to the project's connection string, postgresql://…")
  }

  private static func isPostgresURL(_ text: String) -> Bool {
    let text = text.prefix(13).lowercased()
    return text.hasPrefix("postgres://") || text.hasPrefix("postgresql://")
  }

  /// Whether it is a URL, or `host=… dbname=…`, which libpq takes as well.
  static func isConnectionString(_ text: String) -> Bool {
    isPostgresURL(text) || (text.contains("=") && !text.contains("://"))
  }
}
