#include "gpu_thread.h"

#include <utility>

#include "detached_thread.h"

namespace hivepulse {
namespace {

bool IsReport(const std::string& line) { return line.rfind("{\"type\":\"report\"", 0) == 0; }

/// More than come between two passes in any ordinary case; a reader that is never asked must not grow.
constexpr std::size_t kMaxLines = 256;

}  // namespace

GpuThread::GpuThread(nvml::LoopOptions options)
    : loop_(std::move(options), [this](std::string line) { Add(std::move(line)); }) {}

bool GpuThread::Start() {
  return StartDetached("hivepulse-gpu", [self = shared_from_this()] {
    self->loop_.Run();
    self->ended_ = true;
  });
}

void GpuThread::Add(std::string line) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (IsReport(line)) {
    // The newest report replaces the one before it, wherever events stand between them.
    for (auto old = lines_.begin(); old != lines_.end(); ++old) {
      if (!IsReport(*old)) continue;
      lines_.erase(old);
      break;
    }
  }
  if (lines_.size() >= kMaxLines) lines_.erase(lines_.begin());
  lines_.push_back(std::move(line));
}

std::vector<std::string> GpuThread::Take() {
  const std::lock_guard<std::mutex> lock(mutex_);
  return std::exchange(lines_, {});
}

void GpuThread::Close() { loop_.Stop(); }

}  // namespace hivepulse
