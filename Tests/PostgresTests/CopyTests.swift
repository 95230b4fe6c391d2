import Postgres
import Testing

@Suite(.needsServer) struct CopyTests {
  struct Stopped: Error {}

  private func expectUsable(_ connection: Connection) throws {
    #expect(try connection.query(Statement("SELECT 1")).int4(0, 0) == 1)
  }

  private func readRows(
    _ sql: String, on connection: Connection, _ body: (borrowing CopyRow) throws -> Void
  ) throws {
    let reader = try connection.copyReader(sql)
    while let row = try reader.next() { try body(row) }
  }

  @Test("every type goes in by COPY and comes out by COPY")
  func everyType() throws {
    try TestServer.withConnection { (connection) throws in
      try connection.execute(
        """
        CREATE TYPE mood AS ENUM ('low', 'high');
        CREATE TABLE t (n int, c int4, d int8, f text, h uuid, i timestamptz, j json, k jsonb,
          l mood, m int[], o int[])
        """)
      let writer = try connection.copyIn("COPY t FROM STDIN (FORMAT binary)")
      for number in 0..<5000 as Range<Int32> {
        try writer.row(11)
        writer.int4(number)
        if number % 2 == 1 {
          for _ in 1..<11 { writer.null() }
          continue
        }
        writer.int4(-number)
        writer.int8(Int64(number) << 32)
        writer.text("text \(number)")
        writer.uuid(UInt64(number), .max)
        writer.timestamptz(microsSince1970: Int64(number))
        writer.json(#"{"n":  1}"#)
        writer.jsonb(#"{"n": 1}"#)
        writer.text("high")
        var numbers = ArrayBuilder(.int4)
        numbers.int4(number)
        writer.array(numbers)
        writer.array(ArrayBuilder(.int4))
      }
      #expect(try writer.finish() == 5000)
      var seen: Int32 = 0
      var right = 0
      try readRows("COPY (SELECT * FROM t ORDER BY n) TO STDOUT (FORMAT binary)", on: connection) {
        row in
        let number = try row[0].int4()
        if number == seen { seen += 1 }
        if number % 2 == 1 {
          if (1..<11).allSatisfy({ row[$0].isNull }) { right += 1 }
          return
        }
        let scalars =
          try row[1].int4() == -number && row[2].int8() == Int64(number) << 32
          && row[3].text() == "text \(number)" && row[4].uuid() == (UInt64(number), .max)
          && row[5].timestamptz() == Int64(number) && row[6].json() == #"{"n":  1}"#
          && row[7].jsonb() == #"{"n": 1}"# && row[8].text() == "high"
        let arrays = try row[9].int4Array() == [number] && row[10].int4Array() == []
        if scalars && arrays { right += 1 }
      }
      #expect(seen == 5000 && right == 5000)
    }
  }

  @Test("an empty COPY has no rows in either direction")
  func empty() throws {
    try TestServer.withConnection { (connection) throws in
      try connection.execute("CREATE TABLE t (a int)")
      #expect(try connection.copyIn("COPY t FROM STDIN (FORMAT binary)").finish() == 0)
      var rows = 0
      try readRows("COPY t TO STDOUT (FORMAT binary)", on: connection) { _ in rows += 1 }
      #expect(rows == 0)
    }
  }

  @Test("a reader that throws half-way ends the COPY, and the connection stays usable")
  func readerThrows() throws {
    try TestServer.withConnection { (connection) throws in
      for _ in 0..<3 {
        var rows = 0
        #expect(throws: Stopped.self) {
          try readRows(
            "COPY (SELECT generate_series(1, 10000000)) TO STDOUT (FORMAT binary)", on: connection
          ) { _ in
            rows += 1
            if rows == 100 { throw Stopped() }
          }
        }
        #expect(rows == 100)
        #expect(connection.transactionStatus == .idle)
        try expectUsable(connection)
      }
    }
  }

  @Test("a reader dropped half-way gives the connection back")
  func readerDropped() throws {
    try TestServer.withConnection { (connection) throws in
      do {
        let reader = try connection.copyReader(
          "COPY (SELECT generate_series(1, 10000000)) TO STDOUT (FORMAT binary)")
        #expect(try reader.next()?.count == 1)
        let busy = #expect(throws: PostgresError.self) {
          try connection.query(Statement("SELECT 1"))
        }
        #expect(busy?.kind == .usage)
        #expect(connection.transactionStatus == .active)
      }
      try expectUsable(connection)
    }
  }

