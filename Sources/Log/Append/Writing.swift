import Crypto
package import Ledger
package import Postgres

extension Draft {
  /// The statements that write an entry: its events, and the rows that these change.
  package func writes(entry: Int64, _ key: CommandKey, session: Session) -> [(
    Statement, Parameters
  )] {
    var batch = [(Self.insertEvents, eventParameters(entry: entry, key))]
    // Parents before children. All new rows before changed ones: a foreign key check of a parent that this transaction
    // has changed would lock the parent once more.
    let written = RowType.allCases.map { rows(of: $0, session) }
    batch += written.compactMap(\.inserted) + written.compactMap(\.updated)
    // Children are removed before parents, so that no foreign key removes a child.
    batch += written.reversed().compactMap(\.removed)
    return batch
  }

  static let insertEvents = insertEvents(index: "v.at - 1")

  /// - Parameter index: The SQL of an event's index in its entry. `v.at` is its position in the statement, from 1.
  package static func insertEvents(index: String) -> Statement {
    Statement(
      """
      INSERT INTO ledger.events (entry, index, stream, version, type, recorded_at, actor, cause,
        command, data, content, salt)
      SELECT $1::bigint, \(index), v.stream, v.version, v.type, $2::timestamptz, $3::text,
        v.cause, $4::uuid, v.data, v.content, v.salt
      FROM (SELECT generate_subscripts($5::uuid[], 1), unnest($5::uuid[]), unnest($6::integer[]), unnest($7::text[]),
          unnest($8::bigint[]), unnest($9::json[]), unnest($10::json[]), unnest($11::bytea[]))
        AS v(at, stream, version, type, cause, data, content, salt)
      """)
  }

  private func eventParameters(entry: Int64, _ key: CommandKey) -> Parameters {
    var parameters = Parameters(reserving: 11, bytes: 256 * events.count)
    parameters.int8(entry)
    parameters.time(at)
    parameters.text(key.actor)
    parameters.uuid(key.id)
    parameters.events(events)
    return parameters
  }
}

extension Parameters {
  mutating func event(_ event: DraftedEvent) {
    uuid(event.stream)
    int4(event.version)
    text(event.type)
    int8(event.cause)
    json(event.data)
    json(event.content)
    bytes(event.content == nil ? nil : randomBytes(count: 16))
  }

  /// Appends seven arrays, with one element for each event.
  package mutating func events(_ events: [DraftedEvent]) {
    var streams = ArrayBuilder(.uuid)
    var versions = ArrayBuilder(.int4)
    var types = ArrayBuilder(.text)
    var causes = ArrayBuilder(.int8)
    var datas = ArrayBuilder(.json, reservingBytes: 160 * events.count)
    var contents = ArrayBuilder(.json, reservingBytes: 160 * events.count)
    var salts = ArrayBuilder(.bytea)
    let salted = events.count { $0.content != nil }
    let salt = randomBytes(count: 16 * salted)
    salt.withUnsafeBytes { bytes in
      var used = 0
      for event in events {
        streams.uuid(event.stream.high, event.stream.low)
        versions.int4(event.version)
        types.text(event.type)
        causes.int8(event.cause)
        datas.json(event.data)
        contents.json(event.content)
        if event.content == nil {
          salts.null()
        } else {
          salts.raw(UnsafeRawBufferPointer(rebasing: bytes[used..<(used + 16)]))
          used += 16
        }
      }
    }
    array(streams)
    array(versions)
    array(types)
    array(causes)
    array(datas)
    array(contents)
    array(salts)
  }
}

extension Draft {
  private typealias Written = (
    inserted: (Statement, Parameters)?, updated: (Statement, Parameters)?,
    removed: (Statement, Parameters)?
  )

