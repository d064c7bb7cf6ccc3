#include "sample_thread.h"

#include <algorithm>
#include <utility>

#include "clock.h"

namespace hivepulse {

std::shared_ptr<SampleThread> SampleThread::Create(ReaderOptions options, std::function<void()> finished) {
  return std::shared_ptr<SampleThread>(new SampleThread(std::move(options), std::move(finished)));
}

SampleThread::SampleThread(ReaderOptions options, std::function<void()> finished)
    : finished_(std::move(finished)), reader_(std::move(options)) {}

std::size_t SampleThread::Add(std::string path) {
  std::size_t slot = used_slots_.size();
  if (free_slots_.empty()) {
    used_slots_.push_back(true);
  } else {
    slot = *free_slots_.begin();
    free_slots_.erase(free_slots_.begin());
    used_slots_[slot] = true;
  }
  const std::lock_guard<std::mutex> lock(changes_mutex_);
  changes_.push_back({slot, true, std::move(path)});
  return slot;
}

bool SampleThread::Remove(std::size_t slot) {
  if (slot >= used_slots_.size() || !used_slots_[slot]) return false;
  used_slots_[slot] = false;
  free_slots_.insert(slot);
  const std::lock_guard<std::mutex> lock(changes_mutex_);
  changes_.push_back({slot, false, {}});
  return true;
}

void SampleThread::SetStacks(IoStacks stacks) {
  const std::lock_guard<std::mutex> lock(changes_mutex_);
  stacks_ = std::move(stacks);
}

bool SampleThread::Start(double interval_ms) {
  interval_ms_.store(std::max(interval_ms, 1.0));
  if (EnsureThread()) {
    wake_.Signal();
    return true;
  }
  interval_ms_.store(0);
  return false;
}

bool SampleThread::Request() {
  requested_.store(true);
  if (!EnsureThread()) return false;
  wake_.Signal();
  return true;
}

bool SampleThread::EnsureThread() {
  if (thread_started_) return true;
  if (!wake_.valid()) return false;
  thread_started_ = StartDetached("hive-cgroups", [self = shared_from_this()] { self->Run(); });
  return thread_started_;
}

void SampleThread::Run() {
  double due = 0;
  while (!closed_.load()) {
    const double interval = interval_ms_.load();
    const double now = MonotonicMs();
    const bool periodic = interval > 0 && now >= due;
    if (!requested_.exchange(false) && !periodic) {
      wake_.Wait(interval > 0 ? due - now : -1);
      continue;
    }
    // Passes keep to the grid of the interval; after one that took longer the grid starts anew.
    if (periodic) due = due > 0 && now - due < interval ? due + interval : now + interval;
    {
      const std::lock_guard<std::mutex> lock(pass_mutex_);
      RunPass(&filling_);
      const std::lock_guard<std::mutex> ready_lock(ready_mutex_);
      std::swap(filling_, ready_);
    }
    if (!closed_.load()) finished_();
  }
}

/// With pass_mutex_ held.
void SampleThread::RunPass(RawPass* pass) {
  std::vector<Change> changes;
  std::optional<IoStacks> stacks;
  {
    // Changes and the pass's number are taken together: a pass that `begun` names has seen all changes before it.
    const std::lock_guard<std::mutex> lock(changes_mutex_);
    changes.swap(changes_);
    stacks.swap(stacks_);
    pass->sequence = begun_.fetch_add(1) + 1;
  }
  running_since_ms_.store(MonotonicMs());
  if (stacks) reader_.SetStacks(std::move(*stacks));
  for (Change& change : changes) {
    if (change.add) {
      reader_.Add(change.slot, std::move(change.path));
    } else {
      reader_.Remove(change.slot);
    }
  }
  reader_.Pass(pass);
  running_since_ms_.store(0);
}

bool SampleThread::Latest(const std::function<void(const RawPass&)>& use) {
  const std::lock_guard<std::mutex> lock(ready_mutex_);
  if (ready_.sequence == 0) return false;
  use(ready_);
  return true;
}

void SampleThread::PassSync(const std::function<void(const RawPass&)>& use) {
  const std::lock_guard<std::mutex> lock(pass_mutex_);
  RunPass(&filling_);
  use(filling_);
}

double SampleThread::RunningMs() const {
  const double since = running_since_ms_.load();
  return since > 0 ? MonotonicMs() - since : 0;
}

void SampleThread::Close() {
  closed_.store(true);
  if (wake_.valid()) wake_.Signal();
}

}  // namespace hivepulse
