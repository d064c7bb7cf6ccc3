#pragma once

#include <sys/types.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include "cgroup_parse.h"
#include "kernel_file.h"
#include "raw_pass.h"

namespace hivepulse {

struct ReaderOptions {
  std::string proc_root = "/proc";
  bool process_memory = false;
  bool process_io = false;
  unsigned memory_stat_every = 5;
  /// Descriptors that may be kept open; a negative number: what RLIMIT_NOFILE gives, less a reserve for everybody else.
  double max_descriptors = -1;
};

/// Reads the files of a set of cgroups. Not synchronized: one thread at a time.
///
/// Which files a worker has is found when it is first read, and looked at again only each `kRediscoverEvery` passes
/// (controllers may be enabled later). A descriptor is kept for each; without descriptors a worker's files are opened,
/// read and closed in each pass.
class CgroupReader {
 public:
  static constexpr unsigned kRediscoverEvery = 60;

  explicit CgroupReader(ReaderOptions options);

  /// Puts the cgroup directory `path` into `slot`, in place of whatever was there.
  void Add(std::size_t slot, std::string path);
  void Remove(std::size_t slot);
  /// Which block devices are on top of which; until it is set, every device is counted.
  void SetStacks(IoStacks stacks) { stacks_ = std::move(stacks); }

  /// Reads everything into `pass`, which is overwritten but for its sequence.
  void Pass(RawPass* pass);

  /// Slot that a pass is at, -1 between passes. Any thread may ask: it shows in which worker a read is stuck.
  std::int64_t reading() const { return reading_.load(std::memory_order_relaxed); }

 private:
  struct Process {
    std::uint32_t pid;
    double start_ticks;
    FileDescriptor statm;
    FileDescriptor io;
  };

  /// What is known of one file of one worker.
  struct File {
    enum class State : std::uint8_t {
      /// To be opened.
      kUnopened,
      kOpen,
      /// Not there, or may not be opened: `error` says which. Tried again at the next rediscovery.
      kShut,
      /// The kernel was started without it (pressure files). Never tried again.
      kUnsupported,
    };
    State state = State::kUnopened;
    std::int16_t error = 0;
    FileDescriptor descriptor;
  };

  struct Worker {
    bool used = false;
    bool removed = false;
    bool uncached = false;
    bool identified = false;
    std::string path;
    dev_t device = 0;
    ino_t inode = 0;
    unsigned passes = 0;
    /// Of the last reading of memory.stat, repeated until the next.
    double anon = std::numeric_limits<double>::quiet_NaN();
    double inactive_file = std::numeric_limits<double>::quiet_NaN();
    std::array<File, kWorkerFiles> files;
    /// Ascending by pid.
    std::vector<Process> processes;
  };

  /// The row that is being read.
  struct Row {
    double* values;
    std::int16_t* errors;
    std::vector<double>* processes;
    unsigned flags = 0;
    FileDescriptor directory;
    int directory_error = 0;
    bool known_alive = false;
  };

  /// False: the cgroup is gone.
  bool ReadFiles(std::size_t slot, Row* row);
  bool ReadFile(Worker* worker, std::size_t index, Row* row);
  int OpenFile(Worker* worker, std::size_t index, Row* row, FileDescriptor* file);
  int OpenDirectory(Worker* worker, FileDescriptor* directory);
  bool StillThere(const Worker& worker) const;
  bool Parse(std::size_t index, std::string_view text, double* values);
  void ReadProcesses(Worker* worker, Row* row);
  double ReadStartTicks(std::uint32_t pid);
  void ReadCounters(Worker* worker, Process* process, double* values);
  ReadResult ReadProcessFile(bool keep, std::uint32_t pid, const char* name, FileDescriptor* kept,
                             FileDescriptor* once);
  void Keep(FileDescriptor file, FileDescriptor* place);
  void Drop(FileDescriptor* place);
  void DropAll(Worker* worker);

  std::atomic<std::int64_t> reading_{-1};
  ReaderOptions options_;
  double budget_;
  double kept_ = 0;
  double page_size_;
  ReadBuffer buffer_;
  std::vector<Worker> workers_;
  std::vector<std::uint32_t> pids_;
  std::size_t pid_count_ = 0;
  std::vector<Process> previous_;
  std::optional<IoStacks> stacks_;
  std::vector<IoLine> io_lines_;
  std::string path_;
};

}  // namespace hivepulse
