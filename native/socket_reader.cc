#include "socket_reader.h"

#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

namespace hivepulse {

namespace {

/// Of one call of epoll_wait(2).
constexpr std::size_t kMostEvents = 256;

/// Number and descriptor of a socket in what epoll(7) keeps for it.
std::uint64_t Pack(int descriptor, std::int32_t id) {
  return static_cast<std::uint64_t>(static_cast<std::uint32_t>(id)) << 32 | static_cast<std::uint32_t>(descriptor);
}

int DescriptorOf(std::uint64_t packed) { return static_cast<int>(packed & 0xffffffffU); }
std::int32_t IdOf(std::uint64_t packed) { return static_cast<std::int32_t>(packed >> 32); }

}  // namespace

std::unique_ptr<SocketReader> SocketReader::Create() {
  const int epoll = epoll_create1(EPOLL_CLOEXEC);
  return epoll < 0 ? nullptr : std::unique_ptr<SocketReader>(new SocketReader(epoll));
}

SocketReader::~SocketReader() { close(epoll_); }

int SocketReader::Add(int descriptor, std::int32_t id) {
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.u64 = Pack(descriptor, id);
  return epoll_ctl(epoll_, EPOLL_CTL_ADD, descriptor, &event) == 0 ? 0 : errno;
}

void SocketReader::Remove(int descriptor) { epoll_ctl(epoll_, EPOLL_CTL_DEL, descriptor, nullptr); }

std::size_t SocketReader::Read(std::uint8_t* bytes, std::size_t capacity, SocketRead* reads, std::size_t most) const {
  std::array<epoll_event, kMostEvents> events;
  // None is asked for that there is no room to read.
  const std::size_t room = std::min({most, events.size(), capacity / kOneReadBytes});
  if (room == 0) return 0;
  const int found = epoll_wait(epoll_, events.data(), static_cast<int>(room), 0);
  std::size_t count = 0;
  std::size_t at = 0;
  for (int i = 0; i < found; i++) {
    const std::uint64_t packed = events[static_cast<std::size_t>(i)].data.u64;
    // An error is read once: by whoever ends the connection.
    const bool has_failed = (events[static_cast<std::size_t>(i)].events & EPOLLERR) != 0;
    ssize_t length = 0;
    if (!has_failed) {
      length = recv(DescriptorOf(packed), bytes + at, kOneReadBytes, MSG_DONTWAIT);
      if (length < 0 && (errno == EAGAIN || errno == EINTR)) continue;
    }
    reads[count++] = {IdOf(packed), static_cast<std::int32_t>(at),
                      static_cast<std::int32_t>(std::max<ssize_t>(length, 0))};
    at += static_cast<std::size_t>(std::max<ssize_t>(length, 0));
  }
  return count;
}

}  // namespace hivepulse
