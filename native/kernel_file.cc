#include "kernel_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

namespace hivepulse {

namespace {

/// Far above any kernel file; a file that does not end (a device under a wrong path) must not take all memory.
constexpr std::size_t kLongest = 64 * 1024 * 1024;

/// A list comes by the page, cut at a record: when a read gives less than a page by more than a record, it was the
/// last. Pages are at least this long, a pid's line at most 11.
constexpr std::size_t kSurelyLast = 4096 - 64;

}  // namespace

void FileDescriptor::Close() {
  if (fd_ >= 0) close(std::exchange(fd_, -1));
}

namespace {

int Open(int directory, const char* name, int flags, FileDescriptor* file) {
  int fd;
  do {
    fd = openat(directory, name, O_RDONLY | O_CLOEXEC | O_NOCTTY | flags);
  } while (fd < 0 && errno == EINTR);
  if (fd < 0) return errno;
  *file = FileDescriptor(fd);
  return 0;
}

}  // namespace

int OpenForReading(int directory, const char* name, FileDescriptor* file) { return Open(directory, name, 0, file); }

int OpenRegularFile(const char* path, FileDescriptor* file) {
  if (const int error = Open(AT_FDCWD, path, O_NOFOLLOW | O_NONBLOCK, file)) return error;
  struct stat status {};
  if (fstat(file->get(), &status) != 0) return errno;
  if (S_ISREG(status.st_mode)) return 0;
  return S_ISDIR(status.st_mode) ? EISDIR : ENOTSUP;
}

ReadResult ReadBuffer::Read(const FileDescriptor& file, FileShape shape) {
  std::size_t length = 0;
  for (;;) {
    const std::size_t room = bytes_.size() - length;
    const ssize_t got = pread(file.get(), bytes_.data() + length, room, static_cast<off_t>(length));
    if (got < 0) {
      if (errno == EINTR) continue;
      return {{}, errno};
    }
    const auto count = static_cast<std::size_t>(got);
    length += count;
    if (count < room) {
      if (count == 0 || shape == FileShape::kRecord || count < kSurelyLast) return {{bytes_.data(), length}, 0};
      continue;
    }
    if (bytes_.size() >= kLongest) return {{}, EFBIG};
    bytes_.resize(bytes_.size() * 2);
    // Read again whole: two halves would be of two moments.
    if (shape == FileShape::kRecord) length = 0;
  }
}

}  // namespace hivepulse
