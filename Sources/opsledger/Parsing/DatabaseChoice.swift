import Host
import Ledger

/// Which database a command is about.
///
/// `--database`, else OPS_DATABASE_URL, DATABASE_URL, SUPABASE_URL when it is a PostgreSQL URL, else
/// the private PostgreSQL. The runbook has people set SUPABASE_URL to the https address of their
/// project: that names a ledger which we cannot reach by it, so it never falls through to the
/// private one, where an empty ledger would be mistaken for theirs.
enum DatabaseChoice: Equatable, Sendable {
  /// A URL, or a connection string of libpq, and what named it.
  case url(String, from: String)
  /// Whichever private PostgreSQL is in reach.
  case privatePostgres

  /// - Parameters:
  ///   - flag: what `--database` says.
  ///   - ignoresAddress: whether a SUPABASE_URL that is no database leaves the private one; true
  ///     for `demo` and `db …` only.
  static func resolve(
    flag: String?, environment: Environment, ignoresAddress: Bool = false
  ) throws(OpsError) -> DatabaseChoice {
    if let flag {
      guard isConnectionString(flag) else {
        throw .badInput("--database wants a PostgreSQL URL", hint: "postgresql://user@host/name")
      }
      return .url(flag, from: "--database")
    }
    for name in ["OPS_DATABASE_URL", "DATABASE_URL"] {
      guard let value = try onHost({ () throws(HostError) in try environment.secret(name) }) else {
        continue
      }
      guard isConnectionString(value.text) else {
        throw .noDatabase(
          "\(name) is not a PostgreSQL URL",
          hint: "set OPS_DATABASE_URL to one: postgresql://user@host/name")
      }
      return .url(value.text, from: name)
    }
    let name = "SUPABASE_URL"
    guard let value = try onHost({ () throws(HostError) in try environment.secret(name) }) else {
      return .privatePostgres
    }
    if isPostgresURL(value.text) { return .url(value.text, from: name) }
    if ignoresAddress { return .privatePostgres }
    throw .noDatabase(
      "no database: SUPABASE_URL is the address of an API, not of a database",
      hint: "set OPS_DATABASE_URL to the project's connection string, postgresql://…")
  }

  private static func isPostgresURL(_ text: String) -> Bool {
    let text = text.prefix(13).lowercased()
    return text.hasPrefix("postgres://") || text.hasPrefix("postgresql://")
  }

  /// libpq takes `host=… dbname=…` as well.
  static func isConnectionString(_ text: String) -> Bool {
    isPostgresURL(text) || (text.contains("=") && !text.contains("://"))
  }
}
