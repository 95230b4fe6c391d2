internal import CXML

/// An element of a document: its name without prefix, its text, and the elements in it.
public struct XMLElement: Equatable, Sendable {
  public let name: String
  /// Of this element alone, without its children's.
  public fileprivate(set) var text = ""
  public fileprivate(set) var children: [XMLElement] = []

  /// Why a document cannot be read.
  public struct Problem: Error, Equatable, Sendable {
    public let what: String
  }

  /// The outermost element of a document. Nothing outside of it is loaded, and one that has a document
  /// type of its own is refused.
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
    guard let root = tree.root else { throw Problem(what: "it has no element") }
    self = root
  }

  private init(name: String) { self.name = name }

  /// The first child of that name.
  public subscript(_ name: String) -> XMLElement? { children.first { $0.name == name } }

  /// Builds elements as they come.
  private final class Tree {
    var root: XMLElement?
    /// From the root down to the one that is being read.
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
