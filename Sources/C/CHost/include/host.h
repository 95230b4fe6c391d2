// System calls that Swift's Glibc module lacks (GNU-only or variadic).
#pragma once

#include <stdbool.h>
#include <sys/types.h>

/// A program to start. The descriptors are its standard streams; -1 means /dev/null.
struct host_start {
  const char *path;
  char *const *argv;
  char *const *envp;
  /// Working directory of the child, or NULL for that of this process.
  const char *directory;
  int input;
  int output;
  int errors;
  /// Whether the child gets a new process group, so that it can be ended with all that it started.
  bool own_group;
};

/// Starts a child with default signal handlers, an empty signal mask, and no descriptor above 2.
/// Returns 0, or the error number.
int host_spawn(const struct host_start *start, pid_t *pid);

/// Starts a process in a new session, with init as its parent.
/// Returns 0, or the error number, also that of exec.
int host_spawn_daemon(const struct host_start *start, pid_t *pid);

/// pipe2 with O_CLOEXEC. Returns 0, or the error number.
int host_pipe(int ends[2]);

/// A descriptor that becomes readable when the process ends, or -1.
int host_process_descriptor(pid_t pid);

/// 1 if the child has ended, 0 if not, -1 on an error. It does not reap the child, so the id is not reused.
int host_has_ended(pid_t pid);

/// The terminal's number of columns, or 0.
int host_terminal_columns(int descriptor);

char **host_environment(void);
