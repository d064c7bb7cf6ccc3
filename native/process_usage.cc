#include "process_usage.h"

#include <sys/resource.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <iterator>
#include <limits>
#include <utility>

#include "cgroup_parse.h"

namespace hivepulse {

namespace {

/// Three descriptors each; beyond that, and beyond a sixth of what this process may open, files are opened each time.
constexpr std::size_t kMostProcessesKept = 4096;
constexpr std::size_t kShareOfProcesses = 18;
/// Trees are read in batches of some hundred processes.
constexpr std::uint64_t kProcessBatchesKept = 256;

constexpr double kNotKnown = std::numeric_limits<double>::quiet_NaN();
constexpr ProcessUsage kUnknown = {0,         kNotKnown, kNotKnown, kNotKnown, kNotKnown,
                                   kNotKnown, kNotKnown, kNotKnown, kNotKnown};

ProcessUsage Failed(int error) {
  ProcessUsage usage = kUnknown;
  usage.error = error;
  return usage;
}

/// The number at `*at`, which goes behind it and the blank that ends it; NaN: there is none, or it does not end in one.
double TakeNumber(const char** at, const char* end) {
  const char* const begin = *at;
  const char* digit = begin;
  while (digit < end && *digit >= '0' && *digit <= '9') ++digit;
  const std::string_view text(begin, static_cast<std::size_t>(digit - begin));
  if (digit < end && *digit != ' ' && *digit != '\n') return kNotKnown;
  *at = digit < end ? digit + 1 : digit;
  return ParseUnsigned(text);
}

void SkipWord(const char** at, const char* end) {
  while (*at < end && **at != ' ') ++*at;
  if (*at < end) ++*at;
}

}  // namespace

bool ParseProcessStat(std::string_view text, ProcessUsage* usage) {
  const std::size_t name = text.find('(');
  const std::size_t name_end = text.rfind(')');
  if (name == std::string_view::npos || name_end == std::string_view::npos || name_end < name) return false;
  const char* at = text.data() + std::min(name_end + 2, text.size());
  const char* const end = text.data() + text.size();
  if (at == end || *at == ' ' || *at == '\n') return false;
  usage->state = static_cast<unsigned char>(*at);
  SkipWord(&at, end);
  usage->parent_pid = TakeNumber(&at, end);
  SkipWord(&at, end);
  // Nobody's here, but it must be there.
  const double session = TakeNumber(&at, end);
  for (int field = 7; field < 14; ++field) SkipWord(&at, end);
  const double user = TakeNumber(&at, end);
  usage->cpu_ticks = user + TakeNumber(&at, end);
  const double waited_user = TakeNumber(&at, end);
  usage->waited_cpu_ticks = waited_user + TakeNumber(&at, end);
  for (int field = 18; field < 22; ++field) SkipWord(&at, end);
  usage->start_ticks = TakeNumber(&at, end);
  return !std::isnan(usage->parent_pid + session + usage->cpu_ticks + usage->waited_cpu_ticks + usage->start_ticks);
}

ProcessUsageReader::ProcessUsageReader() {
  rlimit limit{};
  const std::size_t descriptors =
      getrlimit(RLIMIT_NOFILE, &limit) == 0 ? static_cast<std::size_t>(limit.rlim_cur) : 1024;
  most_kept_ = std::min(kMostProcessesKept, descriptors / kShareOfProcesses);
}

void ProcessUsageReader::BeginBatch(const std::string& proc_root) {
  if (proc_root == proc_root_) return;
  kept_.clear();
  proc_root_ = proc_root;
}

int ProcessUsageReader::Open(std::int32_t pid, const char* name, FileDescriptor* file) {
  if (file->get() >= 0) return 0;
  return OpenRegularFile((proc_root_ + '/' + std::to_string(pid) + '/' + name).c_str(), file);
}

int ProcessUsageReader::ReadStat(std::int32_t pid, Kept* kept, ProcessUsage* usage) {
  if (const int error = Open(pid, "stat", &kept->stat)) return error;
  const ReadResult stat = buffer_.Read(kept->stat, FileShape::kRecord);
  if (stat.error != 0) return stat.error;
  return ParseProcessStat(stat.text, usage) ? 0 : EIO;
}

ProcessUsage ProcessUsageReader::ReadKept(std::int32_t pid, Kept* kept) {
  const bool opened = kept->stat.get() >= 0;
  ProcessUsage usage = kUnknown;
  int error = ReadStat(pid, kept, &usage);
  if (error != 0 && opened) {
    // The process has ended; another may have its pid.
    *kept = Kept{};
    usage = kUnknown;
    error = ReadStat(pid, kept, &usage);
  }
  if (error != 0) return Failed(error);
  if (Open(pid, "statm", &kept->statm) == 0) {
    const ReadResult statm = buffer_.Read(kept->statm, FileShape::kRecord);
    if (statm.error == 0) usage.resident_pages = ParseResidentPages(statm.text);
  }
  // Each time, also where stat stands still: what waits for a disk uses little CPU, so a tick may be long in coming.
  if (Open(pid, "io", &kept->io) == 0) {
    const ReadResult io = buffer_.Read(kept->io, FileShape::kRecord);
    const KeyedField fields[] = {{"read_bytes:", &usage.read_bytes}, {"write_bytes:", &usage.write_bytes}};
    const bool whole = io.error == 0 && ParseKeyed(io.text, fields, 2);
    if (!whole || std::isnan(usage.read_bytes + usage.write_bytes)) usage.read_bytes = usage.write_bytes = kNotKnown;
  }
  return usage;
}

ProcessUsage ProcessUsageReader::Read(std::int32_t pid) {
  const auto found = kept_.find(pid);
  Kept once;
  Kept* const kept = found == kept_.end() ? &once : &found->second;
  const ProcessUsage usage = ReadKept(pid, kept);
  kept->batch = batch_;
  if (usage.error != 0) {
    if (found != kept_.end()) kept_.erase(found);
  } else if (found == kept_.end() && kept_.size() < most_kept_) {
    kept_.emplace(pid, std::move(once));
  }
  return usage;
}

void ProcessUsageReader::EndBatch() {
  batch_ += 1;
  if (batch_ % kProcessBatchesKept != 0) return;
  for (auto at = kept_.begin(); at != kept_.end();) {
    at = at->second.batch + kProcessBatchesKept < batch_ ? kept_.erase(at) : std::next(at);
  }
}

}  // namespace hivepulse
