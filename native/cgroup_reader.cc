#include "cgroup_reader.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "cgroup_parse.h"
#include "clock.h"

namespace hivepulse {

namespace {

struct FileKind {
  FileShape shape;
  bool pressure;
};

constexpr FileKind KindOf(std::size_t file) {
  return {file == kCgroupProcs ? FileShape::kList : FileShape::kRecord,
          file == kCpuPressure || file == kMemoryPressure || file == kIoPressure};
}

bool DescriptorsRanOut(int error) { return error == EMFILE || error == ENFILE; }

/// ENODEV comes from a kept descriptor of a removed file, ENOENT from opening it, ESRCH from /proc.
bool NotThere(int error) { return error == ENODEV || error == ENOENT || error == ENOTDIR || error == ESRCH; }

/// What RLIMIT_NOFILE gives, less a reserve for the sockets and files of everybody else in this process.
double DescriptorBudget() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return 0;
  const auto all = static_cast<double>(limit.rlim_cur);
  return all - std::clamp(all / 8, 64.0, 1024.0);
}

}  // namespace

CgroupReader::CgroupReader(ReaderOptions options) : options_(std::move(options)) {
  budget_ = DescriptorBudget();
  if (options_.max_descriptors >= 0) budget_ = std::min(budget_, options_.max_descriptors);
  page_size_ = static_cast<double>(sysconf(_SC_PAGESIZE));
  if (options_.memory_stat_every == 0) options_.memory_stat_every = 1;
}

void CgroupReader::Add(std::size_t slot, std::string path) {
  if (slot >= workers_.size()) workers_.resize(slot + 1);
  Remove(slot);
  workers_[slot].used = true;
  workers_[slot].path = std::move(path);
}

void CgroupReader::Remove(std::size_t slot) {
  if (slot >= workers_.size()) return;
  DropAll(&workers_[slot]);
  workers_[slot] = Worker();
}

void CgroupReader::Pass(RawPass* pass) {
  pass->started_ms = MonotonicMs();
  pass->workers.assign(workers_.size() * kWorkerColumns, kNaN);
  pass->errors.assign(workers_.size() * kWorkerFiles, 0);
  pass->processes.clear();
  for (std::size_t slot = 0; slot < workers_.size(); ++slot) {
    reading_.store(static_cast<std::int64_t>(slot), std::memory_order_relaxed);
    Worker& worker = workers_[slot];
    const std::size_t first_process = pass->processes.size();
    Row row{};
    row.values = pass->workers.data() + slot * kWorkerColumns;
    row.errors = pass->errors.data() + slot * kWorkerFiles;
    row.processes = &pass->processes;
    row.values[kMonotonicMs] = MonotonicMs();

    if (worker.used && !worker.removed && !ReadFiles(slot, &row)) {
      // The cgroup was removed half-way: what was read of it is dropped.
      worker.removed = true;
      DropAll(&worker);
      worker.processes.clear();
      pass->processes.resize(first_process);
      std::fill(row.values + kInode, row.values + kWorkerColumns, kNaN);
    }
    if (!worker.used || worker.removed) {
      row.flags = kRemoved;
      std::fill(row.errors, row.errors + kWorkerFiles, static_cast<std::int16_t>(ENODEV));
    }
    if (worker.identified) row.values[kInode] = static_cast<double>(worker.inode);
    row.values[kFlags] = row.flags;
  }
  reading_.store(-1, std::memory_order_relaxed);
  pass->duration_ms = MonotonicMs() - pass->started_ms;
}

