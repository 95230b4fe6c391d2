#include "simd.h"

#include <simdjson.h>

#include <cstring>
#include <string>
#include <vector>

using namespace simdjson;

// The greatest depth of a document. The limit of jsonb is the server's stack.
static constexpr int depth_max = 256;

struct ops_json_parser {
  ondemand::parser parser;
  std::vector<char> padded;
  std::vector<ops_json_value> values;
  const char *error = nullptr;

  padded_string_view load(const char *bytes, size_t length) {
    reserve(length);
    if (length) std::memcpy(padded.data(), bytes, length);
    return terminated(length);
  }

  // Puts brackets around the document. simdjson reads a document that is one scalar by other rules: it accepts `nullx` as
  // null, and has no raw text of a number.
  padded_string_view load_bracketed(const char *bytes, size_t length) {
    reserve(length + 2);
    padded[0] = '[';
    if (length) std::memcpy(padded.data() + 1, bytes, length);
    padded[length + 1] = ']';
    return terminated(length + 2);
  }

 private:
  void reserve(size_t length) {
    if (padded.size() < length + SIMDJSON_PADDING) padded.resize((length + SIMDJSON_PADDING) * 2);
  }

  padded_string_view terminated(size_t length) {
    std::memset(padded.data() + length, ' ', SIMDJSON_PADDING);
    return padded_string_view(padded.data(), length, padded.size());
  }
};

namespace {

bool space(char c) { return c == ' ' || c == '\n' || c == '\r' || c == '\t'; }
bool digit(char c) { return c >= '0' && c <= '9'; }

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && space(text.back())) text.remove_suffix(1);
  return text;
}

// Checks a number by RFC 8259, section 6. simdjson checks only the numbers that it converts, and cannot convert large ones.
// Also finds out whether the number is an integer that fits an int64.
bool read_number(std::string_view text, ops_json_value &out) {
  size_t i = 0, n = text.size();
  bool negative = i < n && text[i] == '-';
  if (negative) i++;
  size_t first = i;
  uint64_t magnitude = 0;
  bool fits = true;
  while (i < n && digit(text[i])) {
    if (magnitude > (UINT64_MAX - 9) / 10) fits = false;
    magnitude = magnitude * 10 + uint64_t(text[i] - '0');
    i++;
  }
  if (i == first || (text[first] == '0' && i - first > 1)) return false;
  bool plain = i == n;
  if (i < n && text[i] == '.') {
    size_t start = ++i;
    while (i < n && digit(text[i])) i++;
    if (i == start) return false;
  }
  if (i < n && (text[i] == 'e' || text[i] == 'E')) {
    i++;
    if (i < n && (text[i] == '+' || text[i] == '-')) i++;
    size_t start = i;
    while (i < n && digit(text[i])) i++;
    if (i == start) return false;
  }
  if (i != n) return false;
  out.text = text.data();
  out.text_length = uint32_t(n);
  out.kind = OPS_JSON_NUMBER;
  uint64_t magnitude_max = uint64_t(INT64_MAX) + (negative ? 1 : 0);
  if (plain && fits && magnitude <= magnitude_max && !(negative && magnitude == 0)) {
    out.kind = OPS_JSON_INTEGER;
    out.integer = int64_t(negative ? 0 - magnitude : magnitude);
  }
  return true;
}

void set_text(ops_json_value &out, std::string_view text, int32_t kind) {
  out.text = text.data();
  out.text_length = uint32_t(text.size());
  out.kind = kind;
}

bool read_scalar(ondemand::value &value, ondemand::json_type type, ops_json_value &out) {
  switch (type) {
    case ondemand::json_type::null: {
      bool is_null;
      if (value.is_null().get(is_null) || !is_null) return false;
      out.kind = OPS_JSON_NULL;
      return true;
    }
    case ondemand::json_type::boolean: {
      bool truth;
      if (value.get_bool().get(truth)) return false;
      out.kind = truth ? OPS_JSON_TRUE : OPS_JSON_FALSE;
      return true;
    }
    case ondemand::json_type::string: {
      std::string_view text;
      if (value.get_string().get(text)) return false;
      set_text(out, text, OPS_JSON_STRING);
      return true;
    }
    default: return false;
  }
}

struct tape_writer {
  ops_json_parser &owner;

  bool fail(const char *why) {
    if (!owner.error) owner.error = why;
    return false;
  }

  bool write(ondemand::value &value, int depth) {
    if (depth > depth_max) return fail("nested too deeply");
    ondemand::json_type type;
    if (value.type().get(type)) return fail("not JSON");
    switch (type) {
      case ondemand::json_type::object: return write_object(value, depth);
      case ondemand::json_type::array: return write_array(value, depth);
      case ondemand::json_type::number: {
        ops_json_value out{};
        if (!read_number(trimmed(value.raw_json_token()), out))
          return fail("a number is not in JSON's syntax");
        owner.values.push_back(out);
        return true;
      }
      default: {
        ops_json_value out{};
        if (!read_scalar(value, type, out)) return fail("a value is not JSON");
        owner.values.push_back(out);
        return true;
      }
    }
  }

