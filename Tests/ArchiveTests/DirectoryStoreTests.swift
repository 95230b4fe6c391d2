import Glibc
import Host
import Ledger
import TestSupport
import Testing

@testable import Archive

@Suite("A store in a directory")
struct DirectoryStoreTests {
  @Test("keeps the rules of every store", arguments: ObjectStoreRules.names)
  func rules(name: String) throws {
    try withScratchDirectory { path in
      let root = path + "/store"
      #expect(mkdir(root, 0o750) == 0)
      let rules = ObjectStoreRules(store: DirectoryStore(root), other: DirectoryStore(root + "/"))
      try rules.check(name)
      #expect(hidden(in: root) == [])
    }
  }

  @Test("directories are made as they are needed, 0750, and files 0640, whatever the umask is")
  func modes() throws {
    try withScratchDirectory { path in
      let store = DirectoryStore(path + "/a/b/store")
      expectRefusal(.notFound) { try store.list("") }
      let isMade = try put(store, "c/d/file", [1])
      #expect(isMade)
      for made in ["a", "a/b", "a/b/store", "a/b/store/c", "a/b/store/c/d"] {
        #expect(FileSystem.status("\(path)/\(made)")?.mode == 0o750, "\(made)")
      }
      #expect(FileSystem.status("\(path)/a/b/store/c/d/file")?.mode == 0o640)
      #expect(FileSystem.status("\(path)/a/b/store/c/d/file")?.names == 1)
    }
  }

  @Test("what a dead process left is swept by a later one, what a living one makes is not")
  func sweeping() throws {
    try withScratchDirectory { path in
      try touch(path + "/.tmp.1.dead", "half")
      try touch(path + "/.other", "kept")
      let living = try DirectoryStore(path).make("living")
      try write(living, [1, 2])
      #expect(hidden(in: path).count == 2)
      // Linked, and died before the temporary was removed.
      try touch(path + "/whole", "whole")
      #expect(link(path + "/whole", path + "/.tmp.2.dead") == 0)
      #expect(try put(DirectoryStore(path), "new", [3]))
      #expect(hidden(in: path).contains { $0.hasSuffix(".dead") } == false)
      #expect(try living.publish())
      #expect(hidden(in: path) == [".other"])
      #expect(
        try DirectoryStore(path).list("").map(\.name) == ["living", "new", "whole"])
    }
  }

  @Test(
    "a file in the place of the segments is no empty store; one in another's place stops nothing")
  func fileForDirectory() throws {
    try withScratchDirectory { path in
      let store = try Store.begin(
        DirectoryStore(path), StoreRecord(identity: SampleLog.identity, title: "sample"))
      try touch(path + "/snapshots", "x")
      #expect(try store.segments().segments == [])
      try touch(path + "/segments", "x")
      let error = #expect(throws: OpsError.self) { try store.segments() }
      #expect(error?.code == .notFound)
    }
  }

  @Test("links in a store are named and not followed, in and out of it; the store may be one")
  func links() throws {
    try withScratchDirectory { path in
      try touch(path + "/outside", "secret")
      let store = DirectoryStore(path + "/store")
      #expect(try put(store, "d/file", [1]))
      #expect(symlink("../outside", path + "/store/leaf") == 0)
      #expect(symlink("..", path + "/store/folder") == 0)
      for attempt: () throws -> Any in [
        { try store.read("leaf", nil) }, { try store.read("folder/outside", nil) },
        { try store.make("folder/new") }, { try store.list("folder/") },
        { try store.remove("folder/outside") },
      ] {
        let error = #expect(throws: OpsError.self) { _ = try attempt() }
        #expect(error?.code == .notAllowed, "\(error?.description ?? "")")
      }
      #expect(try !put(store, "leaf", [1]))
      #expect(try FileSystem.readText(path + "/outside") == "secret")
      #expect(try store.list("d/").count == 1)
      let odd = try store.list("").filter { $0.oddity != nil }
      #expect(odd.map(\.name) == ["folder", "leaf"])
      #expect(symlink("store", path + "/link") == 0)
      #expect(try DirectoryStore(path + "/link").read("d/file", nil) == [1])
    }
  }

  @Test("what is no file of a store is passed over, and no pipe is waited for")
  func foreign() throws {
    try withScratchDirectory { path in
      #expect(mkdir(path + "/lost+found", 0o700) == 0)
      try touch(path + "/lost+found/x", "")
      #expect(mkfifo(path + "/pipe", 0o600) == 0)
      try touch(path + "/a b", "named so that somebody sees it")
      let store = DirectoryStore(path)
      #expect(mkdir(path + "/d.lz4", 0o700) == 0)
      let listed = try store.list("")
      #expect(listed.map(\.name) == ["a b", "d.lz4", "pipe"])
      #expect(listed.map { $0.oddity == nil } == [true, false, false])
      let pipe = expectRefusal(.notFound) { try store.read("pipe", nil) }
      #expect(
        pipe?.message
          == "store \(path): cannot read \(path)/pipe: it is a pipe, socket or device, not a file")
      let directory = expectRefusal(.notFound) { try store.read("d.lz4", nil) }
      #expect(directory?.message.hasSuffix("d.lz4: it is a directory, not a file") ?? false)
      expectRefusal(.notAllowed) { try store.read("a b", nil) }
    }
  }

  @Test("a directory that is gone, or another, since it was read is not made anew or written to")
  func replaced() throws {
    try withScratchDirectory { path in
      let store = DirectoryStore(path + "/store")
      let isMade = try put(store, "file", [1])
      #expect(isMade)
      #expect(try store.list("").count == 1)
      #expect(rename(path + "/store", path + "/away") == 0)
      let gone = #expect(throws: OpsError.self) { try put(store, "other", [2]) }
      #expect(gone?.code == .databaseUnreachable)
      #expect(!FileSystem.exists(path + "/store"))
      #expect(mkdir(path + "/store", 0o750) == 0)
      let other = #expect(throws: OpsError.self) { try put(store, "other", [2]) }
      #expect(other?.code == .databaseUnreachable)
      #expect(FileSystem.names(in: path + "/store") == [])
      // Whoever has looked knows.
      #expect(try store.list("") == [])
      #expect(try put(store, "other", [2]))
      expectRefusal(.notFound) { try DirectoryStore(path + "/none").list("") }
    }
  }

  @Test("a file where a directory should be is named")
  func notADirectory() throws {
    try withScratchDirectory { path in
      try touch(path + "/file", "")
      let error = #expect(throws: OpsError.self) { try DirectoryStore(path + "/file").make("a") }
      #expect(error?.message.contains(path + "/file: Not a directory") == true)
    }
  }
}

/// Names that begin with a dot, in a directory and all below it.
private func hidden(in path: String) -> [String] {
  FileSystem.names(in: path).flatMap { name -> [String] in
    if name.hasPrefix(".") { return [name] }
    let below = path + "/" + name
    let kind = FileSystem.status(below, followingLink: false)?.kind
    return kind == .directory ? hidden(in: below) : []
  }
}

private func touch(_ path: String, _ text: String) throws {
  try FileSystem.write(text, to: path)
}

/// Runs a body with a directory of its own (0700), which is gone afterwards.
func withScratchDirectory<Answer>(_ body: (String) throws -> Answer) throws -> Answer {
  var template = Array("/tmp/opsledger-store.XXXXXX".utf8CString)
  try #require(mkdtemp(&template) != nil)
  let path = String(decoding: template.dropLast().map(UInt8.init(bitPattern:)), as: UTF8.self)
  defer { _ = try? Subprocess("rm", ["-rf", "--", path]).run() }
  return try body(path)
}
