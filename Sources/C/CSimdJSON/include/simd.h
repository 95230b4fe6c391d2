#pragma once
// A C face for simdjson's on-demand parser: exactly the two ways in which opsledger reads JSON.
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum ops_json_kind {
  OPS_JSON_NULL = 0,
  OPS_JSON_FALSE = 1,
  OPS_JSON_TRUE = 2,
  OPS_JSON_INTEGER = 3,  // Fits int64 and is written without fraction or exponent.
  OPS_JSON_NUMBER = 4,   // Any other number: its text.
  OPS_JSON_STRING = 5,   // Its unescaped text.
  OPS_JSON_OBJECT = 6,   // In fields: its raw text. On a tape: the number of its members.
  OPS_JSON_ARRAY = 7,
  OPS_JSON_KEY = 8,      // On a tape only: the unescaped key of the value that follows.
};

// One value. `text` points into the parser's own buffers, good until its next call.
typedef struct {
  const char *key;
  const char *text;
  int64_t integer;
  uint32_t key_length;
  uint32_t text_length;
  int32_t kind;
} ops_json_value;

typedef struct ops_json_parser ops_json_parser;

ops_json_parser *ops_json_parser_new(void);
void ops_json_parser_free(ops_json_parser *parser);

// The top-level fields of an object, nested values unread (and so unchecked): for payloads that
// were checked when they were recorded. Returns their number, or a negative number on an error.
int32_t ops_json_fields(ops_json_parser *parser, const char *bytes, size_t length,
                        const ops_json_value **fields);

// A whole document, every value of it checked, as a flat list in document order.
// Returns the number of items, or a negative number; then `*error` says why, in static text.
int64_t ops_json_tape(ops_json_parser *parser, const char *bytes, size_t length,
                      const ops_json_value **tape, const char **error);

#ifdef __cplusplus
}
#endif
