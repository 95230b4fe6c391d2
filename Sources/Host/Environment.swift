import CHost
import Glibc

/// Settings by name, from the process's environment and from the file `.env` of the working directory.
///
/// A variable of the process replaces the one of `.env`, also if it is empty. An empty value counts as not set.
public struct Environment: Sendable {
  /// The place of a value.
  public enum Origin: Equatable, Sendable {
    case process
    case dotEnv
    /// The file that `NAME_FILE` names.
    case file(String)
  }

  public struct Value: Equatable, Sendable {
    public let text: String
    public let origin: Origin
  }

  private let process: [String: String]
  private let dotEnv: [String: String]
  /// The lines of `.env` that could not be read.
  public let unreadableLines: [Int]
  private let unreadableNames: [String: Int]

  public init(process: [String: String], dotEnv: DotEnv = DotEnv("")) {
    self.process = process
    self.dotEnv = dotEnv.values
    unreadableLines = dotEnv.unreadableLines
    unreadableNames = dotEnv.unreadableNames
  }

  /// The environment of this process and the `.env` file of a directory.
  ///
  /// - Throws: If `.env` exists and cannot be opened, since it may name the database. A line that cannot be read is an
  ///   error only for the settings that it names; see ``requireReadable(_:)``.
  public static func load(directory: String = ".") throws(HostError) -> Environment {
    let path = directory + "/.env"
    let hasFile = FileSystem.status(path)?.kind == .file
    return Environment(
      process: processVariables(),
      dotEnv: DotEnv(bytes: hasFile ? try FileSystem.read(path, bytesMax: 1 << 20) : []))
  }

  /// A setting, or nil if it is not set or empty.
  public func value(_ name: String) -> Value? {
    if let text = process[name] { return text.isEmpty ? nil : Value(text: text, origin: .process) }
    guard let text = dotEnv[name], !text.isEmpty else { return nil }
    return Value(text: text, origin: .dotEnv)
  }

  /// - Throws: If `.env` sets the name on a line that cannot be read. The default could be another value than was
  ///   meant.
  public func requireReadable(_ name: String) throws(HostError) {
    guard process[name] == nil, let line = unreadableNames[name] else { return }
    throw HostError(
      .malformed,
      "\(name) cannot be read: line \(line) of .env is not UTF-8 text, or its quotes are not closed",
      hint: "correct the line, or set \(name) in the environment")
  }

  /// A setting whose value may also be in a file that `NAME_FILE` names. `NAME` replaces it.
  ///
  /// - Throws: If the file cannot be read or is empty. A missing secret is not the same as none.
  public func secret(_ name: String) throws(HostError) -> Value? {
    try requireReadable(name)
    if let value = value(name) { return value }
    try requireReadable(name + "_FILE")
    guard let file = value(name + "_FILE")?.text else { return nil }
    var text = Substring(try FileSystem.readText(file, bytesMax: 65_536))
    while let last = text.last, last.isNewline { text.removeLast() }
    guard !text.isEmpty else {
      throw HostError(
        .unusable, "\(file), named by \(name)_FILE, is empty",
        hint: "write the value into the file, or unset \(name)_FILE")
    }
    return Value(text: String(text), origin: .file(file))
  }

  /// All settings whose names begin with `prefix`.
  public func values(prefix: String) -> [String: String] {
    dotEnv.merging(process) { $1 }.filter { $0.key.hasPrefix(prefix) && !$0.value.isEmpty }
  }

  /// Unsets all variables of this process whose names begin with `prefix`, so that libraries do not read them. No other
  /// thread may use the environment during the call.
  public static func forget(prefix: String) {
    for name in processVariables().keys where name.hasPrefix(prefix) { unsetenv(name) }
  }

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
