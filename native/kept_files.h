#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <unordered_map>

#include "kernel_file.h"

namespace hivepulse {

/// Reads files by descriptors that are kept from one batch to the next. One thread. Of a file of the kernel that was
/// removed nothing old is read: the descriptor fails (ENODEV of sysfs, ESRCH or ENOENT of /proc, whatever has the pid
/// by now), and the path is opened anew. Keeping files of sysfs open holds up neither sleep nor removal of a device.
class KeptFiles {
 public:
  KeptFiles();

  /// The whole text, one record; valid until the next call.
  ReadResult Read(const std::string& path);
  /// Closes what was not read for some batches.
  void EndBatch();

 private:
  struct Kept {
    FileDescriptor file;
    bool of_kernel = false;
    std::uint64_t batch = 0;
  };

  std::unordered_map<std::string, Kept> kept_;
  std::size_t most_kept_;
  std::uint64_t batch_ = 0;
  ReadBuffer buffer_;
};

}  // namespace hivepulse
