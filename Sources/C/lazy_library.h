// Loads a library at its first use. The file that includes this defines LIBRARY, the name of the library, and
// FUNCTIONS(EACH), its functions.
#pragma once

#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>

static struct {
#define FIELD(name) __typeof__(&name) name;
  FUNCTIONS(FIELD)
} library;

static pthread_once_t loaded = PTHREAD_ONCE_INIT;
// Why the library cannot be loaded, or an empty text.
static char problem[300];

static void *find(void *handle, const char *name) {
  void *function = dlsym(handle, name);
  if (!function && !problem[0]) snprintf(problem, sizeof problem, "%s", dlerror());
  return function;
}

static void load_library(void) {
  void *handle = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);
  if (!handle) {
    snprintf(problem, sizeof problem, "%s", dlerror());
    return;
  }
#define FIND(name) library.name = (__typeof__(&name))find(handle, #name);
  FUNCTIONS(FIND)
}
