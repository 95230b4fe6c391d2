import JSON

extension String {
  /// This JSON text as a value; null if the text is not JSON.
  var asJSON: JSON { (try? JSON(parsing: self)) ?? .null }

  /// This JSON object with one member set, or removed, in `jsonb`'s spelling.
  ///
  /// A key that sorts before all others, as `result` in a reaction's payload, is inserted without reading the rest.
  func settingMember(_ key: String, to value: JSON?) -> String {
    if let value, let spliced = splicingFirst(key, value.text) { return spliced }
    var members = asJSON.objectValue ?? [:]
    members[key] = value
    return JSON.object(members).text
  }

  /// The same for a value that is JSON text in `jsonb`'s spelling.
  func settingMember(_ key: String, toText text: String) -> String {
    splicingFirst(key, text) ?? settingMember(key, to: text.asJSON)
  }

  private func splicingFirst(_ key: String, _ text: String) -> String? {
    var copy = self
    return copy.withUTF8 { whole -> String? in
      let quote = UInt8(ascii: "\"")
      guard whole.count > key.utf8.count + 4, whole[0] == UInt8(ascii: "{"), whole[1] == quote,
        let close = whole[2...].firstIndex(of: quote), close - 2 > key.utf8.count,
        // An escape is longer than its character, so such a key may sort before this one.
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
  /// The named members of a mixed JSON column, which are data. A member that is not a scalar is not the engine's.
  func structure(_ names: String...) -> [String: JSON] {
    filter { key, value in
      names.contains(key) && value.objectValue == nil && value.arrayValue == nil
    }
  }
}
