#pragma once

#include <functional>
#include <string>

namespace hivepulse {

/// Runs `work` on a thread that nobody waits for: it may be stuck in the kernel, and a join would hang with it. What it
/// touches it must own (shared_ptr). False when the system gives no thread.
bool StartDetached(const char* name, std::function<void()> work);

/// Lets one thread wake another that waits with a time limit. An eventfd and poll, since a condition variable's wait on
/// the monotonic clock is not to be had on older C libraries, and on the wall clock a clock set back would stop it.
class WakeEvent {
 public:
  WakeEvent();
  ~WakeEvent();
  WakeEvent(const WakeEvent&) = delete;
  WakeEvent& operator=(const WakeEvent&) = delete;

  /// False: no descriptor was to be had; do not start a thread on it.
  bool valid() const { return fd_ >= 0; }
  /// For poll: readable once signalled.
  int fd() const { return fd_; }
  /// Any thread; never blocks. Kept until taken by `Wait`.
  void Signal();
  /// Waits for a signal, at most `milliseconds` (negative: without limit).
  void Wait(double milliseconds);

 private:
  int fd_;
};

}  // namespace hivepulse
