/// What `.opsledger/cluster` says: `name=value` lines, written last, so that a folder which has one
/// holds a whole cluster.
struct ClusterRecord: Equatable, Sendable {
  static let format = "1"

  /// Tells this cluster from all others: 16 hexadecimal digits.
  var id: String
  /// Where data and socket are: `/var/lib/opsledger/<id>`, or nil for the folder itself, which may
  /// then be moved.
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
    else { throw HostError(.unusable, "\(path) is damaged") }
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

  /// Where a cluster is whose server may not enter its folder.
  static func outside(_ id: String) -> String { "\(outsideDirectory)/\(id)" }

  static func newID() -> String {
    let digits = String(UInt64.random(in: 0...UInt64.max), radix: 16)
    return String(repeating: "0", count: 16 - digits.count) + digits
  }
}