bool CgroupReader::ReadFiles(std::size_t slot, Row* row) {
  Worker& worker = workers_[slot];
  const unsigned pass = worker.passes++;
  if (pass > 0 && pass % kRediscoverEvery == 0) {
    worker.uncached = false;
    for (File& file : worker.files) {
      if (file.state == File::State::kShut) file.state = File::State::kUnopened;
    }
  }
  // Spread over the passes by slot, so that no pass pays for the memory.stat of all workers.
  const bool memory_stat_due = pass == 0 || (pass + slot) % options_.memory_stat_every == 0;

  for (std::size_t i = 0; i < kWorkerFiles; ++i) {
    File& file = worker.files[i];
    if (i == kMemoryStat && !memory_stat_due) {
      row->values[kAnon] = worker.anon;
      row->values[kInactiveFile] = worker.inactive_file;
    } else if (file.state == File::State::kUnopened || file.state == File::State::kOpen) {
      if (!ReadFile(&worker, i, row)) return false;
      if (i == kMemoryStat) {
        worker.anon = row->values[kAnon];
        worker.inactive_file = row->values[kInactiveFile];
      }
    }
    row->errors[i] = file.error;
    if (file.error != 0 && file.error != ENOENT && file.error != EOPNOTSUPP) row->flags |= kPartial;
  }
  if (worker.uncached) row->flags |= kUncached;
  return true;
}

/// False: the cgroup is gone.
bool CgroupReader::ReadFile(Worker* worker, std::size_t index, Row* row) {
  File& file = worker->files[index];
  FileDescriptor once;
  int error = 0;
  if (!file.descriptor) error = OpenFile(worker, index, row, &once);

  ReadResult result{{}, error};
  const bool opened = error == 0;
  if (opened) result = buffer_.Read(once ? once : file.descriptor, KindOf(index).shape);
  if (result.error != 0) {
    file.error = static_cast<std::int16_t>(result.error);
    if (NotThere(result.error)) {
      if (!row->known_alive && !StillThere(*worker)) return false;
      row->known_alive = true;
      file.error = ENOENT;
    }
    if (index == kCgroupProcs) {
      if (result.error == EOPNOTSUPP) row->flags |= kThreaded;
      worker->processes.clear();
    }
    if (KindOf(index).pressure && result.error == EOPNOTSUPP) {
      file.state = File::State::kUnsupported;
    } else if (file.error == ENOENT || (!opened && !DescriptorsRanOut(error) && row->directory)) {
      file.state = File::State::kShut;
    }
    if (file.state != File::State::kOpen) Drop(&file.descriptor);
    return true;
  }
  file.state = File::State::kOpen;
  file.error = Parse(index, result.text, row->values) ? std::int16_t{0} : kNotANumber;
  if (index == kCgroupProcs) ReadProcesses(worker, row);
  return true;
}

/// Opens a file of the worker and keeps it where that is possible, else hands it out in `once`.
int CgroupReader::OpenFile(Worker* worker, std::size_t index, Row* row, FileDescriptor* once) {
  for (;;) {
    if (!row->directory && row->directory_error == 0) row->directory_error = OpenDirectory(worker, &row->directory);
    int error = row->directory_error;
    if (error == 0) error = OpenForReading(row->directory.get(), kWorkerFileNames[index], once);
    if (error == 0 && !worker->uncached && kept_ < budget_) {
      Keep(std::move(*once), &worker->files[index].descriptor);
      return 0;
    }
    const bool ran_out = error == 0 || DescriptorsRanOut(error);
    if (!ran_out || worker->uncached) return error;
    // A worker keeps all its descriptors or none. Those it gives back let files be opened one by one.
    DropAll(worker);
    worker->uncached = true;
    if (error == 0) return 0;
    row->directory_error = 0;
  }
}

int CgroupReader::OpenDirectory(Worker* worker, FileDescriptor* directory) {
  int fd;
  do {
    fd = open(worker->path.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC);
  } while (fd < 0 && errno == EINTR);
  if (fd < 0) return errno;
  FileDescriptor opened(fd);
  struct stat status {};
  if (fstat(fd, &status) != 0) return errno;
  if (worker->identified && (status.st_ino != worker->inode || status.st_dev != worker->device)) return ENODEV;
  worker->identified = true;
  worker->inode = status.st_ino;
  worker->device = status.st_dev;
  *directory = std::move(opened);
  return 0;
}

