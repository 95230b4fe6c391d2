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

  /// A URL without the password in front of its host, and that password, decoded: what a program's
  /// arguments say, every user of the machine can read.
  static func splitPassword(_ text: String) -> (url: String, password: String?) {
    guard let scheme = text.firstRange(of: "://") else { return (text, nil) }
    let rest = text[scheme.upperBound...]
    let front = rest[..<(rest.firstIndex { "/?".contains($0) } ?? rest.endIndex)]
    guard let at = front.lastIndex(of: "@"), let colon = front[..<at].firstIndex(of: ":") else {
      return (text, nil)
    }
    let encoded = Array(text[text.index(after: colon)..<at].utf8)
    var decoded: [UInt8] = []
    var index = 0
    while index < encoded.count {
      let digits = String(decoding: encoded[index...].dropFirst().prefix(2), as: UTF8.self)
      if encoded[index] == UInt8(ascii: "%"), digits.count == 2, let byte = UInt8(digits, radix: 16)
      {
        decoded.append(byte)
        index += 3
      } else {
        decoded.append(encoded[index])
        index += 1
      }
    }
    return (String(text[..<colon] + text[at...]), String(decoding: decoded, as: UTF8.self))
  }

  /// A URL or connection string with its passwords hidden.
  static func masked(_ text: String) -> String {
    guard let scheme = text.firstRange(of: "://") else { return maskedFields(text, " ") }
    let rest = text[scheme.upperBound...]
    let query = rest.firstIndex(of: "?") ?? rest.endIndex
    var front = String(rest[..<query])
    if let at = front.lastIndex(of: "@"), let colon = front[..<at].firstIndex(of: ":") {
      front = front[...colon] + "****" + front[at...]
    }
    return text[..<scheme.upperBound] + front + maskedFields(String(rest[query...]), "&")
  }

  private static func maskedFields(_ text: String, _ separator: Character) -> String {
    guard let found = text.firstRange(of: "password") else { return text }
    guard let equals = text[found.upperBound...].firstIndex(of: "=") else { return text }
    let value = text[text.index(after: equals)...]
    // A quoted value may hold the separator: hide all that follows, rather than part of it.
    let end = value.contains("'") ? text.endIndex : value.firstIndex(of: separator) ?? text.endIndex
    return text[...equals] + "****" + maskedFields(String(text[end...]), separator)
  }
}
