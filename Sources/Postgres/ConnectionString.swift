internal import CPostgres

/// A connection URL, or `key=value` string, and its options that are needed before libpq reads it.
struct ConnectionString {
  /// The text for libpq.
  let text: String
  let hosts: [String]
  let hostAddresses: [String]
  let ports: [String]
  let connectTimeoutSeconds: Int?
  /// The values that no message may contain.
  let secrets: [String]

  /// - Throws: `.connect` if libpq cannot read the text. The message quotes no part of the text: each part could belong
  ///   to a password with an unescaped character.
  init(_ text: String) throws(PostgresError) {
    guard !text.utf8.contains(0) else {
      throw .connect("the connection string has a zero byte")
    }
    try Self.refuseStrayAtSign(in: text)
    let parsed = try Self.parse(text)
    let options = Dictionary(uniqueKeysWithValues: parsed.map { ($0.keyword, $0.value) })
    func list(_ key: String) -> [String] {
      guard let value = options[key], !value.isEmpty else { return [] }
      return value.split(separator: ",", omittingEmptySubsequences: false).map(String.init)
    }
    hosts = list("host")
    hostAddresses = list("hostaddr")
    ports = list("port")
    // In `postgres://user:password/db` the host is missing, and libpq would print the password as a port.
    guard ports.allSatisfy({ $0.isEmpty || UInt16($0).map { $0 > 0 } ?? false }) else {
      throw .connect("a port in the connection string is not a number from 1 to 65535")
    }
    connectTimeoutSeconds = options["connect_timeout"].flatMap { Int($0) }.flatMap {
      $0 > 0 ? $0 : nil
    }
    secrets = parsed.filter(\.isSecret).map(\.value).filter { $0.utf8.count > 2 }
    // Without a hostaddr, PGHOSTADDR would replace the host that the text names.
    self.text =
      hosts.isEmpty || options["hostaddr"] != nil
      ? text
      : text
        + (!Self.isURL(text) ? " hostaddr=''" : text.contains("?") ? "&hostaddr=" : "?hostaddr=")
  }

  static func isURL(_ text: String) -> Bool {
    text.hasPrefix("postgres://") || text.hasPrefix("postgresql://")
  }

  /// libpq ends the user's part at the first `@` or `/`. It would take the rest of a password for a host, and print it.
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

  struct Option {
    let keyword: String
    let value: String
    let isSecret: Bool
  }

  /// The options of a text, in libpq's order. A text that is only the name of a database has none.
  static func parse(_ text: String) throws(PostgresError) -> [Option] {
    guard isURL(text) || text.utf8.contains(UInt8(ascii: "=")) else { return [] }
    var complaint: UnsafeMutablePointer<CChar>?
    guard let options = PQconninfoParse(text, &complaint) else {
      let sentence = complaint.map { withoutQuotations(String(cString: $0)) } ?? "out of memory"
      PQfreemem(complaint)
      throw .connect("the connection string cannot be read: \(sentence)")
    }
    defer { PQconninfoFree(options) }
    var found: [Option] = []
    var option = options
    while let keyword = option.pointee.keyword {
      if let value = option.pointee.val {
        let name = String(cString: keyword)
        let isHidden = option.pointee.dispchar.map { String(cString: $0) } == "*"
        found.append(
          Option(
            keyword: name, value: String(cString: value),
            isSecret: isHidden || name.hasPrefix("scram_")))
      }
      option += 1
    }
    return found
  }

  /// The part of libpq's message before the first quotation, since a quotation may be a part of a password.
  private static func withoutQuotations(_ sentence: String) -> String {
    let sentence = trimmed(sentence).split(separator: "\"=\"").joined(separator: "=")
    return sentence.prefix { $0 != "\"" } + (sentence.contains("\"") ? "…" : "")
  }

  /// A message of libpq or the server without the secrets of this text.
  func redacted(_ message: String) -> String {
    secrets.reduce(message) { $0.replacing($1, with: "********") }
  }
}

/// A message of libpq as one line. libpq ends each message with a newline, and has a line for each host.
func trimmed(_ message: String) -> String {
  message.split(separator: "\n").map { $0.drop { $0 == " " || $0 == "\t" } }
    .joined(separator: "; ")
}

extension Connection {
  /// Takes the secrets out of a connection string that becomes an argument of a program, which every user can read.
  ///
  /// - Returns: A connection string without the secrets, and the secrets by their keywords.
  /// - Throws: `.connect` if libpq cannot read the text.
  public static func withoutSecrets(
    _ text: String
  ) throws(PostgresError) -> (rest: String, secrets: [String: String]) {
    _ = try ConnectionString(text)
    let options = try ConnectionString.parse(text)
    let secrets = options.filter(\.isSecret)
    guard !secrets.isEmpty else { return (text, [:]) }
    let rest = options.filter { !$0.isSecret }.map { option in
      "\(option.keyword)=\(ConnectionString.percentEncoded(option.value))"
    }
    return (
      "postgresql:///?" + rest.joined(separator: "&"),
      Dictionary(uniqueKeysWithValues: secrets.map { ($0.keyword, $0.value) })
    )
  }
}

extension ConnectionString {
  fileprivate static func percentEncoded(_ text: String) -> String {
    var encoded = ""
    for byte in text.utf8 {
      let scalar = Unicode.Scalar(byte)
      if byte < 0x80,
        scalar.properties.isAlphabetic || "0123456789/.-_~,".unicodeScalars.contains(scalar)
      {
        encoded.unicodeScalars.append(scalar)
      } else {
        encoded += (byte < 16 ? "%0" : "%") + String(byte, radix: 16, uppercase: true)
      }
    }
    return encoded
  }
}
