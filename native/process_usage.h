#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>

#include "kernel_file.h"

namespace hivepulse {

/// What one process has used, in the order of `usageColumns` (lib/native/layout.ts). NaN: not known.
struct ProcessUsage {
  /// 0, or the errno of reading its stat file; then nothing else is known.
  double error;
  double parent_pid;
  /// Character of its state.
  double state;
  double start_ticks;
  /// User and system time, of itself and of the children that it waited for.
  double cpu_ticks;
  double waited_cpu_ticks;
  double resident_pages;
  double read_bytes;
  double write_bytes;
};

constexpr std::size_t kUsageColumns = sizeof(ProcessUsage) / sizeof(double);

/// Fields of /proc/<pid>/stat. False: it is no such file. The name in field 2 may hold anything; the last `)` ends it.
bool ParseProcessStat(std::string_view text, ProcessUsage* usage);

/// Reads stat, statm and io of processes, with descriptors that are kept from one reading to the next. One thread.
class ProcessUsageReader {
 public:
  ProcessUsageReader();

  /// Reads from this directory on, /proc but for tests; what was kept of another one is closed.
  void BeginBatch(const std::string& proc_root);
  /// Another process that has the pid by now is read as itself.
  ProcessUsage Read(std::int32_t pid);
  /// Closes what was not read for some batches.
  void EndBatch();

 private:
  struct Kept {
    FileDescriptor stat;
    FileDescriptor statm;
    FileDescriptor io;
    std::uint64_t batch = 0;
  };

  ProcessUsage ReadKept(std::int32_t pid, Kept* kept);
  int ReadStat(std::int32_t pid, Kept* kept, ProcessUsage* usage);
  int Open(std::int32_t pid, const char* name, FileDescriptor* file);

  std::string proc_root_;
  std::unordered_map<std::int32_t, Kept> kept_;
  std::size_t most_kept_;
  std::uint64_t batch_ = 0;
  ReadBuffer buffer_;
};

}  // namespace hivepulse
