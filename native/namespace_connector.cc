#include "namespace_connector.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <utility>

#include "clock.h"

namespace hivepulse {

namespace {

/// Moves the calling thread. 0, or the errno.
int EnterNamespace(const std::string& path, std::uint64_t inode) {
  const FileDescriptor file(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  // EACCES: no right to look at the process (ptrace(2)).
  if (!file) return errno == EACCES ? EPERM : errno;
  struct stat status {};
  if (fstat(file.get(), &status) != 0) return errno;
  if (status.st_ino != inode) return ESTALE;
  return setns(file.get(), CLONE_NEWNET) == 0 ? 0 : errno;
}

struct SocketAddress {
  sockaddr_storage storage{};
  socklen_t length = 0;
};

bool ParseAddress(const std::string& host, std::uint16_t port, SocketAddress* address) {
  auto* v4 = reinterpret_cast<sockaddr_in*>(&address->storage);
  if (inet_pton(AF_INET, host.c_str(), &v4->sin_addr) == 1) {
    v4->sin_family = AF_INET;
    v4->sin_port = htons(port);
    address->length = sizeof(sockaddr_in);
    return true;
  }
  auto* v6 = reinterpret_cast<sockaddr_in6*>(&address->storage);
  if (inet_pton(AF_INET6, host.c_str(), &v6->sin6_addr) != 1) return false;
  v6->sin6_family = AF_INET6;
  v6->sin6_port = htons(port);
  address->length = sizeof(sockaddr_in6);
  return true;
}

/// Until the socket is connected, `wake` is signalled or the time is over. 0, or the errno.
int AwaitConnection(int socket, int wake, double until_ms) {
  for (;;) {
    const double left = until_ms - MonotonicMs();
    if (left <= 0) return ETIMEDOUT;
    pollfd watched[] = {{socket, POLLOUT, 0}, {wake, POLLIN, 0}};
    const int ready = poll(watched, 2, static_cast<int>(std::ceil(std::min(left, 1e6))));
    if (ready < 0 && errno != EINTR) return errno;
    if (ready <= 0) continue;
    if (watched[1].revents != 0) return ECANCELED;
    int error = 0;
    socklen_t length = sizeof error;
    return getsockopt(socket, SOL_SOCKET, SO_ERROR, &error, &length) == 0 ? error : errno;
  }
}

/// 0 and a connected socket, or the errno.
int ConnectTo(const NamespaceTarget& target, int wake, FileDescriptor* connected) {
  const double until_ms = MonotonicMs() + target.timeout_ms;
  SocketAddress address;
  if (!ParseAddress(target.host, target.port, &address)) return EINVAL;
  if (const int error = EnterNamespace(target.path, target.inode); error != 0) return error;
  FileDescriptor made(socket(address.storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_TCP));
  if (!made) return errno;
  if (connect(made.get(), reinterpret_cast<const sockaddr*>(&address.storage), address.length) != 0) {
    if (errno != EINPROGRESS) return errno;
    if (const int error = AwaitConnection(made.get(), wake, until_ms); error != 0) return error;
  }
  *connected = std::move(made);
  return 0;
}

}  // namespace

std::shared_ptr<NamespaceConnector> NamespaceConnector::Create(std::function<void()> finished) {
  return std::shared_ptr<NamespaceConnector>(new NamespaceConnector(std::move(finished)));
}

std::uint32_t NamespaceConnector::Connect(NamespaceTarget target) {
  const auto wake = std::make_shared<WakeEvent>();
  if (!wake->valid()) return 0;
  std::uint32_t id = 0;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (closed_ || running_.size() >= kMaxThreads) return 0;
    do {
      id = ++last_id_;
    } while (id == 0 || running_.count(id) > 0);
    running_.emplace(id, wake);
  }
  const bool started = StartDetached("hive-netns", [self = shared_from_this(), id, wake, target = std::move(target)] {
    NamespaceConnection connection;
    connection.id = id;
    connection.error = ConnectTo(target, wake->fd(), &connection.socket);
    self->Finish(std::move(connection));
  });
  if (started) return id;
  const std::lock_guard<std::mutex> lock(mutex_);
  running_.erase(id);
  return 0;
}

void NamespaceConnector::Finish(NamespaceConnection connection) {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    running_.erase(connection.id);
    if (closed_) return;
    done_.push_back(std::move(connection));
  }
  finished_();
}

void NamespaceConnector::Cancel(std::uint32_t id) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const auto found = running_.find(id);
  if (found != running_.end()) found->second->Signal();
}

std::vector<NamespaceConnection> NamespaceConnector::Take() {
  const std::lock_guard<std::mutex> lock(mutex_);
  return std::exchange(done_, {});
}

void NamespaceConnector::Close() {
  const std::lock_guard<std::mutex> lock(mutex_);
  closed_ = true;
  for (const auto& [id, wake] : running_) wake->Signal();
  done_.clear();
}

}  // namespace hivepulse
