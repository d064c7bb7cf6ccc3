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
constexpr std::size_t kMostKept = 4096;
constexpr std::size_t kShareOfDescriptors = 18;
/// Trees are read in batches of some hundred processes.
constexpr std::uint64_t kBatchesKept = 256;

constexpr double kNotKnown = std::numeric_limits<double>::quiet_NaN();
constexpr ProcessUsage kUnknown = {0,         kNotKnown, kNotKnown, kNotKnown, kNotKnown,
                                   kNotKnown, kNotKnown, kNotKnown, kNotKnown};

ProcessUsage Failed(int error) {
  ProcessUsage usage = kUnknown;
  usage.error = error;
  return usage;
}

std::string_view TakeWord(std::string_view* rest) {
  const std::size_t end = rest->find_first_of(" \n");
  const std::string_view word = rest->substr(0, end);
  rest->remove_prefix(end == std::string_view::npos ? rest->size() : end + 1);
  return word;
}

}  // namespace

bool ParseProcessStat(std::string_view text, ProcessUsage* usage) {
  const std::size_t name = text.find('(');
  const std::size_t name_end = text.rfind(')');
  if (name == std::string_view::npos || name_end == std::string_view::npos || name_end < name) return false;
  text.remove_prefix(std::min(name_end + 2, text.size()));
  const std::string_view state = TakeWord(&text);
  if (state.empty()) return false;
  // Fields 4 (parent) to 22 (start time); 6 is the session, which is nobody's here but must be there.
  double fields[23];
  for (std::size_t i = 4; i <= 22; ++i) fields[i] = ParseUnsigned(TakeWord(&text));
  usage->state = static_cast<unsigned char>(state.front());
  usage->parent_pid = fields[4];
  usage->cpu_ticks = fields[14] + fields[15];
  usage->waited_cpu_ticks = fields[16] + fields[17];
  usage->start_ticks = fields[22];
  const double needed = usage->parent_pid + fields[6] + usage->cpu_ticks + usage->waited_cpu_ticks + usage->start_ticks;
  return !std::isnan(needed);
}

ProcessUsageReader::ProcessUsageReader() {
  rlimit limit{};
  const std::size_t descriptors =
      getrlimit(RLIMIT_NOFILE, &limit) == 0 ? static_cast<std::size_t>(limit.rlim_cur) : 1024;
  most_kept_ = std::min(kMostKept, descriptors / kShareOfDescriptors);
}

int ProcessUsageReader::Open(const std::string& path, FileDescriptor* file) {
  return file->get() >= 0 ? 0 : OpenRegularFile(path.c_str(), file);
}

int ProcessUsageReader::ReadStat(const std::string& directory, Kept* kept, ProcessUsage* usage) {
  if (const int error = Open(directory + "/stat", &kept->stat)) return error;
  const ReadResult stat = buffer_.Read(kept->stat, FileShape::kRecord);
  if (stat.error != 0) return stat.error;
  return ParseProcessStat(stat.text, usage) ? 0 : EIO;
}

ProcessUsage ProcessUsageReader::Read(const std::string& directory) {
  const auto found = kept_.find(directory);
  Kept kept = found == kept_.end() ? Kept{} : std::move(found->second);
  const bool opened = kept.stat.get() >= 0;
  ProcessUsage usage = kUnknown;
  int error = ReadStat(directory, &kept, &usage);
  if (error != 0 && opened) {
    // The process has ended; another may have its pid.
    kept = Kept{};
    usage = kUnknown;
    error = ReadStat(directory, &kept, &usage);
  }
  if (error != 0) {
    if (found != kept_.end()) kept_.erase(found);
    return Failed(error);
  }
  if (Open(directory + "/statm", &kept.statm) == 0) {
    const ReadResult statm = buffer_.Read(kept.statm, FileShape::kRecord);
    if (statm.error == 0) usage.resident_pages = ParseResidentPages(statm.text);
  }
  if (Open(directory + "/io", &kept.io) == 0) {
    const ReadResult io = buffer_.Read(kept.io, FileShape::kRecord);
    const KeyedField fields[] = {{"read_bytes:", &usage.read_bytes}, {"write_bytes:", &usage.write_bytes}};
    const bool whole = io.error == 0 && ParseKeyed(io.text, fields, 2);
    if (!whole || std::isnan(usage.read_bytes + usage.write_bytes)) usage.read_bytes = usage.write_bytes = kNotKnown;
  }
  kept.batch = batch_;
  if (found != kept_.end()) {
    found->second = std::move(kept);
  } else if (kept_.size() < most_kept_) {
    kept_.emplace(directory, std::move(kept));
  }
  return usage;
}

void ProcessUsageReader::EndBatch() {
  batch_ += 1;
  if (batch_ % kBatchesKept != 0) return;
  for (auto at = kept_.begin(); at != kept_.end();) {
    at = at->second.batch + kBatchesKept < batch_ ? kept_.erase(at) : std::next(at);
  }
}

}  // namespace hivepulse
