import Glibc
import Host
import JSON
import Ledger

/// Runs this program again, in a process that knows the scratch cluster and the store only.
struct DrillChild {
  struct Answer {
    let exit: Int32?
    let json: JSON
    /// The error that the process printed, or how it ended.
    let said: String
  }

  private let scratch: DrillScratch
  private let environment: [String: String]
  private let stop: StopSignal

  init(_ scratch: DrillScratch, _ storeEnvironment: [String: String], _ stop: StopSignal) {
    self.scratch = scratch
    self.stop = stop
    let path = getenv("PATH").map { String(cString: $0) } ?? "/usr/local/bin:/usr/bin:/bin"
    environment = storeEnvironment.merging(["PATH": path, "HOME": scratch.path]) { $1 }
  }

  func url(_ login: PrivatePostgres.Login) -> String { scratch.url(login) }

  /// - Throws: `OPS_001` if the process could not run (exit status 3), or the drill was stopped.
  func run(_ arguments: [String]) throws(OpsError) -> Answer {
    var command = Subprocess(
      "/proc/self/exe", ["--json"] + arguments, environment: environment, directory: scratch.path)
    command.stop = stop
    command.outputBytesMax = 64 << 20
    let result = try host { () throws(HostError) in try command.run() }
    let lines = result.errorText.split(separator: "\n")
    let error = lines.last { $0.hasPrefix("error ") } ?? lines.last
    let said = error.map(String.init) ?? "the process ended with \(result.ending)"
    if stop.isRaised {
      throw OpsError(
        .databaseUnreachable, "the drill was stopped before it had ended",
        hint: "run `opsledger drill` again")
    }
    if result.ending == .exited(3) {
      throw OpsError(
        .databaseUnreachable, "the drill could not run: \(said)",
        hint: "look at the file system of \(scratch.path), where the scratch cluster was")
    }
    let code: Int32? = if case .exited(let code) = result.ending { code } else { nil }
    return Answer(
      exit: code, json: (try? JSON(parsing: result.outputText)) ?? .null, said: said)
  }
}
