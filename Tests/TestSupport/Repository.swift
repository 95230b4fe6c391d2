private import Glibc

/// The files of this repository, as tests read them.
public enum Repository {
  public struct Unreadable: Error { public let path: String }

  /// The folder of Package.swift.
  public static let root: String = {
    let here = #filePath.split(separator: "/", omittingEmptySubsequences: false)
    return here.dropLast(3).joined(separator: "/")
  }()

  public static func read(_ path: String) throws -> String {
    guard let file = fopen(root + "/" + path, "r") else { throw Unreadable(path: path) }
    defer { fclose(file) }
    var bytes: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 65_536)
    while true {
      let count = fread(&chunk, 1, chunk.count, file)
      if count == 0 { break }
      bytes.append(contentsOf: chunk[..<count])
    }
    return String(decoding: bytes, as: UTF8.self)
  }

  /// The files below these folders whose names end so.
  public static func files(in folders: [String], _ endings: [String]) throws -> [String] {
    var found: [String] = []
    var open = folders
    while let folder = open.popLast() {
      guard let directory = opendir(root + "/" + folder) else { throw Unreadable(path: folder) }
      defer { closedir(directory) }
      while let entry = readdir(directory) {
        let name = withUnsafePointer(to: &entry.pointee.d_name) {
          $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
        }
        let path = folder + "/" + name
        if entry.pointee.d_type == UInt8(DT_DIR) {
          if !name.hasPrefix(".") { open.append(path) }
        } else if endings.contains(where: path.hasSuffix) {
          found.append(path)
        }
      }
    }
    return found.sorted()
  }

  /// Writes a file that is not there yet.
  public static func create(_ path: String, _ text: String) throws {
    guard let file = fopen(root + "/" + path, "wx") else { throw Unreadable(path: path) }
    defer { fclose(file) }
    let bytes = Array(text.utf8)
    guard fwrite(bytes, 1, bytes.count, file) == bytes.count else { throw Unreadable(path: path) }
  }
}
