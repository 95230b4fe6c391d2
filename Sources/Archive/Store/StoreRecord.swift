public import Crypto
import JSON
public import Ledger

/// `ledger.json` of a store: whose history it holds.
public struct StoreRecord: Equatable, Sendable {
  /// Of the store, raised when files that are read here today could not be.
  public static let format = 1
  static let name = "ledger.json"
  static let bytesMax = 1 << 16

  /// The line of history; a fork has one of its own.
  public var identity: StreamID
  /// The ledger's.
  public var title: String
  /// Of a fork: what it goes on from.
  public var parent: Parent?

  public struct Parent: Equatable, Sendable {
    public var identity: StreamID
    /// The last entry that both have.
    public var entry: Int64
    public var root: Digest

    public init(identity: StreamID, entry: Int64, root: Digest) {
      self.identity = identity
      self.entry = entry
      self.root = root
    }
  }

  public init(identity: StreamID, title: String, parent: Parent? = nil) {
    self.identity = identity
    self.title = title
    self.parent = parent
  }

  private static let mark = ",\"sha256\":\""

  /// One object, whose last member is the SHA-256 of all bytes before its comma.
  var bytes: [UInt8] {
    var writer = JSONObjectWriter()
    writer.int("format", Int64(Self.format))
    writer.string("identity", identity.description)
    writer.string("name", title)
    if let parent {
      var inner = JSONObjectWriter()
      inner.string("identity", parent.identity.description)
      inner.int("entry", parent.entry)
      inner.string("root", parent.root.hex)
      writer.raw("parent", inner.finish())
    }
    let open = String(writer.finish().dropLast())
    return Array("\(open)\(Self.mark)\(SHA256.hash(open).hex)\"}\n".utf8)
  }

  /// - Throws: `OPS_015` where they are not those of such a file, or of a format that is not known here.
  init(_ bytes: [UInt8], place: String) throws(OpsError) {
    func damaged(_ what: String) -> OpsError {
      OpsError(
        store: .damaged, "\(Self.name) of \(place) is damaged: \(what)",
        hint: "put it back from another copy of the store")
    }
    guard bytes.count <= Self.bytesMax else { throw damaged("it is too long") }
    guard let text = String(validating: bytes, as: UTF8.self), text.hasSuffix("\"}\n"),
      let json = try? JSON(parsing: text)
    else { throw damaged("it is not a JSON object on one line") }
    if let format = json["format"]?.intValue, format != Self.format {
      throw OpsError(
        store: .newerFormat,
        "\(Self.name) of \(place) has format \(format), this release reads \(Self.format)",
        hint: "use a newer release")
    }
    let digest = text.dropLast(3).suffix(64)
    let open = text.dropLast(3 + 64 + Self.mark.count)
    guard text.dropLast(3 + 64).hasSuffix(Self.mark), SHA256.hash(String(open)).hex == digest else {
      throw damaged("it does not have the SHA-256 that it names")
    }
    guard let identity = json["identity"]?.idValue,
      let title = json["name"]?.stringValue
    else { throw damaged("identity or name is missing") }
    self.init(identity: identity, title: title)
    guard let parent = json["parent"] else { return }
    guard let of = parent["identity"]?.idValue,
      let entry = parent["entry"]?.intValue, (0...EntryNumber.last).contains(Int64(entry)),
      let root = parent["root"]?.stringValue.flatMap({ hexDecoded($0).flatMap { Digest($0) } })
    else { throw damaged("its parent is not whole") }
    self.parent = Parent(identity: of, entry: Int64(entry), root: root)
  }
}
