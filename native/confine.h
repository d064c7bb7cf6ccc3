#pragma once

namespace hivepulse {

/// Takes from this process, for good, what a reader of the GPU driver has no use for: setuid programs (no-new-privs),
/// every capability but CAP_SYS_ADMIN (by which the driver judges who may ask about processes of others), and, by a
/// seccomp filter, the calls with which that one could be used against the host: mounts, namespaces, modules, bpf,
/// ptrace, signals to others, new programs, the network. They fail with EPERM. Before the first thread is started. What
/// a kernel doesn't offer is left out: the reader works either way.
void Confine();

}  // namespace hivepulse
