#include "blocking_files.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <utility>

#include "cgroup_parse.h"
#include "clock.h"
#include "kernel_file.h"
#include "socket_dump.h"
#include "status_questions.h"

namespace hivepulse {

namespace {

constexpr std::size_t kChunk = 64 * 1024;

FileAnswer ReadWhole(const std::string& path, std::size_t max_bytes) {
  FileAnswer answer;
  FileDescriptor file;
  answer.error = OpenRegularFile(path.c_str(), &file);
  while (answer.error == 0 && answer.bytes.size() < max_bytes) {
    const std::size_t length = answer.bytes.size();
    answer.bytes.resize(length + std::min(kChunk, max_bytes - length));
    const ssize_t got = read(file.get(), answer.bytes.data() + length, answer.bytes.size() - length);
    answer.bytes.resize(length + (got > 0 ? static_cast<std::size_t>(got) : 0));
    if (got == 0) break;
    if (got < 0 && errno != EINTR) answer.error = errno;
  }
  return answer;
}

struct DirectoryCloser {
  void operator()(DIR* directory) const { closedir(directory); }
};

bool IsDirectory(const std::string& parent, const dirent& entry) {
  if (entry.d_type != DT_UNKNOWN) return entry.d_type == DT_DIR;
  struct stat status {};
  return lstat((parent + "/" + entry.d_name).c_str(), &status) == 0 && S_ISDIR(status.st_mode);
}

/// Entries of a directory, each as `take` has it in rows and text; it gives whether it takes one. An errno and their
/// count stand before them.
template <typename Take>
void TakeEntries(const std::string& path, PackedAnswer* packed, Take take) {
  std::vector<double>& rows = packed->rows;
  const std::size_t head = rows.size();
  rows.insert(rows.end(), {0, 0});
  const std::unique_ptr<DIR, DirectoryCloser> directory(opendir(path.c_str()));
  if (directory == nullptr) {
    rows[head] = errno;
    return;
  }
  for (;;) {
    errno = 0;
    const dirent* entry = readdir(directory.get());
    if (entry == nullptr) break;
    if (take(dirfd(directory.get()), *entry)) rows[head + 1] += 1;
  }
  rows[head] = errno;
}

void List(const std::string& path, PackedAnswer* packed) {
  TakeEntries(path, packed, [&](int, const dirent& entry) {
    const std::string_view name = entry.d_name;
    if (name == "." || name == "..") return false;
    packed->rows.insert(packed->rows.end(), {static_cast<double>(name.size()), IsDirectory(path, entry) ? 1.0 : 0.0});
    packed->text.append(name);
    return true;
  });
}

/// Symbolic links of a directory whose target begins with `prefix`: that, or their names. One that goes away meanwhile
/// is none.
void Links(const std::string& path, const std::string& prefix, bool names, PackedAnswer* packed) {
  TakeEntries(path, packed, [&](int directory, const dirent& entry) {
    if (entry.d_type != DT_LNK && entry.d_type != DT_UNKNOWN) return false;
    char target[256];
    const ssize_t length = readlinkat(directory, entry.d_name, target, sizeof target);
    if (length < static_cast<ssize_t>(prefix.size()) || prefix.compare(0, prefix.size(), target, prefix.size()) != 0) {
      return false;
    }
    const std::string_view found =
        names ? std::string_view(entry.d_name) : std::string_view(target, static_cast<std::size_t>(length));
    packed->rows.push_back(static_cast<double>(found.size()));
    packed->text.append(found);
    return true;
  });
}

/// The names of a directory that are numbers, each with its inode: another process that has a pid has another inode.
void Pids(const std::string& path, PackedAnswer* packed) {
  TakeEntries(path, packed, [packed](int, const dirent& entry) {
    if (entry.d_name[0] < '1' || entry.d_name[0] > '9') return false;
    const double pid = ParseUnsigned(entry.d_name);
    if (std::isnan(pid)) return false;
    packed->rows.insert(packed->rows.end(), {pid, static_cast<double>(entry.d_ino)});
    return true;
  });
}

/// Calls `take` with each part of a text between separators; that behind the last one is left out where it is empty.
template <typename Take>
void Split(std::string_view text, char separator, Take take) {
  for (std::size_t from = 0; from < text.size();) {
    const std::size_t end = std::min(text.find(separator, from), text.size());
    take(text.substr(from, end - from));
    from = end + 1;
  }
}

/// What power/runtime_status says of a device that any other read would wake, or that gives what was before.
bool Sleeps(std::string_view status) {
  const std::string_view word = status.substr(0, status.find('\n'));
  return word == "suspended" || word == "suspending" || word == "resuming";
}

}  // namespace

std::shared_ptr<BlockingFiles> BlockingFiles::Create(std::function<void()> finished) {
  return std::shared_ptr<BlockingFiles>(new BlockingFiles(std::move(finished)));
}

bool BlockingFiles::Submit(FileBatch batch) {
  if (!thread_started_) {
    if (!wake_.valid()) return false;
    thread_started_ = StartDetached("hive-files", [self = shared_from_this()] { self->Run(); });
    if (!thread_started_) return false;
  }
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    waiting_.push_back(std::move(batch));
  }
  wake_.Signal();
  return true;
}

