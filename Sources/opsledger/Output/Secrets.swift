import Host

/// Keeps passwords and keys out of output.
enum Secrets {
  /// A URL or connection string without its secrets.
  ///
  /// It hides everything before the last `@` except a plain user name, and everything after `password=` or another word
  /// for a secret, to the end. That can be too much: a password that was not escaped may hold any delimiter of a URL.
  static func masked(_ text: String) -> String {
    let scheme = text.firstRange(of: "://").map { text[..<$0.upperBound] } ?? ""
    let rest = text[scheme.endIndex...]
    if scheme.isEmpty, !rest.contains("@") {
      guard rest.contains("=") else { return text.isEmpty ? "" : hidden }
      return secretValue(in: rest).map { rest[..<$0] + hidden } ?? text
    }
    let at = rest.lastIndex(of: "@")
    let value = secretValue(in: rest)
    // Either could be part of the other.
    if let at, let value, value < at { return scheme + hidden }
    var shown = String(scheme)
    var front = rest.startIndex
    if let at {
      shown += maskedLogin(rest[..<at])
      front = at
    }
    let end = value ?? rest.endIndex
    guard at != nil || isHostList(rest[front..<end]) else { return scheme + hidden }
    return shown + rest[front..<end] + (value == nil ? "" : hidden)
  }

  static let hidden = "****"

  /// `user:password`, or a user's name alone.
  private static func maskedLogin(_ login: Substring) -> String {
    let user = login.prefix { $0 != ":" }
    let isPlain = user.utf8.allSatisfy { byte in
      byte < 0x80
        && (Unicode.Scalar(byte).properties.isAlphabetic || "0123456789_.-".utf8.contains(byte))
    }
    guard isPlain else { return hidden }
    return user.endIndex == login.endIndex ? String(user) : user + ":" + hidden
  }

  /// Whether the text before the first `/` or `?` is hosts and ports. `user:password` with the host forgotten is not.
  private static func isHostList(_ text: Substring) -> Bool {
    let hosts = text.prefix { !"/?".contains($0) }
    return hosts.split(separator: ",").allSatisfy { host in
      // An IPv6 address stands in brackets.
      let port = host.hasPrefix("[") ? host.drop { $0 != "]" }.dropFirst() : host.drop { $0 != ":" }
      return port.dropFirst().allSatisfy(\.isWholeNumber)
    }
  }

  /// The start of the first value whose name says that it is a secret: `password`, `sslpassword`, a token, a key.
  private static func secretValue(in text: Substring) -> Substring.Index? {
    var from = text.startIndex
    while let equals = text[from...].firstIndex(of: "=") {
      let before = text[..<equals]
      var end = before.endIndex
      while end > before.startIndex, before[before.index(before: end)].isWhitespace {
        end = before.index(before: end)
      }
      var start = end
      while start > before.startIndex {
        let previous = before.index(before: start)
        guard before[previous].isLetter || before[previous] == "_" else { break }
        start = previous
      }
      let name = before[start..<end].lowercased()
      from = text.index(after: equals)
      if words.contains(where: { name.contains($0) }) { return from }
    }
    return nil
  }

  private static let words = ["password", "passwd", "pwd", "secret", "token", "_key"]

  // MARK: - Messages

  /// Keeps secrets that were typed out of all messages. A URL may stand where an id belongs.
  static func keepOutOfMessages(_ line: [String]) {
    for argument in line where argument.contains("://") || secretValue(in: argument[...]) != nil {
      hide(argument, masked(argument))
      if argument.hasPrefix("-"), let equals = argument.firstIndex(of: "=") {
        let value = String(argument[argument.index(after: equals)...])
        hide(value, masked(value))
      }
    }
  }

  /// Keeps secrets of the environment out of all messages. A server may repeat a key.
  static func keepOutOfMessages(_ environment: Environment) {
    for setting in Setting.allCases where setting.isSecret || setting == .bucketEndpoint {
      // The command that needs an unreadable setting reports it.
      guard let value = try? environment.secret(setting.rawValue)?.text else { continue }
      hide(value, setting.shown(value))
    }
  }

  private static func hide(_ text: String, _ shown: String) {
    guard shown != text, text.utf8.count > 3 else { return }
    Output.messages.hide(text, behind: shown)
    Output.messages.hide(Terminal.printable(text), behind: shown)
  }
}
