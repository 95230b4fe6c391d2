import CHost
import Glibc

/// Settings by name: the process's environment, and behind it the `.env` of the working directory.
///
/// The real environment wins, also with an empty value; an empty value counts as not set.
public struct Environment: Sendable {
  /// Where a value was found.
  public enum Origin: Equatable, Sendable {
    case process
    case dotEnv
    /// In the file that `NAME_FILE` names.
    case file(String)
  }

  public struct Value: Equatable, Sendable {
    public let text: String
    public let origin: Origin
  }

  private let process: [String: String]
  private let dotEnv: [String: String]
  /// Lines of `.env` that could not be read, for a warning.
  public let unreadableLines: [Int]
  private let unreadableNames: [String: Int]

  public init(process: [String: String], dotEnv: DotEnv = DotEnv("")) {
    self.process = process
    self.dotEnv = dotEnv.values
    unreadableLines = dotEnv.unreadableLines
    unreadableNames = dotEnv.unreadableNames
  }

  /// The environment of this process and the `.env` file of a directory, where there is one.
  ///
  /// - Throws: when `.env` is there and cannot be opened: what it says may decide which database. A line in it that
  ///   is none is passed over, and is an error for who asks for what it names; see ``requireReadable(_:)``.
  public static func load(directory: String = ".") throws(HostError) -> Environment {
    let path = directory + "/.env"
    guard let status = FileSystem.status(path), status.kind == .file else {
      return Environment(process: processVariables())
    }
    return Environment(
      process: processVariables(),
      dotEnv: DotEnv(bytes: try FileSystem.read(path, bytesMax: 1 << 20)))
  }

  /// A setting, or nil where it is not set or empty.
  public func value(_ name: String) -> Value? {
    if let text = process[name] { return text.isEmpty ? nil : Value(text: text, origin: .process) }
    guard let text = dotEnv[name], !text.isEmpty else { return nil }
    return Value(text: text, origin: .dotEnv)
  }

  /// - Throws: when `.env` sets it on a line that cannot be read: what was meant is never the default.
  public func requireReadable(_ name: String) throws(HostError) {
    guard process[name] == nil, let line = unreadableNames[name] else { return }
    throw HostError(
      .malformed,
      "\(name) cannot be read: line \(line) of .env is not UTF-8 text, or its quotes are not closed",
      hint: "mend the line, or set \(name) in the environment")
  }

  /// A setting that may also be kept in a file, which `NAME_FILE` then names. `NAME` itself wins.
  ///
  /// - Throws: when that file cannot be read, or is empty: a secret that was meant is never none.
  public func secret(_ name: String) throws(HostError) -> Value? {
    try requireReadable(name)
    if let value = value(name) { return value }
    try requireReadable(name + "_FILE")
    guard let file = value(name + "_FILE")?.text else { return nil }
    var text = Substring(try FileSystem.readText(file, bytesMax: 65_536))
    while let last = text.last, last.isNewline { text.removeLast() }
    guard !text.isEmpty else {
      throw HostError(.unusable, "\(file), named by \(name)_FILE, is empty")
    }
    return Value(text: String(text), origin: .file(file))
  }

  /// All settings whose names begin so.
  public func values(prefix: String) -> [String: String] {
    dotEnv.merging(process) { $1 }.filter { $0.key.hasPrefix(prefix) && !$0.value.isEmpty }
  }

  /// Unsets all variables of this process whose names begin so, for libraries that would read them.
  /// No other thread may use the environment meanwhile.
  public static func forget(prefix: String) {
    for name in processVariables().keys where name.hasPrefix(prefix) { unsetenv(name) }
  }

  /// Every variable of this process.
  public static func processVariables() -> [String: String] {
    var variables: [String: String] = [:]
    guard var next = host_environment() else { return [:] }
    while let entry = next.pointee {
      let text = String(cString: entry)
      if let equals = text.firstIndex(of: "=") {
        variables[String(text[..<equals])] = String(text[text.index(after: equals)...])
      }
      next += 1
    }
    return variables
  }
}
