/*
 * A process with whatever command line its starter gave it. It does what the file named in HIVEPULSE_FAKE_PLAN says,
 * line by line: joins a cgroup and a network namespace, listens on TCP sockets, starts children. What comes in on a
 * socket is passed to a Unix socket of the test, which answers. It ends when the test's control socket does.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define PLAN "HIVEPULSE_FAKE_PLAN"
enum { maxWords = 8, maxArguments = 64, maxLine = 4096, bufferSize = 16384, backlog = 64, stackSize = 128 * 1024 };

static int control = -1;

static void say(const char* format, ...) {
  char line[maxLine];
  va_list list;
  va_start(list, format);
  const int length = vsnprintf(line, sizeof line, format, list);
  va_end(list);
  if (control >= 0 && send(control, line, (size_t)length, MSG_NOSIGNAL) < 0) _exit(1);
}

static void fail(const char* what) {
  say("failed %s: %s\n", what, strerror(errno));
  _exit(1);
}

static int connectUnix(const char* path) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  if (strlen(path) >= sizeof address.sun_path) return -1;
  strcpy(address.sun_path, path);
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd >= 0 && connect(fd, (struct sockaddr*)&address, sizeof address) == 0) return fd;
  if (fd >= 0) close(fd);
  return -1;
}

static int passOn(int from, int to) {
  char buffer[bufferSize];
  const ssize_t size = read(from, buffer, sizeof buffer);
  for (ssize_t sent = 0; sent < size;) {
    const ssize_t now = send(to, buffer + sent, (size_t)(size - sent), MSG_NOSIGNAL);
    if (now < 0) return 0;
    sent += now;
  }
  return size > 0;
}

/* One that listens: its socket, and the Unix socket of who answers. */
struct Listener {
  int fd;
  char* answers;
};
struct Connection {
  int tcp;
  const char* answers;
};

static void* relay(void* argument) {
  struct Connection* connection = argument;
  const int tcp = connection->tcp;
  const int answers = connectUnix(connection->answers);
  free(connection);
  struct pollfd both[2] = {{.fd = tcp, .events = POLLIN}, {.fd = answers, .events = POLLIN}};
  for (int open = answers >= 0; open && poll(both, 2, -1) > 0;) {
    if (both[0].revents) open = passOn(tcp, answers);
    if (open && both[1].revents) open = passOn(answers, tcp);
  }
  close(tcp);
  if (answers >= 0) close(answers);
  return NULL;
}

static void startThread(void* (*run)(void*), void* argument) {
  pthread_attr_t attributes;
  pthread_t thread;
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, stackSize);
  pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
  if ((errno = pthread_create(&thread, &attributes, run, argument)) != 0) fail("thread");
}

static void* acceptAll(void* argument) {
  const struct Listener* listener = argument;
  for (;;) {
    const int tcp = accept4(listener->fd, NULL, NULL, SOCK_CLOEXEC);
    if (tcp < 0) continue;
    struct Connection* connection = malloc(sizeof *connection);
    if (connection == NULL) _exit(1);
    *connection = (struct Connection){tcp, listener->answers};
    startThread(relay, connection);
  }
}

static struct Listener listeners[maxArguments];
static int listenerCount;

static void addListener(int fd, const char* answers) {
  listeners[listenerCount++] = (struct Listener){fd, strdup(answers)};
}

/* listen ANSWERS ADDRESS PORT FLAGS FD; ANSWERS `-`: nobody accepts; FLAGS: r SO_REUSEPORT, 6 IPv6 alone; FD > 0:
 * inherited there */
static void doListen(char** words) {
  const int isV6 = strchr(words[2], ':') != NULL;
  const int on = 1;
  const int only = strchr(words[4], '6') != NULL;
  const in_port_t port = htons((in_port_t)atoi(words[3]));
  struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = port};
  struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = port};
  int fd = socket(isV6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) fail("socket");
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (strchr(words[4], 'r') != NULL) setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
  if (isV6) setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &only, sizeof only);
  void* host = isV6 ? (void*)&v6.sin6_addr : (void*)&v4.sin_addr;
  if (inet_pton(isV6 ? AF_INET6 : AF_INET, words[2], host) != 1) fail(words[2]);
  struct sockaddr* address = isV6 ? (struct sockaddr*)&v6 : (struct sockaddr*)&v4;
  if (bind(fd, address, isV6 ? sizeof v6 : sizeof v4) != 0) fail("bind");
  if (listen(fd, backlog) != 0) fail("listen");
  const int wanted = atoi(words[5]);
  if (wanted > 0) {
    if (dup2(fd, wanted) < 0) fail("dup2");
    close(fd);
    fd = wanted;
  }
  if (strcmp(words[1], "-") != 0) addListener(fd, words[1]);
}

static void writeOwnPid(const char* path) {
  const int fd = open(path, O_WRONLY | O_CLOEXEC);
  if (fd < 0 || dprintf(fd, "%d", getpid()) < 0) fail(path);
  close(fd);
}

static void joinNamespace(const char* path) {
  const int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0 || setns(fd, CLONE_NEWNET) != 0) fail(path);
  close(fd);
}

/* Takes the place of this process by one with the arguments that stand in the plan. */
static void become(const char* plan) {
  char* arguments[maxArguments + 1] = {NULL};
  char line[maxLine];
  int count = 0;
  FILE* file = fopen(plan, "re");
  if (file == NULL) _exit(1);
  while (count < maxArguments && fgets(line, sizeof line, file) != NULL) {
    line[strcspn(line, "\n")] = '\0';
    if (strncmp(line, "arg ", 4) == 0) arguments[count++] = strdup(line + 4);
  }
  fclose(file);
  setenv(PLAN, plan, 1);
  execv("/proc/self/exe", arguments);
  _exit(1);
}

static void startChild(const char* plan) {
  const pid_t pid = fork();
  if (pid < 0) fail("fork");
  if (pid == 0) become(plan);
}

static int splitWords(char* line, char** words) {
  int count = 0;
  for (char* word = strtok(line, " \n"); word != NULL && count < maxWords; word = strtok(NULL, " \n"))
    words[count++] = word;
  return count;
}

int main(void) {
  const char* plan = getenv(PLAN);
  FILE* file = plan == NULL ? NULL : fopen(plan, "re");
  if (file == NULL) return 1;
  signal(SIGCHLD, SIG_IGN);
  char line[maxLine];
  char* words[maxWords];
  int leaves = 0;
  while (fgets(line, sizeof line, file) != NULL) {
    const int count = splitWords(line, words);
    if (count < 2) continue;
    const char* what = words[0];
    if (strcmp(what, "control") == 0 && (control = connectUnix(words[1])) < 0) return 1;
    if (strcmp(what, "cgroup") == 0) writeOwnPid(words[1]);
    if (strcmp(what, "namespace") == 0) joinNamespace(words[1]);
    if (strcmp(what, "listen") == 0 && count == 6) doListen(words);
    if (strcmp(what, "accept") == 0 && count == 3) addListener(atoi(words[2]), words[1]);
    if (strcmp(what, "child") == 0) startChild(words[1]);
    if (strcmp(what, "leaves") == 0) leaves = 1;
  }
  fclose(file);
  for (int i = 0; i < listenerCount; i += 1) startThread(acceptAll, &listeners[i]);
  say("up %d\n", getpid());
  if (leaves) return 0;
  char ignored;
  while (read(control, &ignored, 1) > 0) continue;
  _exit(0);
}
