public import Crypto
import JSON
public import Ledger

/// `ledger.json` of a store: the ledger whose history it holds.
public struct StoreRecord: Equatable, Sendable {
  /// The format of the store. A change that this release could not read raises it.
  public static let format = 1
  static let name = "ledger.json"
  static let bytesMax = 1 << 16

  /// The identity of the history; a fork has its own.
  public var identity: StreamID
  public var title: String
  /// The history that a fork continues.
  public var parent: Parent?

  public struct Parent: Equatable, Sendable {
    public var identity: StreamID
    /// The last common entry, and the root there.
    public var entry: Int64
    public var root: Digest
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
}

extension StoreRecord {

  /// - Throws: `OPS_015` if the file is damaged, or has an unknown format.
  init(_ bytes: [UInt8], place: String) throws(OpsError) {
    func damaged(_ what: String) -> OpsError {
      OpsError(
        store: .damaged, "\(Self.name) of \(place) is damaged: \(what)",
        hint: "put the file back from another copy of the store")
    }
    guard bytes.count <= Self.bytesMax else {
      throw damaged("it has more than \(Self.bytesMax) bytes")
    }
    guard let text = String(validating: bytes, as: UTF8.self), text.hasSuffix("\"}\n"),
      let json = try? JSON(parsing: text)
    else { throw damaged("it is not a JSON object on one line") }
    if let format = json["format"]?.intValue, format != Self.format {
      throw OpsError(
        store: .newerFormat,
        "\(Self.name) of \(place) has format \(format), and this release reads format \(Self.format)",
        hint: "use a newer release")
    }
    let digest = text.dropLast(3).suffix(64)
    let open = text.dropLast(3 + 64 + Self.mark.count)
    guard text.dropLast(3 + 64).hasSuffix(Self.mark), SHA256.hash(String(open)).hex == digest else {
      throw damaged("its bytes do not match the SHA-256 at its end")
    }
    guard let identity = json["identity"]?.idValue,
      let title = json["name"]?.stringValue
    else { throw damaged("the identity or the name of the ledger is missing") }
    self.init(identity: identity, title: title)
    guard let parent = json["parent"] else { return }
    guard let of = parent["identity"]?.idValue,
      let entry = parent["entry"]?.intValue, (0...EntryNumber.last).contains(Int64(entry)),
      let root = parent["root"]?.stringValue.flatMap({ hexDecoded($0).flatMap { Digest($0) } })
    else {
      throw damaged("the identity, entry or root of the store that it was forked from is missing")
    }
    self.parent = Parent(identity: of, entry: Int64(entry), root: root)
  }
}
