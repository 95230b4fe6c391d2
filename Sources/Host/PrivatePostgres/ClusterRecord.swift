/// The file `.opsledger/cluster`: lines of `name=value`. It is written last, so a folder with this file has a complete
/// cluster.
struct ClusterRecord: Equatable, Sendable {
  static let format = "1"

  /// 16 hexadecimal digits, which no other cluster has.
  var id: String
  /// The directory of data and socket: `/var/lib/opsledger/<id>`; nil for the folder itself, which can then be moved.
  var base: String?
  /// The system user who runs the server and owns its files.
  var user: String
  var port = 5432

  init(id: String = ClusterRecord.newID(), base: String?, user: String) {
    self.id = id
    self.base = base
    self.user = user
  }

  init(_ text: String, path: String) throws(HostError) {
    var fields: [Substring: Substring] = [:]
    for line in text.split(separator: "\n") where !line.hasPrefix("#") {
      guard let equals = line.firstIndex(of: "=") else { continue }
      fields[line[..<equals]] = line[line.index(after: equals)...]
    }
    guard fields["format"].map(String.init) == Self.format else {
      throw HostError(
        .unusable, "\(path) was written by another version of opsledger",
        hint: "use that version, or set OPSLEDGER_HOME to another folder")
    }
    guard let id = fields["id"], id.count == 16, id.allSatisfy(\.isHexDigit),
      let user = fields["user"], !user.isEmpty,
      let base = fields["base"], base == "." || base == Self.outside(String(id)),
      let port = fields["port"].flatMap({ Int($0) }), (1...65_535).contains(port)
    else {
      throw HostError(
        .unusable, "\(path), which describes the private PostgreSQL, is damaged",
        hint: "put the file back, or set OPSLEDGER_HOME to another folder")
    }
    self.id = String(id)
    self.base = base == "." ? nil : String(base)
    self.user = String(user)
    self.port = port
  }

  var text: String {
    """
    # opsledger's private PostgreSQL. See `opsledger db`.
    format=\(Self.format)
    id=\(id)
    base=\(base ?? ".")
    user=\(user)
    port=\(port)

    """
  }

  static let outsideDirectory = "/var/lib/opsledger"

  /// The directory of a cluster whose server may not enter its folder.
  static func outside(_ id: String) -> String { "\(outsideDirectory)/\(id)" }

  static func newID() -> String {
    let digits = String(UInt64.random(in: 0...UInt64.max), radix: 16)
    return String(repeating: "0", count: 16 - digits.count) + digits
  }
}
