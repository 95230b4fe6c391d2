import Testing

@testable import Postgres

@Suite("messages in other languages")
struct LanguageTests {
  @Test(
    "what the server refuses at the door has its code, in whatever language it says so",
    arguments: [
      (
        "FATAL:  28P01: password authentication failed", "28P01",
        "FATAL:  password authentication failed"
      ),
      (
        "ВАЖНО:  28P01: пользователь не прошёл проверку", "28P01",
        "ВАЖНО:  пользователь не прошёл проверку"
      ),
      (
        "connection to server at \"h\", port 5432 failed: 致命的エラー:  3D000: データベースがありません\nLOCATION:  f, p.c:1\n",
        "3D000", "connection to server at \"h\", port 5432 failed: 致命的エラー:  データベースがありません"
      ),
      ("could not translate host name \"h\"", "08001", "could not translate host name \"h\""),
      ("a sentence:  of words", "08001", "a sentence:  of words"), ("", "08001", ""),
    ])
  func door(text: String, sqlstate: String, message: String) {
    let read = ConnectFailure.read(text)
    #expect(read.sqlstate == sqlstate)
    #expect(read.message == message)
  }
}
