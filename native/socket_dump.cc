#include "socket_dump.h"

#include <fcntl.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstring>
#include <system_error>
#include <thread>
#include <utility>

#include "kernel_file.h"

namespace hivepulse {

namespace {

constexpr std::size_t kReceived = 32 * 1024;
/// As `maxTableBytes` of lib/workers/listening.ts.
constexpr std::size_t kMaxBytes = 256 * 1024;
/// INET_DIAG_CGROUP_ID of linux/inet_diag.h, which older headers lack.
constexpr std::uint16_t kCgroupId = 21;

int OpenNetlink(FileDescriptor* made) {
  FileDescriptor netlink(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG));
  if (!netlink) return errno;
  *made = std::move(netlink);
  return 0;
}

/// A netlink socket of the namespace; of the calling thread's own where it is that.
int OpenInside(const FileDescriptor& name_space, bool is_own, FileDescriptor* made) {
  if (is_own) return OpenNetlink(made);
  int error = 0;
  try {
    std::thread([&] { error = setns(name_space.get(), CLONE_NEWNET) == 0 ? OpenNetlink(made) : errno; }).join();
  } catch (const std::system_error&) {
    return EAGAIN;
  }
  return error;
}

struct Request {
  nlmsghdr header;
  inet_diag_req_v2 body;
};

int Send(int netlink, int family) {
  Request request{};
  request.header.nlmsg_len = sizeof request;
  request.header.nlmsg_type = SOCK_DIAG_BY_FAMILY;
  request.header.nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
  request.body.sdiag_family = static_cast<std::uint8_t>(family);
  request.body.sdiag_protocol = IPPROTO_TCP;
  request.body.idiag_states = 1U << TCP_LISTEN;
  return send(netlink, &request, sizeof request, 0) == static_cast<ssize_t>(sizeof request) ? 0 : errno;
}

/// The cgroup in which a socket was made, of the attributes behind its message; 0 where the kernel does not say it.
std::uint64_t CgroupOf(const char* attributes, std::size_t length) {
  std::uint64_t id = 0;
  while (length >= sizeof(rtattr)) {
    rtattr attribute{};
    std::memcpy(&attribute, attributes, sizeof attribute);
    if (attribute.rta_len < RTA_LENGTH(0) || attribute.rta_len > length) break;
    if (attribute.rta_type == kCgroupId && attribute.rta_len == RTA_LENGTH(sizeof id))
      std::memcpy(&id, attributes + RTA_LENGTH(0), sizeof id);
    const std::size_t used = RTA_ALIGN(attribute.rta_len);
    if (used >= length) break;
    attributes += used;
    length -= used;
  }
  return id;
}

/// Adds what one datagram holds. 0 with `*ended` where the dump is over, or the errno.
int Append(const char* received, std::size_t length, std::string* bytes, bool* ended) {
  while (length >= sizeof(nlmsghdr)) {
    nlmsghdr header{};
    std::memcpy(&header, received, sizeof header);
    if (header.nlmsg_len < sizeof header || header.nlmsg_len > length) return EBADMSG;
    const char* payload = received + NLMSG_HDRLEN;
    const std::size_t size = header.nlmsg_len - NLMSG_HDRLEN;
    if (header.nlmsg_type == NLMSG_DONE || header.nlmsg_type == NLMSG_ERROR) {
      int error = 0;
      if (size >= sizeof error) std::memcpy(&error, payload, sizeof error);
      *ended = true;
      return -error;
    }
    if (header.nlmsg_type == SOCK_DIAG_BY_FAMILY) {
      if (size < sizeof(inet_diag_msg)) return EBADMSG;
      const std::uint64_t cgroup = CgroupOf(payload + sizeof(inet_diag_msg), size - sizeof(inet_diag_msg));
      if (bytes->size() + sizeof(inet_diag_msg) + sizeof cgroup > kMaxBytes) return EFBIG;
      bytes->append(payload, sizeof(inet_diag_msg));
      bytes->append(reinterpret_cast<const char*>(&cgroup), sizeof cgroup);
    }
    const std::size_t used = NLMSG_ALIGN(header.nlmsg_len);
    if (used >= length) break;
    received += used;
    length -= used;
  }
  return 0;
}

int Dump(int netlink, int family, std::string* bytes) {
  if (const int error = Send(netlink, family); error != 0) return error;
  std::string received(kReceived, '\0');
  bool ended = false;
  while (!ended) {
    const ssize_t got = recv(netlink, received.data(), received.size(), 0);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return got < 0 ? errno : EBADMSG;
    if (const int error = Append(received.data(), static_cast<std::size_t>(got), bytes, &ended); error != 0)
      return error;
  }
  return 0;
}

}  // namespace

int DumpListening(const std::string& path, std::string* bytes) {
  const FileDescriptor name_space(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!name_space) return errno;
  struct stat wanted {};
  struct stat own {};
  if (fstat(name_space.get(), &wanted) != 0) return errno;
  const bool is_own = stat("/proc/thread-self/ns/net", &own) == 0 && own.st_ino == wanted.st_ino;
  FileDescriptor netlink;
  if (const int error = OpenInside(name_space, is_own, &netlink); error != 0) return error;
  const std::uint64_t inode = wanted.st_ino;
  bytes->assign(reinterpret_cast<const char*>(&inode), sizeof inode);
  for (const int family : {AF_INET, AF_INET6})
    if (const int error = Dump(netlink.get(), family, bytes); error != 0) return error;
  return 0;
}

}  // namespace hivepulse