/// Whether only the file is missing (its controller was disabled), not the whole cgroup.
bool CgroupReader::StillThere(const Worker& worker) const {
  struct stat status {};
  if (stat(worker.path.c_str(), &status) != 0) return !NotThere(errno);
  if (!S_ISDIR(status.st_mode)) return false;
  return !worker.identified || (status.st_ino == worker.inode && status.st_dev == worker.device);
}

bool CgroupReader::Parse(std::size_t index, std::string_view text, double* row) {
  switch (index) {
    case kCpuStat: {
      const KeyedField fields[] = {
          {"usage_usec", row + kUsageUsec},     {"user_usec", row + kUserUsec},
          {"system_usec", row + kSystemUsec},   {"nr_periods", row + kNrPeriods},
          {"nr_throttled", row + kNrThrottled}, {"throttled_usec", row + kThrottledUsec},
      };
      return ParseKeyed(text, fields, std::size(fields));
    }
    case kMemoryStat: {
      const KeyedField fields[] = {{"anon", row + kAnon}, {"inactive_file", row + kInactiveFile}};
      return ParseKeyed(text, fields, std::size(fields));
    }
    case kMemoryEvents: {
      const KeyedField fields[] = {{"oom", row + kOom}, {"oom_kill", row + kOomKill}};
      return ParseKeyed(text, fields, std::size(fields));
    }
    case kCgroupEvents: {
      const KeyedField fields[] = {{"populated", row + kPopulated}};
      return ParseKeyed(text, fields, std::size(fields));
    }
    case kIoStat: {
      IoTotals totals{};
      const bool clean = ParseIoStat(text, stacks_ ? &*stacks_ : nullptr, &io_lines_, &totals);
      row[kIoReadBytes] = totals.read_bytes;
      row[kIoWriteBytes] = totals.write_bytes;
      row[kIoReads] = totals.reads;
      row[kIoWrites] = totals.writes;
      row[kIoDevices] = totals.devices;
      row[kIoUnknownDevice] = totals.unknown_device;
      return clean;
    }
    case kCgroupProcs: {
      if (pids_.size() < text.size() / 2 + 1) pids_.resize(text.size() / 2 + 1);
      return ParsePids(text, pids_.data(), &pid_count_);
    }
    case kMemoryCurrentFile:
      return ParseSingle(text, row + kMemoryCurrent);
    case kMemoryPeakFile:
      return ParseSingle(text, row + kMemoryPeak);
    case kMemoryMaxFile:
      return ParseLimit(text, row + kMemoryMax);
    case kPidsCurrentFile:
      return ParseSingle(text, row + kPidsCurrent);
    case kCpuMax:
      return ParseCpuMax(text, row + kCpuQuotaUsec, row + kCpuPeriodUsec);
    case kCpuPressure:
      return ParsePressure(text, row + kCpuSomeAvg10, row + kCpuSomeTotal);
    case kMemoryPressure:
      return ParsePressure(text, row + kMemorySomeAvg10, row + kMemorySomeTotal);
    case kIoPressure:
      return ParsePressure(text, row + kIoSomeAvg10, row + kIoSomeTotal);
    default:
      return false;
  }
}

