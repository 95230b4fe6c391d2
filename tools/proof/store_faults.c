// A disk that fails, or a process that dies, at a call of one's choice: preloaded by tools/proof/store-faults.
//
//   FAULT_DIRECTORY  only calls on what lies below it count
//   FAULT_FILE       a file that says which call fails, and how: "fsync 5". Calls: write, fsync (of a file),
//                    fsyncdir, close, link, unlink, create, mkdir, read
//   FAULT_KILL       the number of the call, from 1, before which the process is killed
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static atomic_long calls;

static bool is_below(const char *path) {
  const char *directory = getenv("FAULT_DIRECTORY");
  return directory && !strncmp(path, directory, strlen(directory));
}

static bool is_in_store(int file) {
  char name[40], path[PATH_MAX];
  snprintf(name, sizeof name, "/proc/self/fd/%d", file);
  ssize_t length = readlink(name, path, sizeof path - 1);
  if (length < 0) return false;
  path[length] = 0;
  return is_below(path);
}

// Whether this call fails; errno is set then.
static bool fails(const char *call) {
  const char *kill_at = getenv("FAULT_KILL");
  if (kill_at && atomic_fetch_add(&calls, 1) + 1 == atol(kill_at)) kill(getpid(), SIGKILL);
  const char *name = getenv("FAULT_FILE");
  if (!name) return false;
  int file = (int)syscall(SYS_openat, AT_FDCWD, name, O_RDONLY);
  if (file < 0) return false;
  char text[40] = "", which[20];
  int number;
  ssize_t length = syscall(SYS_read, file, text, sizeof text - 1);
  syscall(SYS_close, file);
  if (length <= 0 || sscanf(text, "%19s %d", which, &number) != 2 || strcmp(which, call)) return false;
  errno = number;
  return true;
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

ssize_t write(int file, const void *bytes, size_t count) {
  if (is_in_store(file) && fails("write")) return -1;
  return REAL(write)(file, bytes, count);
}

int fsync(int file) {
  struct stat status;
  bool is_directory = fstat(file, &status) == 0 && S_ISDIR(status.st_mode);
  if (is_in_store(file) && fails(is_directory ? "fsyncdir" : "fsync")) return -1;
  return REAL(fsync)(file);
}

int close(int file) {
  int flags = fcntl(file, F_GETFL);
  // Only of what was written to: nobody asks the others.
  bool is_written = flags >= 0 && (flags & O_ACCMODE) == O_RDWR;
  if (is_written && is_in_store(file) && fails("close")) {
    int number = errno;
    REAL(close)(file);
    errno = number;
    return -1;
  }
  return REAL(close)(file);
}

int linkat(int from, const char *name, int to, const char *other, int flags) {
  if (is_in_store(to) && fails("link")) return -1;
  return REAL(linkat)(from, name, to, other, flags);
}

int unlinkat(int directory, const char *name, int flags) {
  if (is_in_store(directory) && fails("unlink")) return -1;
  return REAL(unlinkat)(directory, name, flags);
}

int mkdirat(int directory, const char *name, mode_t mode) {
  if (is_in_store(directory) && fails("mkdir")) return -1;
  return REAL(mkdirat)(directory, name, mode);
}

static bool cannot_create(int directory, int flags) {
  return (flags & O_CREAT) && directory != AT_FDCWD && is_in_store(directory) && fails("create");
}

int openat(int directory, const char *name, int flags, ...) {
  va_list list;
  va_start(list, flags);
  mode_t mode = (flags & O_CREAT) ? va_arg(list, mode_t) : 0;
  va_end(list);
  if (cannot_create(directory, flags)) return -1;
  return REAL(openat)(directory, name, flags, mode);
}

int openat64(int directory, const char *name, int flags, ...) {
  va_list list;
  va_start(list, flags);
  mode_t mode = (flags & O_CREAT) ? va_arg(list, mode_t) : 0;
  va_end(list);
  if (cannot_create(directory, flags)) return -1;
  return REAL(openat64)(directory, name, flags, mode);
}

ssize_t pread(int file, void *bytes, size_t count, off_t offset) {
  if (is_in_store(file) && fails("read")) return -1;
  return REAL(pread)(file, bytes, count, offset);
}

ssize_t pread64(int file, void *bytes, size_t count, off_t offset) {
  if (is_in_store(file) && fails("read")) return -1;
  return REAL(pread64)(file, bytes, count, offset);
}
