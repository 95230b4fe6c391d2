// libxml2, loaded at its first use: it brings ICU with it.
#include "xml_document.h"

#include <dlfcn.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>

#include <libxml/xmlreader.h>

#define FUNCTIONS(EACH)                                                    \
  EACH(xmlReaderForMemory)                                                 \
  EACH(xmlFreeTextReader)                                                  \
  EACH(xmlTextReaderSetErrorHandler)                                       \
  EACH(xmlTextReaderRead)                                                  \
  EACH(xmlTextReaderNodeType)                                              \
  EACH(xmlTextReaderIsEmptyElement)                                        \
  EACH(xmlTextReaderConstLocalName)                                        \
  EACH(xmlTextReaderConstValue)

static struct {
#define FIELD(name) __typeof__(&name) name;
  FUNCTIONS(FIELD)
} libxml;

static pthread_once_t loaded = PTHREAD_ONCE_INIT;
static char problem[300];

static void *find(void *library, const char *name) {
  void *function = dlsym(library, name);
  if (!function && !problem[0]) snprintf(problem, sizeof problem, "%s", dlerror());
  return function;
}

static void load(void) {
  void *library = dlopen("libxml2.so.2", RTLD_NOW | RTLD_LOCAL);
  if (!library) {
    snprintf(problem, sizeof problem, "%s", dlerror());
    return;
  }
#define FIND(name) libxml.name = (__typeof__(&name))find(library, #name);
  FUNCTIONS(FIND)
}

// Without a handler libxml2 writes to stderr.
static void silent(void *context, const char *message, xmlParserSeverities severity,
                   xmlTextReaderLocatorPtr place) {
  (void)context, (void)message, (void)severity, (void)place;
}

static const char *visit(xmlTextReaderPtr reader, xml_visitor visitor, void *context) {
  int more;
  while ((more = libxml.xmlTextReaderRead(reader)) == 1) {
    const char *name = (const char *)libxml.xmlTextReaderConstLocalName(reader);
    switch (libxml.xmlTextReaderNodeType(reader)) {
      case XML_READER_TYPE_ELEMENT:
        visitor(context, XML_BEGIN, name);
        if (libxml.xmlTextReaderIsEmptyElement(reader)) visitor(context, XML_END, name);
        break;
      case XML_READER_TYPE_END_ELEMENT:
        visitor(context, XML_END, name);
        break;
      case XML_READER_TYPE_TEXT:
      case XML_READER_TYPE_CDATA:
      case XML_READER_TYPE_SIGNIFICANT_WHITESPACE:
        visitor(context, XML_TEXT, (const char *)libxml.xmlTextReaderConstValue(reader));
        break;
      case XML_READER_TYPE_DOCUMENT_TYPE:
      case XML_READER_TYPE_ENTITY_REFERENCE:
        return "it has a document type of its own";
      default:
        break;
    }
  }
  return more == 0 ? NULL : "it is not well-formed";
}

const char *xml_read(const char *bytes, size_t count, xml_visitor visitor, void *context) {
  pthread_once(&loaded, load);
  if (problem[0]) return problem;
  if (count > INT_MAX) return "it is too large";
  xmlTextReaderPtr reader = libxml.xmlReaderForMemory(
      bytes, (int)count, NULL, NULL, XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING);
  if (!reader) return "out of memory";
  libxml.xmlTextReaderSetErrorHandler(reader, silent, NULL);
  const char *answer = visit(reader, visitor, context);
  libxml.xmlFreeTextReader(reader);
  return answer;
}
