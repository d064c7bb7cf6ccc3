#include "descriptor_limit.h"

#include <sys/resource.h>
#include <unistd.h>

#include <mutex>

namespace hivepulse {

namespace {

std::uint64_t FindOriginal() {
  rlimit own{};
  if (getrlimit(RLIMIT_NOFILE, &own) != 0) return 1024;
  if (own.rlim_cur < own.rlim_max) return own.rlim_cur;
  rlimit parent{};
  if (prlimit(getppid(), RLIMIT_NOFILE, nullptr, &parent) == 0 && parent.rlim_max == own.rlim_max) {
    return parent.rlim_cur;
  }
  return own.rlim_cur;
}

}  // namespace

std::uint64_t OriginalDescriptorLimit() {
  // The limit belongs to the process, not to an environment: found once, before anything of ours raises it.
  static std::once_flag once;
  static std::uint64_t original;
  std::call_once(once, [] { original = FindOriginal(); });
  return original;
}

std::uint64_t RaiseDescriptorLimit() {
  OriginalDescriptorLimit();
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return 1024;
  if (limit.rlim_cur < limit.rlim_max) {
    const rlimit raised{limit.rlim_max, limit.rlim_max};
    if (setrlimit(RLIMIT_NOFILE, &raised) == 0) return raised.rlim_cur;
  }
  return limit.rlim_cur;
}

}  // namespace hivepulse
