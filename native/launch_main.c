// hivepulse-launch: joins a cgroup and then becomes the command, so that nothing the command does escapes the cgroup.
//
//   hivepulse-launch [--cgroup DIR] [--nofile SOFT] [--report FD] -- COMMAND [ARG...]
//
// What goes wrong before the command runs is written to FD as "STEP ERRNO\n" (STEP: usage, cgroup, exec), and the exit
// status is 126 or 127 as a shell's would be. FD is close-on-exec: an end without a message means that the command
// runs, which tells a failing exec apart from a command that itself ends with 127.
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

static int report_fd = -1;

static void fail(const char* step, int error) {
  char line[64];
  int length = snprintf(line, sizeof line, "%s %d\n", step, error);
  if (report_fd < 0 || length <= 0 || write(report_fd, line, (size_t)length) < 0) {
    fprintf(stderr, "hivepulse-launch: %s: %s\n", step, strerror(error));
  }
  _exit(error == ENOENT ? 127 : 126);
}

static long number(const char* text) {
  char* end;
  errno = 0;
  long value = strtol(text, &end, 10);
  if (errno != 0 || end == text || *end != '\0' || value < 0) fail("usage", EINVAL);
  return value;
}

/* "0" stands for the writer itself, also in a pid namespace other than that of the mount. */
static void join(const char* directory) {
  char path[4096];
  int length = snprintf(path, sizeof path, "%s/cgroup.procs", directory);
  if (length < 0 || (size_t)length >= sizeof path) fail("cgroup", ENAMETOOLONG);
  int fd = open(path, O_WRONLY | O_CLOEXEC);
  if (fd < 0) fail("cgroup", errno);
  ssize_t written;
  do {
    written = write(fd, "0", 1);
  } while (written < 0 && errno == EINTR);
  if (written != 1) fail("cgroup", written < 0 ? errno : EIO);
  close(fd);
}

/* Node raises the soft limit for itself; programs that loop over all descriptors suffer from it. Best effort. */
static void restore_nofile(rlim_t soft) {
  struct rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || soft > limit.rlim_max) return;
  limit.rlim_cur = soft;
  setrlimit(RLIMIT_NOFILE, &limit);
}

int main(int argc, char** argv) {
  const char* cgroup = NULL;
  long nofile = -1;
  int stderr_fd = -1;
  int i = 1;
  for (; i < argc && strcmp(argv[i], "--") != 0; i += 2) {
    if (i + 1 >= argc) fail("usage", EINVAL);
    if (strcmp(argv[i], "--cgroup") == 0) {
      cgroup = argv[i + 1];
    } else if (strcmp(argv[i], "--nofile") == 0) {
      nofile = number(argv[i + 1]);
    } else if (strcmp(argv[i], "--report") == 0) {
      report_fd = (int)number(argv[i + 1]);
      if (fcntl(report_fd, F_SETFD, FD_CLOEXEC) != 0) report_fd = -1;
    } else if (strcmp(argv[i], "--stderr") == 0) {
      stderr_fd = (int)number(argv[i + 1]);
    } else {
      fail("usage", EINVAL);
    }
  }
  if (i + 1 >= argc) fail("usage", EINVAL);
  if (cgroup != NULL) join(cgroup);
  if (nofile > 0) restore_nofile((rlim_t)nofile);
  if (stderr_fd >= 0) {
    if (dup2(stderr_fd, STDERR_FILENO) < 0) fail("usage", errno);
    close(stderr_fd);
  }
  if (report_fd >= 0 && write(report_fd, "start\n", 6) < 0) fail("usage", errno);
  execvp(argv[i + 1], argv + i + 1);
  fail("exec", errno);
}
