#pragma once

#include <ctime>

namespace hivepulse {

/// CLOCK_MONOTONIC in milliseconds.
inline double MonotonicMs() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<double>(now.tv_sec) * 1e3 + static_cast<double>(now.tv_nsec) / 1e6;
}

}  // namespace hivepulse
