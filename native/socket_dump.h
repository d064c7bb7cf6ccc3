#pragma once

#include <string>

namespace hivepulse {

/// The TCP sockets that listen in the network namespace at `path` (/proc/<pid>/ns/net): the inode of the namespace in
/// 64 bits, then for each an `inet_diag_msg` and the id of the cgroup in which it was made in 64 bits, 0 where the
/// kernel does not say it. The kernel walks nothing but these, where /proc/<pid>/net/tcp walks every connection of the
/// machine. Another namespace is entered by a thread that ends with this. 0, or the errno. May block.
int DumpListening(const std::string& path, std::string* bytes);

}  // namespace hivepulse