  @Test("an error after many rows surfaces, and the connection goes on")
  func lateError() throws {
    try TestServer.withConnection { (connection) throws in
      var rows = 0
      let error = #expect(throws: PostgresError.self) {
        try readRows(
          "COPY (SELECT 1 / (50001 - g) FROM generate_series(1, 60000) g) TO STDOUT (FORMAT binary)",
          on: connection
        ) { _ in rows += 1 }
      }
      #expect(error?.sqlstate == "22012")
      #expect(rows == 50_000)
      try expectUsable(connection)
    }
  }

  @Test("an error at the very start, and SQL that is no such COPY, are errors")
  func noCopy() throws {
    try TestServer.withConnection { (connection) throws in
      let missing = #expect(throws: PostgresError.self) {
        try connection.copyReader("COPY no_such TO STDOUT")
      }
      #expect(missing?.sqlstate == "42P01")
      let other = #expect(throws: PostgresError.self) { try connection.copyReader("SELECT 1") }
      #expect(other?.kind == .usage)
      try expectUsable(connection)
      let wrongWay = #expect(throws: PostgresError.self) {
        try connection.copyIn("COPY (SELECT 1) TO STDOUT")
      }
      #expect(wrongWay?.kind == .usage)
      #expect(connection.isBroken)
    }
  }

  @Test("text COPY goes through as bytes, a line each")
  func text() throws {
    try TestServer.withConnection { (connection) throws in
      try connection.execute("CREATE TABLE t (a int, b text)")
      let writer = try connection.copyIn("COPY t FROM STDIN")
      try #require(writer.rowsWritten == 0)
      try Array("1\tone\n2\t\\N\n".utf8).withUnsafeBytes { try writer.raw($0) }
      #expect(throws: PostgresError.self) { try writer.row(2) }
      #expect(try writer.finish() == 2)
      let lines = try TestServer.lines(of: "COPY t TO STDOUT", on: connection)
      #expect(lines == ["1\tone\n", "2\t\\N\n"])
      let reader = try connection.copyReader("COPY t TO STDOUT")
      #expect(throws: PostgresError.self) { _ = try reader.next() }
    }
  }

  @Test("rows made ahead are sent whole, between others, and more than once")
  func madeAhead() throws {
    try TestServer.withConnection { (connection) throws in
      try connection.execute("CREATE TABLE t (a int, b text)")
      let made = CopyRows()
      for row in 0..<20_000 as Range<Int32> {
        try made.row(2)
        made.int4(row)
        made.text("row \(row)")
      }
      let writer = try connection.copyIn("COPY t FROM STDIN (FORMAT binary)")
      try writer.row(2)
      writer.int4(-1)
      writer.null()
      for _ in 0..<2 { try writer.rows(made) }
      #expect(try writer.finish() == 40_001)
      let right = Statement(
        "SELECT count(*) FROM t WHERE a = -1 AND b IS NULL OR b = 'row ' || a")
      #expect(try connection.query(right).int8(0, 0) == 40_001)

      try made.row(2)
      let second = try connection.copyIn("COPY t FROM STDIN (FORMAT binary)")
      let cutShort = #expect(throws: PostgresError.self) { try second.rows(made) }
      #expect(cutShort?.kind == .usage)
      second.abort("given up")
      try expectUsable(connection)
    }
  }

  @Test("a violated constraint fails the COPY as a whole, early or at its end")
  func violation() throws {
    try TestServer.withConnection { (connection) throws in
      try connection.execute("CREATE TABLE t (a int PRIMARY KEY)")
      for rows in [10, 300_000] {
        let error = #expect(throws: PostgresError.self) {
          let writer = try connection.copyIn("COPY t FROM STDIN (FORMAT binary)")
          for row in 0..<rows {
            try writer.row(1)
            writer.int4(Int32(row % 7))
          }
          try writer.finish()
        }
        #expect(error?.isUniqueViolation == true)
        #expect(connection.transactionStatus == .idle)
      }
      #expect(try connection.query(Statement("SELECT count(*) FROM t")).int8(0, 0) == 0)
    }
  }

  @Test("a COPY aborted, forgotten, or with values missing stores nothing")
  func unfinished() throws {
    try TestServer.withConnection { (connection) throws in
      try connection.execute("CREATE TABLE t (a int, b int)")
      func begin() throws -> CopyWriter {
        let writer = try connection.copyIn("COPY t FROM STDIN (FORMAT binary)")
        try writer.row(2)
        writer.int4(1)
        return writer
      }
      try begin().abort("changed my mind")
      _ = try begin()
      let cut = try begin()
      let nextRow = #expect(throws: PostgresError.self) { try cut.row(2) }
      #expect(nextRow?.kind == .usage)
      let finish = #expect(throws: PostgresError.self) { try cut.finish() }
      #expect(finish?.kind == .usage)
      #expect(throws: PostgresError.self) { try cut.finish() }
      let excess = try begin()
      excess.int4(1)
      excess.int4(1)
      #expect(throws: PostgresError.self) { try excess.row(2) }
      excess.abort("")
      #expect(try connection.query(Statement("SELECT count(*) FROM t")).int8(0, 0) == 0)
    }
  }

  @Test("a COPY whose connection was closed beneath it is an error, in either direction")
  func closedBeneath() throws {
    try TestServer.withDatabase { (url) throws in
      let first = try Connection(url: url)
      try first.execute("CREATE TABLE t (a int)")
      let reader = try first.copyReader("COPY t TO STDOUT (FORMAT binary)")
      first.close()
      let read = #expect(throws: PostgresError.self) { _ = try reader.next() }
      #expect(read?.kind == .connectionLost)
      let second = try Connection(url: url)
      let writer = try second.copyIn("COPY t FROM STDIN (FORMAT binary)")
      second.close()
      let written = #expect(throws: PostgresError.self) { try writer.finish() }
      #expect(written?.kind == .connectionLost)
    }
  }
}
