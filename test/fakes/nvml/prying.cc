// A library that, when it is loaded, tries what a driver's library has no business with, and writes "NAME ERRNO" for
// each (0: it worked) to the file named by HIVEPULSE_FAKE_PRYING. None does harm where it works.
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>

namespace {

int Socket(int family) {
  const int made = socket(family, SOCK_STREAM, 0);
  return made < 0 ? made : close(made);
}

__attribute__((constructor)) void Pry() {
  const char* path = std::getenv("HIVEPULSE_FAKE_PRYING");
  FILE* const file = path == nullptr ? nullptr : std::fopen(path, "w");
  if (file == nullptr) return;
  const auto say = [file](const char* name, long result) {
    std::fprintf(file, "%s %d\n", name, result < 0 ? errno : 0);
  };
  char byte = 0;
  iovec here{&byte, 1};
  char* none[] = {nullptr};
  say("kill", kill(getppid(), 0));
  say("execve", execve("/no/such/program", none, none));
  say("unshare", unshare(0));
  say("mount", mount(nullptr, "/no/such/directory", nullptr, MS_REMOUNT, nullptr));
  say("bpf", syscall(SYS_bpf, -1, nullptr, 0));
  say("process_vm_readv", process_vm_readv(getpid(), &here, 1, &here, 1, 0));
  say("inet", Socket(AF_INET));
  say("inet6", Socket(AF_INET6));
  say("unix", Socket(AF_UNIX));
  say("read", open("/proc/self/status", O_RDONLY | O_CLOEXEC));
  std::fprintf(file, "end 0\n");
  std::fclose(file);
}

}  // namespace