void BlockingFiles::ReadKept(const std::string& path, FileBatch* batch) {
  const ReadResult file = kept_.Read(path);
  const std::string_view text = file.text.substr(0, batch->max_bytes);
  batch->packed.rows.push_back(file.error != 0 ? -file.error : static_cast<double>(text.size()));
  batch->packed.text.append(text);
}

void BlockingFiles::ReadAwake(std::string_view files, FileBatch* batch) {
  PackedAnswer& packed = batch->packed;
  const std::size_t head = packed.rows.size();
  packed.rows.push_back(0);
  bool sleeps = false;
  Split(files, '\0', [&](std::string_view path) {
    if (sleeps) return;
    const std::size_t from = packed.text.size();
    running_at_.store(static_cast<int>(packed.rows[head]));
    path_.assign(path);
    ReadKept(path_, batch);
    packed.rows[head] += 1;
    sleeps = packed.rows[head] == 1 && Sleeps(std::string_view(packed.text).substr(from));
  });
  running_at_.store(0);
}

void BlockingFiles::Work(const std::string& path, FileBatch* batch) {
  PackedAnswer& packed = batch->packed;
  switch (batch->work) {
    case FileWork::kRead:
      batch->files.push_back(ReadWhole(path, batch->max_bytes));
      break;
    case FileWork::kReadKept:
      ReadKept(path, batch);
      break;
    case FileWork::kReadAwake:
      ReadAwake(path, batch);
      break;
    case FileWork::kList:
      List(path, &packed);
      break;
    case FileWork::kPids:
      Pids(path, &packed);
      break;
    case FileWork::kLinks:
    case FileWork::kLinkNames:
      Links(path, batch->link_prefix, batch->work == FileWork::kLinkNames, &packed);
      break;
    case FileWork::kSockets: {
      FileAnswer answer;
      answer.error = DumpListening(path, &answer.bytes);
      batch->files.push_back(std::move(answer));
      break;
    }
    case FileWork::kUsage:
    case FileWork::kStatuses:
      break;
    case FileWork::kDrmClients: {
      const ReadResult file = kept_.Read(path);
      drm_.Append(file.error, file.text.substr(0, batch->max_bytes), &packed.rows, &packed.text);
      break;
    }
  }
}

void BlockingFiles::Run() {
  while (!closed_.load()) {
    FileBatch batch;
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      if (!waiting_.empty()) {
        batch = std::move(waiting_.front());
        waiting_.pop_front();
      }
    }
    if (batch.id == 0) {
      wake_.Wait(-1);
      continue;
    }
    running_since_ms_.store(MonotonicMs());
    Split(batch.lines, '\n', [&batch](std::string_view path) { batch.paths.emplace_back(path); });
    for (const std::string& path : batch.paths) {
      if (closed_.load()) return;
      Work(path, &batch);
    }
    if (batch.work == FileWork::kStatuses) {
      const std::vector<int> statuses = AskStatuses(batch.paths, static_cast<int>(batch.max_bytes));
      batch.packed.rows.assign(statuses.begin(), statuses.end());
    }
    if (batch.work == FileWork::kUsage) {
      usage_.BeginBatch(batch.proc_root);
      batch.usages.reserve(batch.pids.size());
      for (const std::int32_t pid : batch.pids) {
        if (closed_.load()) return;
        batch.usages.push_back(usage_.Read(pid));
      }
      usage_.EndBatch();
    }
    if (batch.work == FileWork::kReadKept || batch.work == FileWork::kReadAwake ||
        batch.work == FileWork::kDrmClients) {
      kept_.EndBatch();
    }
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      done_.push_back(std::move(batch));
    }
    running_since_ms_.store(0);
    if (!closed_.load()) finished_();
  }
}

std::vector<FileBatch> BlockingFiles::Take() {
  const std::lock_guard<std::mutex> lock(mutex_);
  return std::exchange(done_, {});
}

double BlockingFiles::RunningMs() const {
  const double since = running_since_ms_.load();
  return since > 0 ? MonotonicMs() - since : 0;
}

void BlockingFiles::Close() {
  closed_.store(true);
  if (wake_.valid()) wake_.Signal();
}

}  // namespace hivepulse
