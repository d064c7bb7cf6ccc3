#include "kept_files.h"

#include <linux/magic.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include <algorithm>
#include <iterator>
#include <utility>

namespace hivepulse {

namespace {

/// Beyond that, and beyond a sixth of what this process may open, files are opened each time.
constexpr std::size_t kMostKept = 8192;
constexpr std::size_t kShareOfDescriptors = 6;
/// A pass takes some batches, and rare files come in every tenth.
constexpr std::uint64_t kBatchesKept = 256;

/// A file on disk can be read after it was removed; one of the kernel can't, so that nothing else is asked of it.
bool IsOfKernel(const FileDescriptor& file) {
  struct statfs system {};
  return fstatfs(file.get(), &system) == 0 && (system.f_type == SYSFS_MAGIC || system.f_type == PROC_SUPER_MAGIC);
}

bool IsRemoved(const FileDescriptor& file) {
  struct stat status {};
  return fstat(file.get(), &status) != 0 || status.st_nlink == 0;
}

}  // namespace

KeptFiles::KeptFiles() {
  rlimit limit{};
  const std::size_t descriptors =
      getrlimit(RLIMIT_NOFILE, &limit) == 0 ? static_cast<std::size_t>(limit.rlim_cur) : 1024;
  most_kept_ = std::min(kMostKept, descriptors / kShareOfDescriptors);
}

ReadResult KeptFiles::Read(const std::string& path) {
  const auto found = kept_.find(path);
  if (found != kept_.end()) {
    if (found->second.of_kernel || !IsRemoved(found->second.file)) {
      const ReadResult result = buffer_.Read(found->second.file, FileShape::kRecord);
      if (result.error == 0) {
        found->second.batch = batch_;
        return result;
      }
    }
    kept_.erase(found);
  }
  FileDescriptor file;
  if (const int error = OpenRegularFile(path.c_str(), &file)) return {{}, error};
  const ReadResult result = buffer_.Read(file, FileShape::kRecord);
  if (result.error == 0 && kept_.size() < most_kept_) {
    const bool of_kernel = IsOfKernel(file);
    kept_.emplace(path, Kept{std::move(file), of_kernel, batch_});
  }
  return result;
}

void KeptFiles::EndBatch() {
  batch_ += 1;
  if (batch_ % kBatchesKept != 0) return;
  for (auto at = kept_.begin(); at != kept_.end();) {
    at = at->second.batch + kBatchesKept < batch_ ? kept_.erase(at) : std::next(at);
  }
}

}  // namespace hivepulse
