internal import CXML

/// An element of a document, with its name without prefix.
public struct XMLElement: Equatable, Sendable {
  public let name: String
  /// The text of this element, without that of its children.
  public fileprivate(set) var text = ""
  public fileprivate(set) var children: [XMLElement] = []

  public struct Problem: Error, Equatable, Sendable {
    public let what: String
  }

  /// The root element of a document. The parser loads no other file, and refuses a document with a document type.
  public init(_ document: [UInt8]) throws(Problem) {
    let tree = Tree()
    let problem = document.withUnsafeBytes { bytes in
      xml_read(
        bytes.bindMemory(to: CChar.self).baseAddress, bytes.count,
        { context, kind, text in
          guard let context, let text else { return }
          let tree = Unmanaged<Tree>.fromOpaque(context).takeUnretainedValue()
          tree.take(kind, String(cString: text))
        }, Unmanaged.passUnretained(tree).toOpaque())
    }
    if let problem { throw Problem(what: String(cString: problem)) }
    guard let root = tree.root else { throw Problem(what: "the document has no element") }
    self = root
  }

  private init(name: String) { self.name = name }

  /// The first child with a name.
  public subscript(_ name: String) -> XMLElement? { children.first { $0.name == name } }

  /// Builds the elements.
  private final class Tree {
    var root: XMLElement?
    /// From the root down to the current one.
    private var open: [XMLElement] = []

    func take(_ kind: xml_kind, _ text: String) {
      switch kind {
      case XML_BEGIN: open.append(XMLElement(name: text))
      case XML_TEXT: open.indices.last.map { open[$0].text += text }
      default:
        guard let done = open.popLast() else { return }
        if let parent = open.indices.last {
          open[parent].children.append(done)
        } else {
          root = done
        }
      }
    }
  }
}
