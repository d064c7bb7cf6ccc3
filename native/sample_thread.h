#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "cgroup_reader.h"
#include "detached_thread.h"
#include "raw_pass.h"

namespace hivepulse {

/// Runs passes on a thread of its own and keeps the last finished one. Knows nothing of napi.
///
/// The thread may get stuck in a read, so nothing here but `PassSync` ever waits for a pass, and the thread is not
/// joined: it holds this object by shared_ptr and ends when it comes back to find it closed.
class SampleThread : public std::enable_shared_from_this<SampleThread> {
 public:
  /// `finished` is called on the thread after each pass, and must not block.
  static std::shared_ptr<SampleThread> Create(ReaderOptions options, std::function<void()> finished);

  /// The smallest free slot. Takes effect at the start of the next pass.
  std::size_t Add(std::string path);
  /// False: no such slot is in use.
  bool Remove(std::size_t slot);
  /// Takes effect at the start of the next pass.
  void SetStacks(IoStacks stacks);

  /// Begins a pass each `interval_ms`, the first at once. False when the system gives no thread.
  bool Start(double interval_ms);
  /// Begins one pass as soon as may be; for when no interval is set. False as above.
  bool Request();
  bool started() const { return interval_ms_.load() > 0; }

  /// Hands the last finished pass to `use`, under a lock that the thread takes only to swap two buffers. False: none
  /// yet.
  bool Latest(const std::function<void(const RawPass&)>& use);
  /// Runs a pass on the caller's thread; waits for one that is running.
  void PassSync(const std::function<void(const RawPass&)>& use);

  /// Sequence of the last pass that has begun.
  std::uint64_t begun() const { return begun_.load(); }
  /// How long the pass now running has been running; 0 when none is.
  double RunningMs() const;
  /// Slot that it is at; -1 when none is running.
  std::int64_t Reading() const { return reader_.reading(); }

  /// The thread ends after the pass it is in. May be called twice.
  void Close();

 private:
  SampleThread(ReaderOptions options, std::function<void()> finished);
  bool EnsureThread();
  void Run();
  void RunPass(RawPass* pass);

  struct Change {
    std::size_t slot;
    bool add;
    std::string path;
  };

  const std::function<void()> finished_;
  WakeEvent wake_;
  std::atomic<bool> closed_{false};
  std::atomic<bool> requested_{false};
  std::atomic<double> interval_ms_{0};
  std::atomic<std::uint64_t> begun_{0};
  std::atomic<double> running_since_ms_{0};
  bool thread_started_ = false;  // JS thread only

  std::mutex changes_mutex_;
  std::vector<Change> changes_;
  std::optional<IoStacks> stacks_;
  std::set<std::size_t> free_slots_;  // JS thread only
  std::vector<bool> used_slots_;      // JS thread only

  /// Held for a whole pass: the reader and the pass that is being filled.
  std::mutex pass_mutex_;
  CgroupReader reader_;
  RawPass filling_;

  std::mutex ready_mutex_;
  RawPass ready_;
};

}  // namespace hivepulse
