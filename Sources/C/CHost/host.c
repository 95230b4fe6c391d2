#define _GNU_SOURCE
#include "host.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

char **host_environment(void) { return environ; }

int host_pipe(int ends[2]) { return pipe2(ends, O_CLOEXEC) == 0 ? 0 : errno; }

int host_process_descriptor(pid_t pid) { return (int)syscall(SYS_pidfd_open, pid, 0); }

int host_has_ended(pid_t pid) {
  siginfo_t info;
  memset(&info, 0, sizeof info);
  if (waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT) != 0) return -1;
  return info.si_pid == pid ? 1 : 0;
}

int host_terminal_columns(int descriptor) {
  struct winsize size;
  return ioctl(descriptor, TIOCGWINSZ, &size) == 0 ? size.ws_col : 0;
}

static int add_stream(posix_spawn_file_actions_t *actions, int from, int to) {
  if (from >= 0) return posix_spawn_file_actions_adddup2(actions, from, to);
  return posix_spawn_file_actions_addopen(actions, to, "/dev/null", to == 0 ? O_RDONLY : O_WRONLY, 0);
}

int host_spawn(const struct host_start *start, pid_t *pid) {
  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
  int error = posix_spawn_file_actions_init(&actions);
  if (error) return error;
  error = posix_spawnattr_init(&attributes);
  if (error) {
    posix_spawn_file_actions_destroy(&actions);
    return error;
  }
  sigset_t all, none;
  sigfillset(&all);
  sigdelset(&all, SIGKILL);
  sigdelset(&all, SIGSTOP);
  sigemptyset(&none);
  short flags = POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK;
  if (start->own_group) flags |= POSIX_SPAWN_SETPGROUP;
  if (!error) error = posix_spawnattr_setsigdefault(&attributes, &all);
  if (!error) error = posix_spawnattr_setsigmask(&attributes, &none);
  if (!error) error = posix_spawnattr_setpgroup(&attributes, 0);
  if (!error) error = posix_spawnattr_setflags(&attributes, flags);
  if (!error) error = add_stream(&actions, start->input, 0);
  if (!error) error = add_stream(&actions, start->output, 1);
  if (!error) error = add_stream(&actions, start->errors, 2);
  if (!error) error = posix_spawn_file_actions_addclosefrom_np(&actions, 3);
  if (!error && start->directory)
    error = posix_spawn_file_actions_addchdir_np(&actions, start->directory);
  if (!error)
    error = posix_spawn(pid, start->path, &actions, &attributes, start->argv, start->envp);
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&actions);
  return error;
}

// Runs in the forked child of a process with threads, and makes only calls that are safe there.
static void become_daemon(const struct host_start *start, int report) {
  setsid();
  pid_t pid = fork();
  if (pid != 0) _exit(0);
  struct sigaction standard;
  memset(&standard, 0, sizeof standard);
  standard.sa_handler = SIG_DFL;
  for (int number = 1; number < NSIG; number++) sigaction(number, &standard, NULL);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, NULL);
  int answer[2] = {0, (int)getpid()};
  int nothing = open("/dev/null", O_RDWR | O_CLOEXEC);
  bool ready = dup2(start->input >= 0 ? start->input : nothing, 0) >= 0 &&
               dup2(start->output >= 0 ? start->output : nothing, 1) >= 0 &&
               dup2(start->errors >= 0 ? start->errors : nothing, 2) >= 0 &&
               (!start->directory || chdir(start->directory) == 0);
  // The first message has the process id. A second one has the error number if exec fails.
  if (ready && write(report, answer, sizeof answer) == sizeof answer) {
    if (report != 3 && dup3(report, 3, O_CLOEXEC) >= 0) report = 3;
    close_range(4, ~0U, 0);
    execve(start->path, start->argv, start->envp);
  }
  answer[0] = errno;
  if (write(report, answer, sizeof answer) < 0) _exit(126);
  _exit(127);
}

int host_spawn_daemon(const struct host_start *start, pid_t *pid) {
  int report[2];
  if (pipe2(report, O_CLOEXEC) != 0) return errno;
  pid_t middle = fork();
  if (middle < 0) {
    int error = errno;
    close(report[0]);
    close(report[1]);
    return error;
  }
  if (middle == 0) become_daemon(start, report[1]);
  close(report[1]);
  int status;
  while (waitpid(middle, &status, 0) < 0 && errno == EINTR) continue;
  int answer[2], error = EAGAIN;
  for (;;) {
    ssize_t count = read(report[0], answer, sizeof answer);
    if (count < 0 && errno == EINTR) continue;
    if (count != sizeof answer) break;  // A successful exec closed the pipe.
    error = answer[0];
    *pid = answer[1];
    if (error) break;
  }
  close(report[0]);
  return error;
}
