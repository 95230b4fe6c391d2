// libcurl, loaded at its first use: it brings two dozen libraries with it, which no command but those
// that talk to a bucket should wait for.
#include "easy.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>

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

// The headers' checking macros would stand in the way of the functions' types.
#undef curl_easy_setopt
#undef curl_easy_getinfo

static struct {
#define FIELD(name) __typeof__(&name) name;
  FUNCTIONS(FIELD)
} libcurl;

static pthread_once_t loaded = PTHREAD_ONCE_INIT;
static char problem[300];

static void *find(void *library, const char *name) {
  void *function = dlsym(library, name);
  if (!function && !problem[0]) snprintf(problem, sizeof problem, "%s", dlerror());
  return function;
}

static void load(void) {
  void *library = dlopen("libcurl.so.4", RTLD_NOW | RTLD_LOCAL);
  if (!library) {
    snprintf(problem, sizeof problem, "%s", dlerror());
    return;
  }
#define FIND(name) libcurl.name = (__typeof__(&name))find(library, #name);
  FUNCTIONS(FIND)
  if (problem[0]) return;
  CURLcode code = libcurl.curl_global_init(CURL_GLOBAL_DEFAULT);
  if (code != CURLE_OK)
    snprintf(problem, sizeof problem, "%s", libcurl.curl_easy_strerror(code));
}

const char *easy_load(void) {
  pthread_once(&loaded, load);
  return problem[0] ? problem : NULL;
}

CURL *easy_make(void) { return libcurl.curl_easy_init(); }
void easy_free(CURL *easy) { libcurl.curl_easy_cleanup(easy); }
void easy_reset(CURL *easy) { libcurl.curl_easy_reset(easy); }
CURLcode easy_perform(CURL *easy) { return libcurl.curl_easy_perform(easy); }
const char *easy_reason(CURLcode code) { return libcurl.curl_easy_strerror(code); }

long easy_status(CURL *easy) {
  long status = 0;
  libcurl.curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
  return status;
}

CURLcode easy_set_number(CURL *easy, CURLoption option, long value) {
  return libcurl.curl_easy_setopt(easy, option, value);
}
CURLcode easy_set_size(CURL *easy, CURLoption option, curl_off_t value) {
  return libcurl.curl_easy_setopt(easy, option, value);
}
CURLcode easy_set_text(CURL *easy, CURLoption option, const char *value) {
  return libcurl.curl_easy_setopt(easy, option, value);
}
CURLcode easy_set_pointer(CURL *easy, CURLoption option, const void *value) {
  return libcurl.curl_easy_setopt(easy, option, value);
}
CURLcode easy_set_taker(CURL *easy, CURLoption option, easy_taker taker) {
  return libcurl.curl_easy_setopt(easy, option, taker);
}

struct curl_slist *easy_add(struct curl_slist *list, const char *text) {
  return libcurl.curl_slist_append(list, text);
}
void easy_free_list(struct curl_slist *list) { libcurl.curl_slist_free_all(list); }
