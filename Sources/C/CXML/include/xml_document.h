#pragma once
// The part of libxml2's reader that the answers of an object store need: elements and their text.
#include <stddef.h>

enum xml_kind { XML_BEGIN, XML_TEXT, XML_END };

/// Gets the begin of each element (`text` is its name without prefix), pieces of text, and each end.
typedef void (*xml_visitor)(void *context, enum xml_kind kind, const char *text);

/// Reads a whole document. Loads no other file, and expands no entity of the document.
///
/// Returns NULL, or why the document cannot be read, as a static text.
const char *xml_read(const char *bytes, size_t count, xml_visitor visitor, void *context);
