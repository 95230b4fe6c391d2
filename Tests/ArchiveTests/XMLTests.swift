import Testing
import XML

@Suite("XML that a server answers with")
struct XMLTests {
  private func read(_ text: String) throws -> XMLElement { try XMLElement(Array(text.utf8)) }

  @Test("elements, their text, and what is escaped in it")
  func reading() throws {
    let list = try read(
      """
      <?xml version="1.0" encoding="UTF-8"?>
      <!-- a list --><a:List xmlns:a="urn:x" b="1"><Key>x&amp;y&#228;</Key><Key><![CDATA[<&>]]></Key><Empty/>
      <Owner><Name>n</Name></Owner></a:List>
      """)
    #expect(list.name == "List")
    #expect(list.children.map(\.name) == ["Key", "Key", "Empty", "Owner"])
    #expect(list.children.map(\.text) == ["x&yä", "<&>", "", ""])
    #expect(list["Owner"]?["Name"]?.text == "n")
    #expect(list["None"] == nil)
  }

  @Test(
    "what is no document, or wants to bring entities of its own, is refused",
    arguments: [
      "", "text", "<a>", "<a></b>", "<a/><b/>", "<a>&unknown;</a>", "<a>\u{0}</a>",
      "<!DOCTYPE a [<!ENTITY b \"c\">]><a>&b;</a>",
      "<!DOCTYPE a [<!ENTITY b SYSTEM \"file:///etc/passwd\">]><a>&b;</a>",
      "<!DOCTYPE a SYSTEM \"http://127.0.0.1:1/x\"><a/>",
    ])
  func refusing(text: String) {
    #expect(throws: XMLElement.Problem.self) { try read(text) }
  }
}
