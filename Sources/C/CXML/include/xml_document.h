#pragma once
// libxml2's reader, as much of it as the answers of an object store need: elements and their text.
#include <stddef.h>

enum xml_kind { XML_BEGIN, XML_TEXT, XML_END };

/// Gets each element's begin (`text` is its name, without prefix), pieces of text, and each end.
typedef void (*xml_visitor)(void *context, enum xml_kind kind, const char *text);

/// Reads a whole document; nothing outside of it is ever loaded, and no entity of its own expanded.
///
/// Returns NULL, or why it cannot be read; that lasts.
const char *xml_read(const char *bytes, size_t count, xml_visitor visitor, void *context);
