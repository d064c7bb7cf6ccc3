#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "detached_thread.h"
#include "kernel_file.h"

namespace hivepulse {

/// A TCP server in another network namespace.
struct NamespaceTarget {
  /// `/proc/<pid>/ns/net`.
  std::string path;
  /// Inode that the namespace must have: a pid may have become another process's.
  std::uint64_t inode = 0;
  /// An IPv4 or IPv6 address.
  std::string host;
  std::uint16_t port = 0;
  double timeout_ms = 0;
};

struct NamespaceConnection {
  std::uint32_t id = 0;
  /// 0, or the errno. ESTALE: the namespace is another; EPERM: there is no right to enter it.
  int error = 0;
  FileDescriptor socket;
};

/// Opens TCP connections inside of other network namespaces. Each has a thread of its own, which enters the namespace,
/// never leaves it again, and ends with the connection made. Knows nothing of napi. Nobody waits for a thread: one that
/// hangs in the kernel keeps its place among `kMaxThreads`, and nothing else.
class NamespaceConnector : public std::enable_shared_from_this<NamespaceConnector> {
 public:
  static constexpr std::size_t kMaxThreads = 8;

  /// `finished` is called on a thread at its end, and must not block.
  static std::shared_ptr<NamespaceConnector> Create(std::function<void()> finished);

  /// The connection's id; 0 where all threads are taken, or the system gives none.
  std::uint32_t Connect(NamespaceTarget target);
  /// Its result is not wanted any more: its thread ends soon, unless it hangs. It is taken all the same.
  void Cancel(std::uint32_t id);
  /// Those whose thread has ended since the last call.
  std::vector<NamespaceConnection> Take();
  void Close();

 private:
  explicit NamespaceConnector(std::function<void()> finished) : finished_(std::move(finished)) {}
  void Finish(NamespaceConnection connection);

  const std::function<void()> finished_;
  std::mutex mutex_;
  bool closed_ = false;
  std::uint32_t last_id_ = 0;
  /// What wakes each thread that runs.
  std::map<std::uint32_t, std::shared_ptr<WakeEvent>> running_;
  std::vector<NamespaceConnection> done_;
};

}  // namespace hivepulse
