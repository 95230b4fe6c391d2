#pragma once
// simdjson's on-demand parser for C: the two ways in which opsledger reads JSON.
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum ops_json_kind {
  OPS_JSON_NULL = 0,
  OPS_JSON_FALSE = 1,
  OPS_JSON_TRUE = 2,
  OPS_JSON_INTEGER = 3,  // An int64 without fraction or exponent.
  OPS_JSON_NUMBER = 4,   // The text of any other number.
  OPS_JSON_STRING = 5,   // The unescaped text.
  OPS_JSON_OBJECT = 6,   // In fields: the raw text. On a tape: the number of members.
  OPS_JSON_ARRAY = 7,
  OPS_JSON_KEY = 8,      // On a tape only: the unescaped key of the value that follows.
};

// A value. `key` and `text` point into the parser's buffers, and are valid until its next call.
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

// Reads the top-level fields of an object. It does not check nested values, since payloads were checked when they were
// recorded. Returns the number of fields, or a negative number on an error.
int32_t ops_json_fields(ops_json_parser *parser, const char *bytes, size_t length,
                        const ops_json_value **fields);

// Reads and checks a whole document, as a flat list in document order.
// Returns the number of items, or a negative number and in `*error` a static text with the reason.
int64_t ops_json_tape(ops_json_parser *parser, const char *bytes, size_t length,
                      const ops_json_value **tape, const char **error);

#ifdef __cplusplus
}
#endif
