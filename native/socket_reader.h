#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

namespace hivepulse {

/// What one socket gave: as JavaScript reads it, three numbers in a row.
struct SocketRead {
  std::int32_t id;
  /// Where its bytes begin.
  std::int32_t at;
  /// 0: it has ended or failed, which is left to be read.
  std::int32_t length;
};

/// Reads what has come on many sockets in one call, instead of in one turn of an event loop for each. Nothing of it
/// blocks.
///
/// The sockets stay those of the caller, who reads them by no other way while they are here. One that is closed leaves
/// by itself (epoll(7): with its last descriptor), so its number can go to another socket at once.
class SocketReader {
 public:
  /// Null with errno where the kernel gives no epoll instance.
  static std::unique_ptr<SocketReader> Create();
  ~SocketReader();

  SocketReader(const SocketReader&) = delete;
  SocketReader& operator=(const SocketReader&) = delete;

  /// Gives 0 or an errno.
  int Add(int descriptor, std::int32_t id);
  void Remove(int descriptor);

  /// Reads each socket once that has something: at most `most`, and as many as `capacity` has `kOneReadBytes`. What
  /// was left out comes first the next time. Gives how many of `reads` are filled.
  std::size_t Read(std::uint8_t* bytes, std::size_t capacity, SocketRead* reads, std::size_t most) const;

  /// Most of one socket at a time, as libuv has it.
  static constexpr std::size_t kOneReadBytes = 65536;

 private:
  explicit SocketReader(int epoll) : epoll_(epoll) {}

  int epoll_;
};

}  // namespace hivepulse
