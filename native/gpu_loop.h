// The life of one GPU reader: load, initialize, pass after pass, and again after a failure. Writes lines of JSON,
// the same on a thread of Node's process (gpu_thread) and in a process of its own (gpu_helper_main).
//
//   {"type":"unavailable","reason":...}       no usable library; the loop ends
//   {"type":"init"}                           nvmlInit and the first pass begin; may take seconds for each cold GPU
//   {"type":"failed","call":...,"code":...,"replaced":...}
//                                             the driver is gone; it is tried again after a pause. replaced: the
//                                             library's file is another by now, which only another process can open
//   {"type":"alive"}                          within a pass that takes its time
//   {"type":"report",...}                     a pass
//   {"type":"xid","uuid":...,"xid":...}       an event
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <string>
#include <vector>

#include "detached_thread.h"

namespace nvml {

struct Report;

struct LoopOptions {
  /// Where the library may be, in order. Without a directory: where the loader finds it. `.so.1` belongs to the driver.
  std::vector<std::string> library_paths{"libnvidia-ml.so.1"};
  std::chrono::milliseconds interval{1000};
  std::chrono::milliseconds slow_interval{5000};  ///< for what is expensive or seldom changes
  std::chrono::milliseconds retry_first{1000};    ///< pause after a failed nvmlInit; doubles
  std::chrono::milliseconds retry_last{30000};
};

class GpuLoop {
 public:
  using Emit = std::function<void(std::string line)>;

  GpuLoop(LoopOptions options, Emit emit);

  /// Runs until Stop, or until there is no library. Lets go of the driver before it returns.
  void Run();
  /// From any thread. Run returns as soon as the driver lets it.
  void Stop();
  bool stopped() const { return stopped_; }

 private:
  /// Waits; false when stopped.
  bool Wait(std::chrono::milliseconds time);

  const LoopOptions options_;
  const Emit emit_;
  hivepulse::WakeEvent wake_;
  std::atomic<bool> stopped_{false};
};

/// The JSON line of a pass (without its Xid events, which are lines of their own).
std::string ToJson(const Report& report, const std::string& library_path, double duration_ms);

}  // namespace nvml
