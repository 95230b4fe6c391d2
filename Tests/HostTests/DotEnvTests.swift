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
