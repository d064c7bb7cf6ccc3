// hivepulse-launch: joins a cgroup and then becomes the command, so that nothing the command does escapes the cgroup.
//
//   hivepulse-launch [--cgroup DIR] [--nofile SOFT] [--cpus LIST] [--nice N] [--io-priority N] [--data BYTES]
//                    [--report FD] -- COMMAND [ARG...]
//
// Affinity, nice, I/O priority and RLIMIT_DATA stand for limits where there is no cgroup: "held NAME\n" is written for
// each that the kernel took, and nothing for others.
//
// What goes wrong before the command runs is written to FD as "STEP ERRNO\n" (STEP: usage, cgroup, exec), and the exit
// status is 126 or 127 as a shell's would be. FD is close-on-exec: an end without a message means that the command
// runs, which tells a failing exec apart from a command that itself ends with 127.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
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

/* A number from `*text` on, which goes behind it. */
static long leading_number(const char** text) {
  char* end;
  errno = 0;
  long value = strtol(*text, &end, 10);
  if (errno != 0 || end == *text || value < 0) fail("usage", EINVAL);
  *text = end;
  return value;
}

static long number(const char* text) {
  long value = leading_number(&text);
  if (*text != '\0') fail("usage", EINVAL);
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

/* "0-3,8" */
static int hold_cpus(const char* list) {
  enum { kMostCpus = 8192 };
  cpu_set_t* set = CPU_ALLOC(kMostCpus);
  const size_t size = CPU_ALLOC_SIZE(kMostCpus);
  if (set == NULL) return 0;
  CPU_ZERO_S(size, set);
  for (;;) {
    const long first = leading_number(&list);
    long last = first;
    if (*list == '-') {
      ++list;
      last = leading_number(&list);
    }
    for (long cpu = first; cpu <= last && cpu < kMostCpus; ++cpu) CPU_SET_S((size_t)cpu, size, set);
    if (*list != ',') break;
    ++list;
  }
  if (*list != '\0') fail("usage", EINVAL);
  const int held = sched_setaffinity(0, size, set) == 0;
  CPU_FREE(set);
  return held;
}

/* One that is nicer already stays so. */
static int hold_nice(long nice) {
  if (getpriority(PRIO_PROCESS, 0) >= nice) return 1;
  return setpriority(PRIO_PROCESS, 0, (int)nice) == 0;
}

/* Of the best-effort class, 0 to 7; as linux/ioprio.h has it, which old headers lack. */
static int hold_io_priority(long level) {
  enum { kWhoProcess = 1, kClassBestEffort = 2, kClassShift = 13 };
  return syscall(SYS_ioprio_set, kWhoProcess, 0, (kClassBestEffort << kClassShift) | (int)level) == 0;
}

/* The hard limit too: what the process could raise again would hold nothing. */
static int hold_data(long bytes) {
  struct rlimit limit;
  if (getrlimit(RLIMIT_DATA, &limit) != 0) return 0;
  if ((rlim_t)bytes < limit.rlim_max) limit.rlim_max = (rlim_t)bytes;
  limit.rlim_cur = limit.rlim_max;
  return setrlimit(RLIMIT_DATA, &limit) == 0;
}

/* What is asked for instead of a limit; NULL: it is not. */
struct bounds {
  const char* cpus;
  const char* nice;
  const char* io_priority;
  const char* data;
};

static void report_held(const char* name, int held) {
  char line[64];
  const int length = snprintf(line, sizeof line, "held %s\n", name);
  if (held && report_fd >= 0 && write(report_fd, line, (size_t)length) < 0) fail("usage", errno);
}

static void hold(const struct bounds* bounds) {
  if (bounds->cpus != NULL) report_held("cpus", hold_cpus(bounds->cpus));
  if (bounds->nice != NULL) report_held("nice", hold_nice(number(bounds->nice)));
  if (bounds->io_priority != NULL) report_held("ioPriority", hold_io_priority(number(bounds->io_priority)));
  if (bounds->data != NULL) report_held("dataBytes", hold_data(number(bounds->data)));
}

int main(int argc, char** argv) {
  const char* cgroup = NULL;
  struct bounds bounds = {NULL, NULL, NULL, NULL};
  long nofile = -1;
  int stderr_fd = -1;
  int i = 1;
  for (; i < argc && strcmp(argv[i], "--") != 0; i += 2) {
    if (i + 1 >= argc) fail("usage", EINVAL);
    if (strcmp(argv[i], "--cgroup") == 0) {
      cgroup = argv[i + 1];
    } else if (strcmp(argv[i], "--nofile") == 0) {
      nofile = number(argv[i + 1]);
    } else if (strcmp(argv[i], "--cpus") == 0) {
      bounds.cpus = argv[i + 1];
    } else if (strcmp(argv[i], "--nice") == 0) {
      bounds.nice = argv[i + 1];
    } else if (strcmp(argv[i], "--io-priority") == 0) {
      bounds.io_priority = argv[i + 1];
    } else if (strcmp(argv[i], "--data") == 0) {
      bounds.data = argv[i + 1];
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
  hold(&bounds);
  if (stderr_fd >= 0) {
    if (dup2(stderr_fd, STDERR_FILENO) < 0) fail("usage", errno);
    close(stderr_fd);
  }
  if (report_fd >= 0 && write(report_fd, "start\n", 6) < 0) fail("usage", errno);
  execvp(argv[i + 1], argv + i + 1);
  fail("exec", errno);
}
