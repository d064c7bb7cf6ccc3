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

ListAnswer List(const std::string& path) {
  ListAnswer answer;
  const std::unique_ptr<DIR, DirectoryCloser> directory(opendir(path.c_str()));
  if (directory == nullptr) {
    answer.error = errno;
    return answer;
  }
  for (;;) {
    errno = 0;
    const dirent* entry = readdir(directory.get());
    if (entry == nullptr) break;
    const std::string name = entry->d_name;
    if (name != "." && name != "..") answer.entries.push_back({name, IsDirectory(path, *entry)});
  }
  answer.error = errno;
  return answer;
}

/// Symbolic links of a directory whose target begins with `prefix`: that, or their names. One that goes away meanwhile
/// is none.
LinksAnswer Links(const std::string& path, const std::string& prefix, bool names) {
  LinksAnswer answer;
  const std::unique_ptr<DIR, DirectoryCloser> directory(opendir(path.c_str()));
  if (directory == nullptr) {
    answer.error = errno;
    return answer;
  }
  char target[256];
  for (;;) {
    errno = 0;
    const dirent* entry = readdir(directory.get());
    if (entry == nullptr) break;
    if (entry->d_type != DT_LNK && entry->d_type != DT_UNKNOWN) continue;
    const ssize_t length = readlinkat(dirfd(directory.get()), entry->d_name, target, sizeof target);
    if (length >= static_cast<ssize_t>(prefix.size()) && prefix.compare(0, prefix.size(), target, prefix.size()) == 0) {
      answer.targets.emplace_back(names ? std::string(entry->d_name)
                                        : std::string(target, static_cast<std::size_t>(length)));
    }
  }
  answer.error = errno;
  return answer;
}

/// The names of a directory that are numbers, each with its inode: another process that has a pid has another inode.
void Pids(const std::string& path, std::vector<double>* rows) {
  const std::size_t head = rows->size();
  rows->insert(rows->end(), {0, 0});
  const std::unique_ptr<DIR, DirectoryCloser> directory(opendir(path.c_str()));
  if (directory == nullptr) {
    (*rows)[head] = errno;
    return;
  }
  for (;;) {
    errno = 0;
    const dirent* entry = readdir(directory.get());
    if (entry == nullptr) break;
    const double pid = ParseUnsigned(entry->d_name);
    if (std::isnan(pid) || entry->d_name[0] == '0') continue;
    rows->insert(rows->end(), {pid, static_cast<double>(entry->d_ino)});
    (*rows)[head + 1] += 1;
  }
  (*rows)[head] = errno;
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

void BlockingFiles::Work(const std::string& path, FileBatch* batch) {
  PackedAnswer& packed = batch->packed;
  switch (batch->work) {
    case FileWork::kRead:
      batch->files.push_back(ReadWhole(path, batch->max_bytes));
      break;
    case FileWork::kReadKept: {
      const ReadResult file = kept_.Read(path);
      const std::string_view text = file.text.substr(0, batch->max_bytes);
      packed.rows.push_back(file.error != 0 ? -file.error : static_cast<double>(text.size()));
      packed.text.append(text);
      break;
    }
    case FileWork::kList:
      batch->lists.push_back(List(path));
      break;
    case FileWork::kPids:
      Pids(path, &packed.rows);
      break;
    case FileWork::kLinks:
    case FileWork::kLinkNames:
      batch->links.push_back(Links(path, batch->link_prefix, batch->work == FileWork::kLinkNames));
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
    if (batch.work == FileWork::kReadKept || batch.work == FileWork::kDrmClients) kept_.EndBatch();
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