/// Merges the pids just read with those of the last pass; start times are read of new ones only.
void CgroupReader::ReadProcesses(Worker* worker, Row* row) {
  const auto first = pids_.begin();
  std::sort(first, first + static_cast<std::ptrdiff_t>(pid_count_));
  const auto last = std::unique(first, first + static_cast<std::ptrdiff_t>(pid_count_));

  previous_.swap(worker->processes);
  worker->processes.clear();
  auto old = previous_.begin();
  std::vector<double>& table = *row->processes;
  row->values[kProcessOffset] = static_cast<double>(table.size() / kProcessColumns);
  row->values[kProcessCount] = static_cast<double>(last - first);
  for (auto pid = first; pid != last; ++pid) {
    while (old != previous_.end() && old->pid < *pid) ++old;
    if (old != previous_.end() && old->pid == *pid) {
      worker->processes.push_back(std::move(*old));
    } else {
      worker->processes.push_back(Process{*pid, kNaN, FileDescriptor(), FileDescriptor()});
    }
    Process& process = worker->processes.back();
    double values[kProcessColumns] = {static_cast<double>(*pid), kNaN, kNaN, kNaN, kNaN};
    ReadCounters(worker, &process, values);
    if (process.start_ticks != process.start_ticks) process.start_ticks = ReadStartTicks(*pid);
    values[kStartTicks] = process.start_ticks;
    table.insert(table.end(), values, values + kProcessColumns);
  }
  for (Process& process : previous_) {
    Drop(&process.statm);
    Drop(&process.io);
  }
  previous_.clear();
}

double CgroupReader::ReadStartTicks(std::uint32_t pid) {
  FileDescriptor none;
  FileDescriptor once;
  const ReadResult result = ReadProcessFile(false, pid, "stat", &none, &once);
  return result.error == 0 ? ParseStartTicks(result.text) : kNaN;
}

void CgroupReader::ReadCounters(Worker* worker, Process* process, double* values) {
  const bool keep = !worker->uncached;
  if (options_.process_memory) {
    FileDescriptor once;
    ReadResult result = ReadProcessFile(keep, process->pid, "statm", &process->statm, &once);
    if (result.error == ESRCH && process->statm) {
      // The descriptor's process is gone, but its pid is in the cgroup: another process has that pid now.
      Drop(&process->statm);
      Drop(&process->io);
      process->start_ticks = kNaN;
      result = ReadProcessFile(keep, process->pid, "statm", &process->statm, &once);
    }
    if (result.error == 0) values[kResidentBytes] = ParseResidentPages(result.text) * page_size_;
  }
  if (options_.process_io) {
    FileDescriptor once;
    ReadResult result = ReadProcessFile(keep, process->pid, "io", &process->io, &once);
    if (result.error == ESRCH && process->io) {
      Drop(&process->io);
      process->start_ticks = kNaN;
      result = ReadProcessFile(keep, process->pid, "io", &process->io, &once);
    }
    const KeyedField fields[] = {{"read_bytes:", values + kProcessReadBytes},
                                 {"write_bytes:", values + kProcessWriteBytes}};
    if (result.error == 0) ParseKeyed(result.text, fields, std::size(fields));
  }
}

/// Reads a file of a process through `kept`, which is opened first where `keep` allows it, else through `once`.
ReadResult CgroupReader::ReadProcessFile(bool keep, std::uint32_t pid, const char* name, FileDescriptor* kept,
                                         FileDescriptor* once) {
  if (!*kept) {
    path_.assign(options_.proc_root).append("/").append(std::to_string(pid)).append("/").append(name);
    const int error = OpenForReading(AT_FDCWD, path_.c_str(), once);
    if (error != 0) return {{}, error};
    if (keep && kept_ < budget_) Keep(std::move(*once), kept);
  }
  return buffer_.Read(*kept ? *kept : *once, FileShape::kRecord);
}

void CgroupReader::Keep(FileDescriptor file, FileDescriptor* place) {
  *place = std::move(file);
  kept_ += 1;
}

void CgroupReader::Drop(FileDescriptor* place) {
  if (!*place) return;
  place->Close();
  kept_ -= 1;
}

void CgroupReader::DropAll(Worker* worker) {
  for (File& file : worker->files) Drop(&file.descriptor);
  for (Process& process : worker->processes) {
    Drop(&process.statm);
    Drop(&process.io);
  }
}

}  // namespace hivepulse