  // A switch instead of ``RowType/rowType``: code that is specialized for a row type appends a sixth faster.
  private func rows(of rowType: RowType, _ session: Session) -> Written {
    switch rowType {
    case .ledger: rows(ledger, session)
    case .policy: rows(policies, session)
    case .radar: rows(radar, session)
    case .proposal: rows(proposals, session)
    case .mission: rows(missions, session)
    case .agentEvent: rows(agentEvents, session)
    case .reaction: rows(reactions, session)
    case .step: rows(steps, session)
    case .run: rows(runs, session)
    case .hold: rows(holds, session)
    }
  }

  /// The statements that write the rows of one table; nil for those without rows.
  private func rows<R: Row>(_ table: DraftTable<R>, _ session: Session) -> Written {
    if table.isEmpty { return (nil, nil, nil) }
    var (inserted, removed): ([R], [R]) = ([], [])
    var (originals, updated): ([R], [R]) = ([], [])
    for slot in table.slots {
      switch (slot.original, slot.current) {
      case (nil, let current?): inserted.append(current)
      case (let original?, let current?):
        guard original.version != current.version else { continue }
        originals.append(original)
        updated.append(current)
      case (let original?, nil): removed.append(original)
      case (nil, nil): continue
      }
    }
    return (
      inserted.isEmpty
        ? nil : (R.text.insert, Self.columnArrays(inserted, Array(R.columns.indices))),
      updated.isEmpty ? nil : Self.update(originals, to: updated, session),
      removed.isEmpty ? nil : Self.remove(removed)
    )
  }

  /// Removes rows that have the expected versions.
  private static func remove<R: Row>(_ gone: [R]) -> (Statement, Parameters) {
    var parameters = keysAndVersions(gone, reserving: 3)
    parameters.int4(Int32(gone.count))
    return (R.text.remove, parameters)
  }

  private static func keysAndVersions<R: Row>(_ rows: [R], reserving count: Int) -> Parameters {
    var parameters = Parameters(reserving: count)
    append(rows, [0], to: &parameters)
    var versions = ArrayBuilder(.int4)
    for row in rows { versions.int4(row.version) }
    parameters.array(versions)
    return parameters
  }

  package static func columnArrays<R: Row>(_ rows: [R], _ columns: [Int]) -> Parameters {
    var parameters = Parameters(reserving: columns.count, bytes: 128 * rows.count)
    append(rows, columns, to: &parameters)
    return parameters
  }

  static func append<R: Row>(_ rows: [R], _ columns: [Int], to parameters: inout Parameters) {
    // Rows are read in place: to copy one copies some hundred bytes, and counts references to a dozen texts.
    rows.withUnsafeBufferPointer { rows in
      guard let first = rows.baseAddress else { return }
      for index in columns {
        let column = R.columns[index]
        var array = ArrayBuilder(for: column.type, count: rows.count)
        for row in rows.indices { array.append(column.get(at: first + row)) }
        parameters.array(array)
      }
    }
  }

  private static func changes<R: Row>(_ originals: [R], to rows: [R]) -> [Int] {
    originals.withUnsafeBufferPointer { originals in
      rows.withUnsafeBufferPointer { rows in
        guard let before = originals.baseAddress, let after = rows.baseAddress else { return [] }
        return R.columns.indices.filter { index in
          let column = R.columns[index]
          return rows.indices.contains { row in
            !column.get(at: before + row).same(as: column.get(at: after + row))
          }
        }
      }
    }
  }

  /// One UPDATE of every column in which any row has changed.
  private static func update<R: Row>(
    _ originals: [R], to rows: [R], _ session: Session
  ) -> (Statement, Parameters) {
    let changed = changes(originals, to: rows)
    let shape = UpdateShape(rowType: R.name, columns: changed)
    let statement: Statement
    if let known = session.updates[shape] {
      statement = known
    } else {
      statement = R.text.update(changed)
      session.updates[shape] = statement
    }
    var parameters = keysAndVersions(originals, reserving: changed.count + 3)
    append(rows, changed, to: &parameters)
    parameters.int4(Int32(rows.count))
    return (statement, parameters)
  }
}
