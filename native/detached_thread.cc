#include "detached_thread.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstdint>
#include <system_error>
#include <thread>
#include <utility>

namespace hivepulse {

bool StartDetached(const char* name, std::function<void()> work) {
  try {
    std::thread([name, work = std::move(work)] {
      prctl(PR_SET_NAME, name);
      work();
    }).detach();
    return true;
  } catch (const std::system_error&) {
    return false;
  }
}

WakeEvent::WakeEvent() : fd_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {}

WakeEvent::~WakeEvent() {
  if (fd_ >= 0) close(fd_);
}

void WakeEvent::Signal() {
  const std::uint64_t one = 1;
  while (write(fd_, &one, sizeof one) < 0 && errno == EINTR) {
  }
}

void WakeEvent::Wait(double milliseconds) {
  pollfd watched{fd_, POLLIN, 0};
  const int limit = milliseconds < 0 ? -1 : static_cast<int>(std::ceil(std::min(milliseconds, 1e9)));
  poll(&watched, 1, limit);
  std::uint64_t taken;
  while (read(fd_, &taken, sizeof taken) < 0 && errno == EINTR) {
  }
}

}  // namespace hivepulse
