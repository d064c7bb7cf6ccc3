/*
 * How fast could it be? Descriptors kept open, one pread each, nothing parsed: the bound for every reader of the same
 * files.
 *
 *   limit read < paths    opens each path; then for each number on standard input reads all files so many times and
 *                         prints of each pass the nanoseconds on the clock and on the CPU, on one line. Paths end at an
 *                         empty line.
 *   limit trees < line  as many trees of five processes as the line says, which wake up ten times a second: prints the
 * pid of each root and of its children, a tree a line. Ends with its standard input. limit tick < paths    for each
 * path of a cgroup.procs starts a process there that wakes up ten times a second, so that the kernel has something to
 * add up. Ends with its standard input.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

enum { kMost = 65536 };

static char line[4096];

static long long now(clockid_t clock) {
  struct timespec t;
  clock_gettime(clock, &t);
  return t.tv_sec * 1000000000LL + t.tv_nsec;
}

/* The next line without its newline; 0 at an empty one or the end. */
static int next_line(void) {
  if (fgets(line, sizeof line, stdin) == NULL) return 0;
  line[strcspn(line, "\n")] = 0;
  return line[0] != 0;
}

static int read_files(void) {
  static int files[kMost];
  static char buffer[16 * 1024];
  int count = 0;
  struct rlimit limit;
  getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
  while (next_line() && count < kMost) {
    if ((files[count++] = open(line, O_RDONLY | O_CLOEXEC)) < 0) {
      perror(line);
      return 1;
    }
  }
  while (next_line()) {
    for (int passes = atoi(line); passes > 0; --passes) {
      const long long cpu = now(CLOCK_PROCESS_CPUTIME_ID);
      const long long start = now(CLOCK_MONOTONIC);
      for (int i = 0; i < count; ++i) {
        if (pread(files[i], buffer, sizeof buffer, 0) < 0) {
          perror("pread");
          return 1;
        }
      }
      const long long wall = now(CLOCK_MONOTONIC) - start;
      printf("%lld,%lld ", wall, now(CLOCK_PROCESS_CPUTIME_ID) - cpu);
    }
    printf("\n");
    fflush(stdout);
  }
  return 0;
}

static int tick(void) {
  while (next_line()) {
    if (fork() != 0) continue;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    FILE* procs = fopen(line, "w");
    if (procs == NULL || fprintf(procs, "%d", getpid()) < 0 || fclose(procs) != 0) {
      perror(line);
      _exit(1);
    }
    for (;;) usleep(100 * 1000);
  }
  printf("ready\n");
  fflush(stdout);
  while (getchar() != EOF) {
  }
  return 0;
}

static void wake(void) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  for (;;) usleep(100 * 1000);
}

static int trees(void) {
  enum { kChildren = 4 };
  int pids[2];
  if (!next_line() || pipe(pids) != 0) return 1;
  for (int left = atoi(line); left > 0; --left) {
    if (fork() != 0) {
      const ssize_t length = read(pids[0], line, sizeof line);
      if (length <= 0 || write(STDOUT_FILENO, line, (size_t)length) != length) return 1;
      continue;
    }
    int length = snprintf(line, sizeof line, "%d", getpid());
    for (int i = 0; i < kChildren; ++i) {
      const pid_t child = fork();
      if (child == 0) wake();
      length += snprintf(line + length, sizeof line - (size_t)length, " %d", child);
    }
    length += snprintf(line + length, sizeof line - (size_t)length, "\n");
    if (write(pids[1], line, (size_t)length) != length) return 1;
    wake();
  }
  while (getchar() != EOF) {
  }
  return 0;
}

int main(int argc, char** argv) {
  if (argc == 2 && strcmp(argv[1], "read") == 0) return read_files();
  if (argc == 2 && strcmp(argv[1], "tick") == 0) return tick();
  if (argc == 2 && strcmp(argv[1], "trees") == 0) return trees();
  fprintf(stderr, "usage: limit read|tick|trees\n");
  return 2;
}
