// Calls that the Glibc module hides from Swift (GNU-only or variadic), and nothing else.
#pragma once

#include <stdbool.h>
#include <sys/types.h>

/// What to start. Descriptors are the child's standard streams; -1 means /dev/null.
struct host_start {
  const char *path;
  char *const *argv;
  char *const *envp;
  /// Working directory of the child; null keeps ours.
  const char *directory;
  int input;
  int output;
  int errors;
  /// The child leads a process group of its own, so that it can be ended with all it started.
  bool own_group;
};

/// Starts a child with default signals, an empty mask and no descriptor above 2.
/// Returns 0, or the error number.
int host_spawn(const struct host_start *start, pid_t *pid);

/// Starts a process in a session of its own, whose parent is init and not we.
/// Returns 0, or the error number (that of exec too).
int host_spawn_daemon(const struct host_start *start, pid_t *pid);

/// pipe2 with O_CLOEXEC. Returns 0, or the error number.
int host_pipe(int ends[2]);

/// A descriptor that becomes readable when the process ends, or -1.
int host_process_descriptor(pid_t pid);

/// 1 if the child has ended (it stays unreaped, so its id is not reused), 0 if not, -1 on an error.
int host_has_ended(pid_t pid);

/// Columns of the terminal, or 0.
int host_terminal_columns(int descriptor);

char **host_environment(void);
