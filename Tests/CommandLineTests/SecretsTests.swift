import Ledger
import Postgres
import TestSupport
import Testing

@testable import opsledger

@Suite("secrets")
struct SecretsTests {
  @Test(
    "a URL is shown without its passwords",
    arguments: [
      ("postgresql://u:p%40@h/d", "postgresql://u:****@h/d"),
      ("postgresql://u:a@b@h/d", "postgresql://u:****@h/d"),
      ("postgresql://pw:SEK?QQQ@h:1/base", "postgresql://pw:****@h:1/base"),
      ("postgresql://u:a/b#c@h/d", "postgresql://u:****@h/d"),
      ("postgresql://tok@en@h/d", "postgresql://****@h/d"),
      ("postgresql://u@h/d", "postgresql://u@h/d"),
      ("postgresql://h:5432/d", "postgresql://h:5432/d"),
      ("postgresql://a:1,[::1]:2/d?x=y", "postgresql://a:1,[::1]:2/d?x=y"),
      ("postgresql://u:password", "postgresql://****"),
      ("postgresql://u:password/d", "postgresql://****"),
      ("postgres://h/d?password=x&y&port=1", "postgres://h/d?password=****"),
      ("postgres://h/d?sslpassword=x", "postgres://h/d?sslpassword=****"),
      ("postgres://h/d?PassWord=x", "postgres://h/d?PassWord=****"),
      ("postgres://h/d?password=a@b", "postgres://****"),
      ("postgres://u:a?password=b@h/d", "postgres://****"),
      (
        "postgres://u:a@h/d?oauth_client_secret=b", "postgres://u:****@h/d?oauth_client_secret=****"
      ),
      ("host=h password=x y dbname=d", "host=h password=****"),
      ("host=h password = 'x y' dbname=d", "host=h password =****"),
      ("host=h passfile=/home/me/.pgpass", "host=h passfile=/home/me/.pgpass"),
      ("u:p@h/d", "u:****@h/d"), ("hunter2", "****"), ("https://x.example", "https://x.example"),
    ])
  func masked(url: String, shown: String) {
    #expect(Secrets.masked(url) == shown)
  }

  /// Marks that end one part of a URL or another, escaped or not.
  private static let marks =
    Array("@?#/&%'\" :=\\,[]\n;+$é").map(String.init) + ["%40", "%2F", "password="]

  private static func secret(_ generator: inout Generator) -> String {
    var secret = "SEK"
    for _ in 0...generator.below(4) { secret += generator.pick(marks) + "QQQ" }
    return secret
  }

  private static func places(_ secret: String) -> [String] {
    let quoted = secret.replacing("\\", with: "\\\\").replacing("'", with: "\\'")
    return [
      "postgresql://ann:\(secret)@host:1/base", "postgres://:\(secret)@/base?host=/tmp",
      "postgresql://host:1/base?password=\(secret)",
      "postgresql://ann@host/base?sslpassword=\(secret)&port=1",
      "postgresql://ann:\(secret)@host/base?password=\(secret)", "host=h password=\(secret) port=1",
      "host=h password='\(quoted)' port=1", "password = \(secret)",
      "mysql://ann:\(secret)@host/base",
    ]
  }

  @Test("whatever a password holds, nothing of it is shown", arguments: 0..<200)
  func anyPassword(seed: Int) {
    var generator = Generator(seed: UInt64(seed))
    for url in Self.places(Self.secret(&generator)) {
      let shown = Secrets.masked(url)
      #expect(!shown.contains("SEK") && !shown.contains("QQQ"), "\(url) is shown as \(shown)")
    }
  }

  @Test(
    "what another program gets as its argument has no secret, and libpq reads it",
    arguments: 0..<200)
  func withoutSecrets(seed: Int) {
    var generator = Generator(seed: UInt64(seed))
    for url in Self.places(Self.secret(&generator))
    where DatabaseChoice.isConnectionString(url) {
      do {
        let (rest, secrets) = try Connection.withoutSecrets(url)
        #expect(!rest.contains("SEK") && !rest.contains("QQQ"), "\(url) becomes \(rest)")
        #expect(!secrets.isEmpty)
        let again = try Connection.withoutSecrets(rest)
        #expect(again.rest == rest && again.secrets.isEmpty)
      } catch {
        #expect(!"\(error)".contains("SEK") && !"\(error)".contains("QQQ"), "\(url): \(error)")
      }
    }
  }

  @Test("psql gets a password where other users cannot read it")
  func rest() throws {
    let split = try Connection.withoutSecrets("postgresql://u:a%40%25b@h:1/d x?sslmode=require")
    #expect(split.secrets == ["password": "a@%b"])
    #expect(
      split.rest.hasPrefix("postgresql:///?") && split.rest.contains("dbname=d%20x")
        && split.rest.contains("host=h") && split.rest.contains("sslmode=require"))
    let plain = "postgresql:///d?user=a:b@c"
    #expect(try Connection.withoutSecrets(plain) == (plain, [:]))
  }

  @Test("no message repeats a secret, wherever it was typed or set")
  func messages() throws {
    let url = "postgresql://ann:SEK?QQQ@127.0.0.1:1/base"
    let program = LedgerProgram(url: url)
    for line in [
      ["mission", "show", url], ["status", url], [url], ["--store", url, "archive", "list"],
      ["--limit=\(url)", "log", "tail"],
      ["log", "tail", "--limit", url], ["--database=my\(url)", "status"], ["status"],
      ["db", "url"], ["config", "list"],
      ["--json", "config", "list"], ["--json", "db", "url"],
      ["--database", "x password=SEKQQQ", "status"],
    ] {
      let answer = try program.run(
        line,
        variables: [
          "AWS_ACCESS_KEY_ID": "SEKQQQ1", "AWS_SECRET_ACCESS_KEY": "SEKQQQ2",
          "OPS_API_KEY": "SEKQQQ3",
          "AWS_ENDPOINT_URL": "https://me:SEKQQQ@host", "OPS_STORE": "https://me:SEKQQQ@host/x",
        ])
      let said = answer.output + answer.errors
      #expect(!said.isEmpty)
      #expect(!said.contains("SEK") && !said.contains("QQQ"), "\(line): \(said)")
    }
  }
}
