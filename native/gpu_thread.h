#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "gpu_loop.h"

namespace hivepulse {

/// Runs a GPU loop on a thread of its own and keeps its lines until they are taken. Knows nothing of napi.
///
/// A call into the driver may never return. So nothing here waits for the thread, and it is not joined: it holds this
/// object by shared_ptr, and ends when the driver lets it go.
class GpuThread : public std::enable_shared_from_this<GpuThread> {
 public:
  explicit GpuThread(nvml::LoopOptions options);

  /// False when the system gives no thread.
  bool Start();
  /// The lines since the last call, oldest first. Of reports only the newest is kept.
  std::vector<std::string> Take();
  /// The loop has ended: nothing more will come, and the driver has been let go.
  bool ended() const { return ended_; }
  /// The thread ends as soon as the driver lets it. May be called twice.
  void Close();

 private:
  void Add(std::string line);

  std::mutex mutex_;
  std::vector<std::string> lines_;
  std::atomic<bool> ended_{false};
  nvml::GpuLoop loop_;
};

}  // namespace hivepulse
