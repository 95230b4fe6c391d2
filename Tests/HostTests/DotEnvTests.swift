import Testing

@testable import Host

@Suite("a .env file")
struct DotEnvTests {
  @Test(
    "a line is read as people mean it",
    arguments: [
      ("A=1", "1"), ("A = 1 ", "1"), ("export A=1", "1"), ("\u{FEFF}A=1", "1"), ("A=1\r\n", "1"),
      ("A=a b # c", "a b"), ("A=a#b", "a#b"), ("A=#c", ""), ("A=", ""),
      ("A='x # $HOME \\n'", "x # $HOME \\n"), ("A=\"x\\n\\\"y\\\"\" # c", "x\n\"y\""),
      ("A=\"two\nlines\"", "two\nlines"), ("A=$(rm -rf /)", "$(rm -rf /)"),
      ("A=postgresql://u:p@h/d?x=y", "postgresql://u:p@h/d?x=y"), ("A=1\nA=2", "2"),
    ])
  func value(line: String, expected: String) {
    let file = DotEnv(line)
    #expect(file.values == ["A": expected])
    #expect(file.unreadableLines.isEmpty)
  }

  @Test("lines that are no assignment are named and skipped")
  func unreadable() {
    let file = DotEnv("# note\n\nA=1\nnot an assignment\n9X=1\nB=\"two\nlines\"\nC='open\nD=4")
    #expect(file.values == ["A": "1", "B": "two\nlines", "D": "4"])
    #expect(file.unreadableLines == [4, 5, 8])
  }
}

@Suite("a .env file that is not all text")
struct DotEnvBytesTests {
  @Test(
    "one odd byte, anywhere, costs its own line and no other",
    arguments: [
      "A=\u{1}1", "\u{1}=1", "A\u{1}=1", "A='x\u{1}'", "# \u{1}", "\u{1}", "A=\"x\ny\u{1}\"",
    ])
  func oddByte(line: String) {
    for odd: [UInt8] in [[0xE9], [0xFF], [0xC3], [0xED, 0xA0, 0x80], [0x00], [0xFF, 0xFE]] {
      let bytes = Array("X=1\n\(line)\nY=é\n".utf8).flatMap { $0 == 1 ? odd : [$0] }
      let file = DotEnv(bytes: bytes)
      #expect(file.values["X"] == "1", "\(line) \(odd)")
      #expect(file.values["Y"] == "é", "\(line) \(odd)")
      #expect(file.values["A"] == nil, "\(line) \(odd)")
      #expect(file.unreadableLines == (line.hasPrefix("#") ? [] : [2]), "\(line) \(odd)")
    }
  }

  @Test("a setting whose line cannot be read is asked for in vain, and others are not")
  func asked() throws {
    let file = DotEnv(bytes: Array("A=1\nB=".utf8) + [0xE9] + Array("\nC=2\nC='open\n".utf8))
    let environment = Environment(process: [:], dotEnv: file)
    #expect(try environment.secret("A")?.text == "1")
    #expect(throws: HostError.self) { try environment.secret("B") }
    // The last line that names it is the one that was meant.
    #expect(throws: HostError.self) { try environment.secret("C") }
    #expect(try environment.secret("D") == nil)
    let set = Environment(process: ["B": "here"], dotEnv: file)
    #expect(try set.secret("B")?.text == "here")
  }
}

@Suite("settings")
struct EnvironmentTests {
  @Test("the real environment wins over .env, also with nothing")
  func precedence() {
    let environment = Environment(
      process: ["A": "real", "B": ""], dotEnv: DotEnv("A=file\nB=file\nC=file\nD="))
    #expect(environment.value("A") == .init(text: "real", origin: .process))
    #expect(environment.value("B") == nil)
    #expect(environment.value("C") == .init(text: "file", origin: .dotEnv))
    #expect(environment.value("D") == nil)
  }

  @Test("a secret may be in a file, and a file that was meant is never none")
  func secretFile() throws {
    try withTemporaryDirectory { directory in
      let path = directory + "/key"
      try FileSystem.write("s3cret\n", to: path)
      let environment = Environment(process: ["KEY_FILE": path])
      #expect(try environment.secret("KEY") == .init(text: "s3cret", origin: .file(path)))
      let direct = Environment(process: ["KEY": "x", "KEY_FILE": path])
      #expect(try direct.secret("KEY")?.text == "x")
      try FileSystem.write("\n", to: path)
      #expect(throws: HostError.self) { try environment.secret("KEY") }
      let missing = Environment(process: ["KEY_FILE": directory + "/none"])
      #expect(throws: HostError.self) { try missing.secret("KEY") }
    }
  }

  @Test("a .env in the working directory is read")
  func load() throws {
    try withTemporaryDirectory { directory in
      #expect(try Environment.load(directory: directory).value("OPS_HOST_TEST") == nil)
      try FileSystem.write("OPS_HOST_TEST=1", to: directory + "/.env")
      #expect(try Environment.load(directory: directory).value("OPS_HOST_TEST")?.text == "1")
    }
  }
}
