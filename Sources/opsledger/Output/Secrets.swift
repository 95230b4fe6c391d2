import Host

/// Keeps passwords and keys out of what is shown.
enum Secrets {
  /// A URL or connection string as others may see it.
  ///
  /// It shows too little rather than too much, since a password that was not escaped can hold every mark that parts of
  /// a URL end with: hidden is whatever stands before the last `@`, but for a plain user's name, and whatever follows
  /// `password=` or another word for a secret, to the end.
  static func masked(_ text: String) -> String {
    let scheme = text.firstRange(of: "://").map { text[..<$0.upperBound] } ?? ""
    let rest = text[scheme.endIndex...]
    if scheme.isEmpty, !rest.contains("@") {
      guard rest.contains("=") else { return text.isEmpty ? "" : hidden }
      return secretValue(in: rest).map { rest[..<$0] + hidden } ?? text
    }
    let at = rest.lastIndex(of: "@")
    let value = secretValue(in: rest)
    // Which of the two is part of the other cannot be told.
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

  /// Whether what stands before the first `/` or `?` is hosts and ports: `user:password`, the host forgotten, is not.
  private static func isHostList(_ text: Substring) -> Bool {
    let hosts = text.prefix { !"/?".contains($0) }
    return hosts.split(separator: ",").allSatisfy { host in
      // An IPv6 address stands in brackets.
      let port = host.hasPrefix("[") ? host.drop { $0 != "]" }.dropFirst() : host.drop { $0 != ":" }
      return port.dropFirst().allSatisfy(\.isWholeNumber)
    }
  }

  /// Where the value of the first field begins that holds a secret: `password`, `sslpassword`, a token, a key.
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

  /// Keeps the secrets of what was typed out of all messages, whoever writes them: a URL may stand where an id
  /// belongs.
  static func keepOutOfMessages(_ line: [String]) {
    for argument in line where argument.contains("://") || secretValue(in: argument[...]) != nil {
      hide(argument, masked(argument))
      if argument.hasPrefix("-"), let equals = argument.firstIndex(of: "=") {
        let value = String(argument[argument.index(after: equals)...])
        hide(value, masked(value))
      }
    }
  }

  /// The same of what is set: a server may repeat a key.
  static func keepOutOfMessages(_ environment: Environment) {
    for setting in Setting.allCases where setting.isSecret || setting == .bucketEndpoint {
      // What cannot be read is an error of whoever needs it.
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
