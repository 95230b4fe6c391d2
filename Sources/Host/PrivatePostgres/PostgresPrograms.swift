import Glibc

/// The programs of one PostgreSQL installation.
struct PostgresPrograms: Equatable, Sendable {
  static let majorMin = 15

  let directory: String
  let major: Int

  /// - Parameter major: The version to find; nil for the newest one from 15 on.
  static func find(major: Int? = nil) throws(HostError) -> PostgresPrograms {
    var all = FileSystem.names(in: "/usr/lib/postgresql").compactMap { name in
      Int(name).map {
        PostgresPrograms(directory: "/usr/lib/postgresql/\(name)/bin", major: $0)
      }
    }
    if let initdb = Subprocess.find("initdb").flatMap(FileSystem.realPath) {
      let directory = FileSystem.parent(of: initdb)
      if let found = try version(of: directory + "/postgres") {
        all.append(PostgresPrograms(directory: directory, major: found))
      }
    }
    let usable = all.filter { programs in
      ["initdb", "postgres"].allSatisfy { access(programs.path($0), X_OK) == 0 }
        && (major.map { $0 == programs.major } ?? (programs.major >= majorMin))
    }
    if let newest = usable.max(by: { $0.major < $1.major }) { return newest }
    if let major {
      throw HostError(
        .unusable, "PostgreSQL \(major), which made this database, is not installed",
        hint: "apt-get install postgresql-\(major)")
    }
    throw HostError(
      .unusable, "PostgreSQL \(majorMin) or newer is not installed",
      hint: "apt-get install postgresql")
  }

  func path(_ program: String) -> String { "\(directory)/\(program)" }

  /// The path of psql; `psql` if this installation has none.
  var psql: String { access(path("psql"), X_OK) == 0 ? path("psql") : "psql" }

  private static func version(of postgres: String) throws(HostError) -> Int? {
    guard access(postgres, X_OK) == 0 else { return nil }
    let answer = try Subprocess(postgres, ["--version"], timeoutMillis: 10_000).run().outputText
    // `postgres (PostgreSQL) 15.3`, and perhaps the name of a distribution.
    guard let mark = answer.firstIndex(of: ")") else { return nil }
    return Int(answer[mark...].dropFirst(2).prefix { $0.isNumber })
  }
}
