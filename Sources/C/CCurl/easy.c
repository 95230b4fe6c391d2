// Loads libcurl at its first use. It brings two dozen other libraries with it, and only commands that use a bucket should
// wait for them.
#include "easy.h"

#define LIBRARY "libcurl.so.4"
#define FUNCTIONS(EACH)                                                    \
  EACH(curl_global_init)                                                   \
  EACH(curl_easy_init)                                                     \
  EACH(curl_easy_cleanup)                                                  \
  EACH(curl_easy_reset)                                                    \
  EACH(curl_easy_setopt)                                                   \
  EACH(curl_easy_perform)                                                  \
  EACH(curl_easy_getinfo)                                                  \
  EACH(curl_easy_strerror)                                                 \
  EACH(curl_slist_append)                                                  \
  EACH(curl_slist_free_all)

// These macros of the headers would hide the types of the functions.
#undef curl_easy_setopt
#undef curl_easy_getinfo

#include "../lazy_library.h"

static void load(void) {
  load_library();
  if (problem[0]) return;
  CURLcode code = library.curl_global_init(CURL_GLOBAL_DEFAULT);
  if (code != CURLE_OK)
    snprintf(problem, sizeof problem, "%s", library.curl_easy_strerror(code));
}

const char *easy_load(void) {
  pthread_once(&loaded, load);
  return problem[0] ? problem : NULL;
}

CURL *easy_make(void) { return library.curl_easy_init(); }
void easy_free(CURL *easy) { library.curl_easy_cleanup(easy); }
void easy_reset(CURL *easy) { library.curl_easy_reset(easy); }
CURLcode easy_perform(CURL *easy) { return library.curl_easy_perform(easy); }
const char *easy_reason(CURLcode code) { return library.curl_easy_strerror(code); }

long easy_status(CURL *easy) {
  long status = 0;
  library.curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
  return status;
}

CURLcode easy_set_number(CURL *easy, CURLoption option, long value) {
  return library.curl_easy_setopt(easy, option, value);
}
CURLcode easy_set_size(CURL *easy, CURLoption option, curl_off_t value) {
  return library.curl_easy_setopt(easy, option, value);
}
CURLcode easy_set_text(CURL *easy, CURLoption option, const char *value) {
  return library.curl_easy_setopt(easy, option, value);
}
CURLcode easy_set_pointer(CURL *easy, CURLoption option, const void *value) {
  return library.curl_easy_setopt(easy, option, value);
}
CURLcode easy_set_taker(CURL *easy, CURLoption option, easy_taker taker) {
  return library.curl_easy_setopt(easy, option, taker);
}

struct curl_slist *easy_add(struct curl_slist *list, const char *text) {
  return library.curl_slist_append(list, text);
}
void easy_free_list(struct curl_slist *list) { library.curl_slist_free_all(list); }
