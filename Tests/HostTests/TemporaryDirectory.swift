import Glibc

@testable import Host

/// Runs a body with a directory of its own (0700), which is gone afterwards.
func withTemporaryDirectory<Answer>(
  under parent: String = "/tmp", _ body: (String) throws -> Answer
) throws -> Answer {
  var template = Array("\(parent)/opsledger-host.XXXXXX".utf8CString)
  guard mkdtemp(&template) != nil else { throw HostError.system(errno, "make \(parent)") }
  let path = String(decoding: template.dropLast().map(UInt8.init(bitPattern:)), as: UTF8.self)
  defer { _ = try? Subprocess("rm", ["-rf", "--", path]).run() }
  return try body(path)
}
