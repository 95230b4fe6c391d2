internal import CPostgres

/// What a connection URL (or `key=value` string) says, as far as we must know before libpq does.
struct ConnectionString {
  let text: String
  let hosts: [String]
  let hostAddresses: [String]
  let ports: [String]
  let connectTimeoutSeconds: Int?
  /// What must not be in any message.
  let secrets: [String]

  /// - Throws: `.connect` when libpq cannot read it. The message repeats nothing of the text,
  ///   since a password with an unescaped character in it could be anywhere.
  init(_ text: String) throws(PostgresError) {
    guard !text.utf8.contains(0) else {
      throw .connect("the connection string holds a zero byte")
    }
    try Self.refuseStrayAtSign(in: text)
    self.text = text
    var options: [String: String] = [:]
    if Self.isURL(text) || text.utf8.contains(UInt8(ascii: "=")) {
      options = try Self.parse(text)
    }
    func list(_ key: String) -> [String] {
      guard let value = options[key], !value.isEmpty else { return [] }
      return value.split(separator: ",", omittingEmptySubsequences: false).map(String.init)
    }
    hosts = list("host")
    hostAddresses = list("hostaddr")
    ports = list("port")
    // `postgres://user:password/db`, the host forgotten: libpq would print the password as a port.
    guard ports.allSatisfy({ $0.isEmpty || UInt16($0).map { $0 > 0 } ?? false }) else {
      throw .connect("the connection string has a port that is no number from 1 to 65535")
    }
    connectTimeoutSeconds = options["connect_timeout"].flatMap { Int($0) }.flatMap {
      $0 > 0 ? $0 : nil
    }
    secrets = ["password", "sslpassword"].compactMap { options[$0] }.filter { $0.utf8.count > 2 }
  }

  static func isURL(_ text: String) -> Bool {
    text.hasPrefix("postgres://") || text.hasPrefix("postgresql://")
  }

  /// libpq ends the user's part at the first `@` or `/`, so the rest of a password that holds one
  /// unescaped would be taken for a host, and be printed as one that cannot be found.
  private static func refuseStrayAtSign(in text: String) throws(PostgresError) {
    guard isURL(text), let colon = text.firstIndex(of: ":") else { return }
    var rest = text[text.index(colon, offsetBy: 3)...]
    guard let end = rest.firstIndex(where: { $0 == "@" || $0 == "/" }) else { return }
    rest = rest[rest.index(after: end)...]
    let query = rest.firstIndex(of: "?") ?? rest.endIndex
    guard !rest[..<query].contains("@") else {
      throw .connect(
        "the URL has an unescaped @ or / in its user or password; write %40 and %2F instead")
    }
  }

  private static func parse(_ text: String) throws(PostgresError) -> [String: String] {
    var complaint: UnsafeMutablePointer<CChar>?
    guard let options = PQconninfoParse(text, &complaint) else {
      let sentence = complaint.map { withoutQuotations(String(cString: $0)) } ?? "out of memory"
      PQfreemem(complaint)
      throw .connect("the connection string cannot be read: \(sentence)")
    }
    defer { PQconninfoFree(options) }
    var values: [String: String] = [:]
    var option = options
    while let keyword = option.pointee.keyword {
      if let value = option.pointee.val {
        values[String(cString: keyword)] = String(cString: value)
      }
      option += 1
    }
    return values
  }

  /// libpq quotes pieces of what it could not read.
  private static func withoutQuotations(_ sentence: String) -> String {
    var kept = ""
    var inside = false
    for character in trimmed(sentence) {
      if character == "\"" {
        if !inside { kept += "\"…\"" }
        inside.toggle()
      } else if !inside {
        kept.append(character)
      }
    }
    return kept
  }

  /// For messages of libpq and the server on this connection.
  func redacted(_ message: String) -> String {
    var result = message
    for secret in secrets {
      result = result.split(separator: secret, omittingEmptySubsequences: false)
        .joined(separator: "********")
    }
    return result
  }
}

/// One line: libpq ends messages with a newline and gives several hosts a line each.
func trimmed(_ message: String) -> String {
  message.split(whereSeparator: { $0 == "\n" })
    .map { line in
      String(line.drop(while: { $0 == " " || $0 == "\t" }))
    }
    .joined(separator: "; ")
}
