#include "confine.h"

#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <vector>

#if defined(__x86_64__)
#define HIVEPULSE_AUDIT_ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define HIVEPULSE_AUDIT_ARCH AUDIT_ARCH_AARCH64
#endif

// LeakSanitizer stops the threads of its own process with ptrace.
#if defined(__SANITIZE_ADDRESS__)
#define HIVEPULSE_NEEDS_PTRACE
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define HIVEPULSE_NEEDS_PTRACE
#endif
#endif

namespace hivepulse {
namespace {

void DropCapabilities() {
  prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
  // Ends with the first capability that this kernel doesn't know.
  for (unsigned long capability = 0; prctl(PR_CAPBSET_READ, capability, 0, 0, 0) >= 0; capability++) {
    if (capability != CAP_SYS_ADMIN) prctl(PR_CAPBSET_DROP, capability, 0, 0, 0);
  }
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3]{};
  if (syscall(SYS_capget, &header, data) != 0) return;
  const uint32_t kept = data[CAP_TO_INDEX(CAP_SYS_ADMIN)].permitted & CAP_TO_MASK(CAP_SYS_ADMIN);
  for (auto& word : data) word = {};
  data[CAP_TO_INDEX(CAP_SYS_ADMIN)].permitted = kept;
  data[CAP_TO_INDEX(CAP_SYS_ADMIN)].effective = kept;
  syscall(SYS_capset, &header, data);
}

#ifdef HIVEPULSE_AUDIT_ARCH
/// Not every architecture and C library knows each of them.
constexpr uint32_t kDenied[] = {
#ifndef HIVEPULSE_NEEDS_PTRACE
    SYS_ptrace,
#endif
    SYS_process_vm_readv,
    SYS_process_vm_writev,
    SYS_kill,
    SYS_execve,
    SYS_execveat,
    SYS_bpf,
    SYS_perf_event_open,
    SYS_init_module,
    SYS_finit_module,
    SYS_delete_module,
    SYS_kexec_load,
    SYS_mount,
    SYS_umount2,
    SYS_pivot_root,
    SYS_chroot,
    SYS_setns,
    SYS_unshare,
    SYS_reboot,
    SYS_swapon,
    SYS_swapoff,
    SYS_acct,
    SYS_quotactl,
    SYS_sethostname,
    SYS_setdomainname,
    SYS_settimeofday,
    SYS_clock_settime,
    SYS_keyctl,
    SYS_add_key,
    SYS_request_key,
    SYS_open_by_handle_at,
    SYS_userfaultfd,
#ifdef SYS_kexec_file_load
    SYS_kexec_file_load,
#endif
#ifdef SYS_iopl
    SYS_iopl,
    SYS_ioperm,
#endif
#ifdef SYS_open_tree
    SYS_open_tree,
    SYS_move_mount,
    SYS_fsopen,
    SYS_fsconfig,
    SYS_fsmount,
    SYS_fspick,
#endif
#ifdef SYS_pidfd_send_signal
    SYS_pidfd_send_signal,
#endif
#ifdef SYS_pidfd_getfd
    SYS_pidfd_getfd,
#endif
#ifdef SYS_mount_setattr
    SYS_mount_setattr,
#endif
};
constexpr uint32_t kDeniedFamilies[] = {AF_INET, AF_INET6, AF_PACKET};

constexpr uint32_t At(size_t offset) { return static_cast<uint32_t>(offset); }
/// Both architectures are little-endian: the low half of an argument comes first.
constexpr uint32_t kFirstArgument = At(offsetof(seccomp_data, args));

constexpr sock_filter Load(uint32_t offset) { return BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offset); }
constexpr sock_filter IfEqual(uint32_t value, uint8_t then, uint8_t otherwise) {
  return BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, then, otherwise);
}
constexpr sock_filter Return(uint32_t action) { return BPF_STMT(BPF_RET | BPF_K, action); }

void FilterCalls() {
  const sock_filter allow = Return(SECCOMP_RET_ALLOW);
  const sock_filter deny = Return(SECCOMP_RET_ERRNO | EPERM);
  // Calls of another architecture (32 bits) have other numbers: none of them is ours.
  std::vector<sock_filter> program = {Load(At(offsetof(seccomp_data, arch))), IfEqual(HIVEPULSE_AUDIT_ARCH, 1, 0), deny,
                                      Load(At(offsetof(seccomp_data, nr)))};
#if defined(__x86_64__)
  // x32: the same calls under other numbers.
  program.push_back(BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, 0x40000000, 0, 1));
  program.push_back(deny);
#endif
  for (const uint32_t call : kDenied) {
    program.push_back(IfEqual(call, 0, 1));
    program.push_back(deny);
  }
  program.push_back(IfEqual(SYS_socket, 1, 0));
  program.push_back(allow);
  program.push_back(Load(kFirstArgument));
  for (const uint32_t family : kDeniedFamilies) {
    program.push_back(IfEqual(family, 0, 1));
    program.push_back(deny);
  }
  program.push_back(allow);
  const sock_fprog filter{static_cast<unsigned short>(program.size()), program.data()};
  prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter, 0, 0);
}
#endif

}  // namespace

void Confine() {
  DropCapabilities();
  // The kernel takes a filter of a process without CAP_SYS_ADMIN only after this.
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return;
#ifdef HIVEPULSE_AUDIT_ARCH
  FilterCalls();
#endif
}

}  // namespace hivepulse
