// Loads libxml2 at its first use. It brings ICU with it.
#include "xml_document.h"

#include <limits.h>

#include <libxml/xmlreader.h>

#define LIBRARY "libxml2.so.2"
#define FUNCTIONS(EACH)                                                    \
  EACH(xmlReaderForMemory)                                                 \
  EACH(xmlFreeTextReader)                                                  \
  EACH(xmlTextReaderSetErrorHandler)                                       \
  EACH(xmlTextReaderRead)                                                  \
  EACH(xmlTextReaderNodeType)                                              \
  EACH(xmlTextReaderIsEmptyElement)                                        \
  EACH(xmlTextReaderConstLocalName)                                        \
  EACH(xmlTextReaderConstValue)

#include "../lazy_library.h"

// Without a handler, libxml2 writes to stderr.
static void silent(void *context, const char *message, xmlParserSeverities severity,
                   xmlTextReaderLocatorPtr place) {
  (void)context, (void)message, (void)severity, (void)place;
}

static const char *visit(xmlTextReaderPtr reader, xml_visitor visitor, void *context) {
  int more;
  while ((more = library.xmlTextReaderRead(reader)) == 1) {
    const char *name = (const char *)library.xmlTextReaderConstLocalName(reader);
    switch (library.xmlTextReaderNodeType(reader)) {
      case XML_READER_TYPE_ELEMENT:
        visitor(context, XML_BEGIN, name);
        if (library.xmlTextReaderIsEmptyElement(reader)) visitor(context, XML_END, name);
        break;
      case XML_READER_TYPE_END_ELEMENT:
        visitor(context, XML_END, name);
        break;
      case XML_READER_TYPE_TEXT:
      case XML_READER_TYPE_CDATA:
      case XML_READER_TYPE_SIGNIFICANT_WHITESPACE:
        visitor(context, XML_TEXT, (const char *)library.xmlTextReaderConstValue(reader));
        break;
      case XML_READER_TYPE_DOCUMENT_TYPE:
      case XML_READER_TYPE_ENTITY_REFERENCE:
        return "the document has a document type";
      default:
        break;
    }
  }
  return more == 0 ? NULL : "the document is not well-formed";
}

const char *xml_read(const char *bytes, size_t count, xml_visitor visitor, void *context) {
  pthread_once(&loaded, load_library);
  if (problem[0]) return problem;
  if (count > INT_MAX) return "the document has more than 2 GB";
  xmlTextReaderPtr reader = library.xmlReaderForMemory(
      bytes, (int)count, NULL, NULL, XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING);
  if (!reader) return "out of memory";
  library.xmlTextReaderSetErrorHandler(reader, silent, NULL);
  const char *answer = visit(reader, visitor, context);
  library.xmlFreeTextReader(reader);
  return answer;
}
