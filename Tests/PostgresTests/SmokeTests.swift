import Postgres
import Testing

@Suite(.needsServer) struct SmokeTests {
  @Test("a query answers, an error names its statement, and a COPY goes both ways")
  func smoke() throws {
    try TestServer.withConnection { connection in
      let add = Statement("SELECT $1::bigint + $2::bigint, $3::text, $4::uuid, now()")
      let rows = try connection.query(
        add,
        .with {
          $0.int8(40)
          $0.int8(2)
          $0.text(nil)
          $0.uuid(1, 2)
        })
      #expect(try rows.int8(0, 0) == 42)
      #expect(try rows.textIfPresent(0, 1) == nil)
      #expect(try rows.uuid(0, 2) == (1, 2))
      try connection.execute("CREATE TABLE t (a int, b text)")
      let writer = try connection.copyIn("COPY t FROM STDIN (FORMAT binary)")
      for index in 0..<10_000 {
        try writer.row(2)
        writer.int4(Int32(index))
        writer.text(index % 3 == 0 ? nil : "row \(index)")
      }
      #expect(try writer.finish() == 10_000)
      var sum = 0
      let count = try connection.copyOut("COPY t TO STDOUT (FORMAT binary)") { row in
        sum += Int(try row[0].int4())
      }
      #expect(count == 10_000)
      #expect(sum == 49_995_000)
      let bad = Statement("SELECT 1/$1::int")
      let error = #expect(throws: PostgresError.self) {
        try connection.pipeline([
          (bad, .with { $0.int4(1) }), (bad, .with { $0.int4(0) }), (bad, .with { $0.int4(1) }),
        ])
      }
      #expect(error?.statementIndex == 1)
      #expect(error?.sqlstate == "22012")
      #expect(try connection.query(bad, .with { $0.int4(1) }).int4(0, 0) == 1)
    }
  }
}
