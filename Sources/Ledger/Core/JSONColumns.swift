import JSON

extension String {
  /// This json object with one member set, or taken out; in `jsonb`'s spelling.
  ///
  /// A key that sorts before all others is spliced in without reading the rest, which is what a
  /// reaction's result is.
  func settingMember(_ key: String, to value: JSON?) -> String {
    if let value, let spliced = splicingFirst(key, value.text) { return spliced }
    var members = (try? JSON(parsing: self))?.objectValue ?? [:]
    members[key] = value
    return JSON.object(members).text
  }

  /// The same with a value that is JSON text already, in `jsonb`'s spelling.
  func settingMember(_ key: String, toText text: String) -> String {
    splicingFirst(key, text) ?? settingMember(key, to: (try? JSON(parsing: text)) ?? .null)
  }

  private func splicingFirst(_ key: String, _ text: String) -> String? {
    var copy = self
    return copy.withUTF8 { whole -> String? in
      let quote = UInt8(ascii: "\"")
      guard whole.count > key.utf8.count + 4, whole[0] == UInt8(ascii: "{"), whole[1] == quote,
        let close = whole[2...].firstIndex(of: quote), close - 2 > key.utf8.count,
        // An escape is longer than what it stands for: such a key may sort before this one.
        !whole[2..<close].contains(UInt8(ascii: "\\"))
      else { return nil }
      var out = JSONObjectWriter(reservingBytes: whole.count + key.utf8.count + text.utf8.count + 8)
      out.raw(key, text)
      out.members(of: UnsafeBufferPointer(rebasing: whole[1...]))
      return out.text
    }
  }
}

extension [String: JSON] {
  /// Of a json column that mixes structure and content, the members that are structure: those named,
  /// where they are scalars as the engine writes them.
  func structure(_ names: String...) -> [String: JSON] {
    filter { key, value in
      names.contains(key) && value.objectValue == nil && value.arrayValue == nil
    }
  }
}