  // Reads the document between the brackets.
  bool write_only_element(ondemand::document &document) {
    ondemand::array array;
    if (document.get_array().get(array)) return fail("not JSON");
    int count = 0;
    for (auto entry : array) {
      ondemand::value element;
      if (entry.get(element)) return fail("not JSON");
      if (count++) return fail("something follows the document");
      if (!write(element, 1)) return false;
    }
    return count == 1 || fail("the text is empty");
  }

  bool write_object(ondemand::value &value, int depth) {
    ondemand::object object;
    if (value.get_object().get(object)) return fail("an object is not closed");
    size_t at = owner.values.size();
    owner.values.push_back(ops_json_value{});
    int64_t count = 0;
    for (auto entry : object) {
      ondemand::field field;
      if (std::move(entry).get(field)) return fail("a member of an object is malformed");
      std::string_view key;
      if (field.unescaped_key().get(key)) return fail("a key is not valid text");
      ops_json_value out{};
      set_text(out, key, OPS_JSON_KEY);
      owner.values.push_back(out);
      ondemand::value member = field.value();
      if (!write(member, depth + 1)) return false;
      count++;
    }
    owner.values[at].kind = OPS_JSON_OBJECT;
    owner.values[at].integer = count;
    return true;
  }

  bool write_array(ondemand::value &value, int depth) {
    ondemand::array array;
    if (value.get_array().get(array)) return fail("an array is not closed");
    size_t at = owner.values.size();
    owner.values.push_back(ops_json_value{});
    int64_t count = 0;
    for (auto entry : array) {
      ondemand::value element;
      if (entry.get(element)) return fail("an element of an array is malformed");
      if (!write(element, depth + 1)) return false;
      count++;
    }
    owner.values[at].kind = OPS_JSON_ARRAY;
    owner.values[at].integer = count;
    return true;
  }
};

bool read_field(ondemand::field &field, ops_json_value &out) {
  std::string_view key;
  if (field.unescaped_key().get(key)) return false;
  out.key = key.data();
  out.key_length = uint32_t(key.size());
  ondemand::value value = field.value();
  ondemand::json_type type;
  if (value.type().get(type)) return false;
  std::string_view text;
  switch (type) {
    case ondemand::json_type::object: {
      ondemand::object object;
      if (value.get_object().get(object) || object.raw_json().get(text)) return false;
      set_text(out, text, OPS_JSON_OBJECT);
      return true;
    }
    case ondemand::json_type::array: {
      ondemand::array array;
      if (value.get_array().get(array) || array.raw_json().get(text)) return false;
      set_text(out, text, OPS_JSON_ARRAY);
      return true;
    }
    case ondemand::json_type::number:
      return read_number(trimmed(value.raw_json_token()), out);
    default: return read_scalar(value, type, out);
  }
}

}  // namespace

extern "C" {

ops_json_parser *ops_json_parser_new(void) { return new (std::nothrow) ops_json_parser(); }
void ops_json_parser_free(ops_json_parser *parser) { delete parser; }

int32_t ops_json_fields(ops_json_parser *owner, const char *bytes, size_t length,
                        const ops_json_value **fields) {
  owner->values.clear();
  ondemand::document document;
  ondemand::object object;
  if (owner->parser.iterate(owner->load(bytes, length)).get(document)) return -1;
  if (document.get_object().get(object)) return -1;
  for (auto entry : object) {
    ondemand::field field;
    if (std::move(entry).get(field)) return -1;
    ops_json_value out{};
    if (!read_field(field, out)) return -1;
    owner->values.push_back(out);
  }
  *fields = owner->values.data();
  return int32_t(owner->values.size());
}

int64_t ops_json_tape(ops_json_parser *owner, const char *bytes, size_t length,
                      const ops_json_value **tape, const char **error) {
  owner->values.clear();
  owner->error = nullptr;
  ondemand::document document;
  auto code = owner->parser.iterate(owner->load_bracketed(bytes, length)).get(document);
  bool ok = !code && tape_writer{*owner}.write_only_element(document);
  const char *rest;
  if (ok && document.current_location().get(rest) != OUT_OF_BOUNDS) {
    ok = false;
    owner->error = "something follows the document";
  }
  if (!ok) {
    *error = owner->error ? owner->error : error_message(code);
    return -1;
  }
  *tape = owner->values.data();
  return int64_t(owner->values.size());
}

}  // extern "C"
