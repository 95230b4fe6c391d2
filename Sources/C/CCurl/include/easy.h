#pragma once
// libcurl's easy interface for Swift, which cannot call curl_easy_setopt and curl_easy_getinfo: they are variadic.
#include <curl/curl.h>

/// Loads libcurl once. Every other function needs this to have returned NULL.
///
/// Returns NULL, or why libcurl cannot be loaded.
const char *easy_load(void);

CURL *easy_make(void);
void easy_free(CURL *easy);
/// Resets all options, and keeps the connections.
void easy_reset(CURL *easy);
CURLcode easy_perform(CURL *easy);
/// libcurl's static text for a code.
const char *easy_reason(CURLcode code);
/// The status of the answer, or 0 if there was none.
long easy_status(CURL *easy);

CURLcode easy_set_number(CURL *easy, CURLoption option, long value);
CURLcode easy_set_size(CURL *easy, CURLoption option, curl_off_t value);
/// libcurl copies the text.
CURLcode easy_set_text(CURL *easy, CURLoption option, const char *value);
/// libcurl keeps the pointer.
CURLcode easy_set_pointer(CURL *easy, CURLoption option, const void *value);

typedef size_t (*easy_taker)(char *bytes, size_t size, size_t count, void *context);
CURLcode easy_set_taker(CURL *easy, CURLoption option, easy_taker taker);

struct curl_slist *easy_add(struct curl_slist *list, const char *text);
void easy_free_list(struct curl_slist *list);
