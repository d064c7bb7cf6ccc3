// hivepulse-gpu: the GPU reader as a process of its own, so that what goes wrong inside the driver's library (a crash,
// a call that never returns, a process that can't even be killed) costs this process and not the hive.
//
//   hivepulse-gpu [--interval-ms N] [--slow-interval-ms N] [--retry-ms N] [--library PATH]...
//
// Lines of JSON on standard output (gpu_loop.h). Ends on the line `close`, or when standard input ends.
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "confine.h"
#include "detached_thread.h"
#include "gpu_loop.h"

namespace {

[[noreturn]] void Usage(const char* argument) {
  std::fprintf(stderr, "hivepulse-gpu: bad argument %s\n", argument);
  std::exit(2);
}

std::chrono::milliseconds Milliseconds(const char* text) {
  char* end = nullptr;
  const long value = std::strtol(text, &end, 10);
  if (*text == '\0' || *end != '\0' || value < 1 || value > 3'600'000) Usage(text);
  return std::chrono::milliseconds(value);
}

nvml::LoopOptions Parse(int argc, char** argv) {
  nvml::LoopOptions options;
  std::vector<std::string> paths;
  for (int i = 1; i < argc; i += 2) {
    const std::string name = argv[i];
    if (i + 1 >= argc) Usage(argv[i]);
    if (name == "--interval-ms") {
      options.interval = Milliseconds(argv[i + 1]);
    } else if (name == "--slow-interval-ms") {
      options.slow_interval = Milliseconds(argv[i + 1]);
    } else if (name == "--retry-ms") {
      options.retry_first = Milliseconds(argv[i + 1]);
    } else if (name == "--library") {
      paths.emplace_back(argv[i + 1]);
    } else {
      Usage(argv[i]);
    }
  }
  if (!paths.empty()) options.library_paths = std::move(paths);
  return options;
}

void WriteLine(int descriptor, std::string line) {
  line += '\n';
  size_t done = 0;
  while (done < line.size()) {
    const ssize_t wrote = write(descriptor, line.data() + done, line.size() - done);
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote <= 0) _exit(0);  // nobody reads any more
    done += static_cast<size_t>(wrote);
  }
}

/// Returns when standard input says `close`, or ends.
void ReadCommands() {
  std::string pending;
  char buffer[256];
  for (;;) {
    const ssize_t got = read(STDIN_FILENO, buffer, sizeof(buffer));
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return;
    pending.append(buffer, static_cast<size_t>(got));
    for (size_t end = pending.find('\n'); end != std::string::npos; end = pending.find('\n')) {
      if (pending.compare(0, end, "close") == 0) return;
      pending.erase(0, end + 1);
    }
    if (pending.size() > 4096) pending.clear();
  }
}

}  // namespace

int main(int argc, char** argv) {
  const nvml::LoopOptions options = Parse(argc, argv);
  // Libraries print to standard output (CUDA's stub does); the lines get a descriptor that they don't know.
  const int lines = dup(STDOUT_FILENO);
  if (lines < 0 || dup2(STDERR_FILENO, STDOUT_FILENO) < 0) {
    std::fprintf(stderr, "hivepulse-gpu: standard output or standard error is closed: %s\n", std::strerror(errno));
    return 2;
  }

  hivepulse::Confine();
  // Never destroyed: the thread that is in the driver may outlive main.
  auto* loop = new nvml::GpuLoop(options, [lines](std::string line) { WriteLine(lines, std::move(line)); });
  auto* ended = new hivepulse::WakeEvent;
  const bool started = hivepulse::StartDetached("reader", [loop, ended] {
    loop->Run();
    // Without a library there is nothing to wait for.
    if (!loop->stopped()) _exit(0);
    ended->Signal();
  });
  if (!started || !ended->valid()) {
    std::fprintf(stderr, "hivepulse-gpu: no thread or descriptor to be had\n");
    return 2;
  }
  ReadCommands();
  loop->Stop();
  ended->Wait(500);  // lets go of the driver in good order; a call stuck in it is not waited for
  // Not through exit(): the driver's library has destructors, and a thread may still be in it.
  _exit(0);
}
