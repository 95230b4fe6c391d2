import Host
import Ledger
import Testing

@testable import opsledger

@Suite("which database")
struct DatabaseChoiceTests {
  private func resolve(
    _ flag: String? = nil, _ variables: [String: String], ignoresAddress: Bool = false
  ) throws(OpsError) -> DatabaseChoice {
    try DatabaseChoice.resolve(
      flag: flag, environment: Environment(process: variables), ignoresAddress: ignoresAddress)
  }

  private let all = [
    "OPS_DATABASE_URL": "postgresql://ops", "DATABASE_URL": "postgres://plain",
    "SUPABASE_URL": "postgresql://supa",
  ]

  @Test("the order is the option, OPS_DATABASE_URL, DATABASE_URL, SUPABASE_URL, the private one")
  func order() throws {
    var variables = all
    #expect(
      try resolve("postgres://flag", variables) == .url("postgres://flag", from: "--database"))
    #expect(try resolve(nil, variables) == .url("postgresql://ops", from: "OPS_DATABASE_URL"))
    variables["OPS_DATABASE_URL"] = ""
    #expect(try resolve(nil, variables) == .url("postgres://plain", from: "DATABASE_URL"))
    variables["DATABASE_URL"] = nil
    #expect(try resolve(nil, variables) == .url("postgresql://supa", from: "SUPABASE_URL"))
    variables["SUPABASE_URL"] = nil
    #expect(try resolve(nil, variables) == .privatePostgres)
  }

  @Test(
    "an address of an API is never taken for no database",
    arguments: ["https://x.example", "HTTPS://x.example", "http://localhost:54321", "x.example"])
  func address(url: String) throws {
    let error = #expect(throws: OpsError.self) { try resolve(nil, ["SUPABASE_URL": url]) }
    #expect(error?.code == .databaseUnreachable)
    #expect(error?.code.exitCode == 3)
    #expect(error?.hint != nil)
    #expect(try resolve(nil, ["SUPABASE_URL": url], ignoresAddress: true) == .privatePostgres)
    for name in ["OPS_DATABASE_URL", "DATABASE_URL"] {
      #expect(
        try resolve(nil, ["SUPABASE_URL": url, name: "postgres://x"])
          == .url("postgres://x", from: name))
    }
    #expect(
      try resolve("postgres://x", ["SUPABASE_URL": url]) == .url("postgres://x", from: "--database")
    )
  }

  @Test("a URL of another kind of database is an error, not a reason for the private one")
  func otherKind() {
    let flag = #expect(throws: OpsError.self) { try resolve("mysql://x", [:]) }
    #expect(flag?.code == .badInput)
    let variable = #expect(throws: OpsError.self) {
      try resolve(nil, ["DATABASE_URL": "mysql://x"])
    }
    #expect(variable?.code == .databaseUnreachable)
  }

  @Test("a connection string of libpq will do, and several hosts")
  func connectionString() throws {
    #expect(
      try resolve("host=a dbname=b", [:]) == .url("host=a dbname=b", from: "--database"))
    let url = "postgresql://a,b/x?target_session_attrs=read-write"
    #expect(try resolve(nil, ["DATABASE_URL": url]) == .url(url, from: "DATABASE_URL"))
  }
}
