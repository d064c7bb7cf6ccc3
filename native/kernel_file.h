#pragma once

#include <cstddef>
#include <string_view>
#include <utility>
#include <vector>

namespace hivepulse {

/// Owns a descriptor.
class FileDescriptor {
 public:
  FileDescriptor() = default;
  explicit FileDescriptor(int fd) : fd_(fd) {}
  FileDescriptor(FileDescriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  FileDescriptor& operator=(FileDescriptor&& other) noexcept {
    if (this != &other) {
      Close();
      fd_ = std::exchange(other.fd_, -1);
    }
    return *this;
  }
  FileDescriptor(const FileDescriptor&) = delete;
  FileDescriptor& operator=(const FileDescriptor&) = delete;
  ~FileDescriptor() { Close(); }

  int get() const { return fd_; }
  /// Gives the descriptor to the caller, who closes it.
  int Release() { return std::exchange(fd_, -1); }
  explicit operator bool() const { return fd_ >= 0; }
  void Close();

 private:
  int fd_ = -1;
};

/// Opens `name` below `directory` (a descriptor or AT_FDCWD). 0, or the errno.
int OpenForReading(int directory, const char* name, FileDescriptor* file);

/// Opens a file that another user may have put there. ELOOP: a symbolic link; EISDIR: a directory; ENOTSUP: anything
/// else that is not a regular file. Opening never waits for a writer or a device.
int OpenRegularFile(const char* path, FileDescriptor* file);

/// How a kernel file hands out its text (fs/seq_file.c).
enum class FileShape {
  /// One record: whatever the buffer can hold comes in one read, generated at one moment.
  kRecord,
  /// A list of short records (cgroup.procs): comes by the page.
  kList,
};

struct ReadResult {
  /// Valid until the next read into the same buffer.
  std::string_view text;
  /// 0, or the errno.
  int error;
};

/// One buffer for all reads of one thread; it grows to the longest file seen.
class ReadBuffer {
 public:
  ReadBuffer() : bytes_(16 * 1024) {}

  /// Reads a file from its start by pread. EFBIG where it does not end.
  ReadResult Read(const FileDescriptor& file, FileShape shape);

 private:
  std::vector<char> bytes_;
};

}  // namespace hivepulse
