#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "detached_thread.h"
#include "drm_rows.h"
#include "kept_files.h"
#include "process_usage.h"

namespace hivepulse {

struct FileAnswer {
  int error = 0;
  std::string bytes;
};

enum class FileWork {
  /// Files, opened for it and closed again.
  kRead,
  /// Files, by descriptors that are kept.
  kReadKept,
  /// Devices, each by a text: the file that says whether it sleeps and, with a NUL before each, files that are read
  /// unless it does. By descriptors that are kept.
  kReadAwake,
  /// Directories.
  kList,
  /// Directories below whose names that are numbers processes are shown.
  kPids,
  /// Directories in which targets of links are looked for, by their beginning.
  kLinks,
  /// The same, and their names are wanted.
  kLinkNames,
  /// Network namespaces.
  kSockets,
  /// Processes.
  kUsage,
  /// fdinfo of DRM clients, by descriptors that are kept.
  kDrmClients,
  /// HTTP servers, as native/status_questions.h says.
  kStatuses,
};

/// Answers without an object for each: to make one costs more than reading what it stands for.
struct PackedAnswer {
  /// kReadKept: of each file its length, or its errno below 0. kReadAwake: of each device how many files were read,
  /// then each as of kReadKept. Of directories an errno and a count, then for each entry: kPids its pid and its inode,
  /// kList the length of its name and whether it is a directory, kLinks and kLinkNames a length. kDrmClients: as
  /// lib/native/drm-clients.ts reads it. kStatuses: the status of each.
  std::vector<double> rows;
  /// All files, names or targets, one behind the other. kDrmClients: what its rows name.
  std::string text;
};

/// What is asked of each of some paths or processes and, once done, the answers in the same order.
struct FileBatch {
  std::uint32_t id = 0;
  FileWork work = FileWork::kRead;
  /// Of files; of servers how long they may take, ms.
  std::size_t max_bytes = 0;
  std::string link_prefix;
  /// A line for each path, in the place of `paths`.
  std::string lines;
  std::vector<std::string> paths;
  std::string proc_root;
  std::vector<std::int32_t> pids;
  PackedAnswer packed;
  std::vector<FileAnswer> files;
  std::vector<ProcessUsage> usages;
};

/// Reads and lists files that may block, on a thread of its own, one batch at a time and in order. Knows nothing of
/// napi. A read that never returns holds up only this object; nobody waits for its thread.
class BlockingFiles : public std::enable_shared_from_this<BlockingFiles> {
 public:
  /// `finished` is called on the thread after each batch, and must not block.
  static std::shared_ptr<BlockingFiles> Create(std::function<void()> finished);

  /// False when the system gives no thread.
  bool Submit(FileBatch batch);
  /// The batches finished since the last call.
  std::vector<FileBatch> Take();
  /// How long the batch now running has been running; 0 when none is.
  double RunningMs() const;
  /// Which file of a device the batch now running is at, from 0; of other works 0.
  int RunningAt() const { return running_at_.load(); }
  void Close();

 private:
  explicit BlockingFiles(std::function<void()> finished) : finished_(std::move(finished)) {}
  void Run();
  void Work(const std::string& path, FileBatch* batch);
  void ReadKept(const std::string& path, FileBatch* batch);
  void ReadAwake(std::string_view files, FileBatch* batch);

  const std::function<void()> finished_;
  WakeEvent wake_;
  std::atomic<bool> closed_{false};
  std::atomic<double> running_since_ms_{0};
  std::atomic<int> running_at_{0};
  bool thread_started_ = false;  // JS thread only
  ProcessUsageReader usage_;     // its thread only
  KeptFiles kept_;               // its thread only
  DrmRows drm_;                  // its thread only
  std::string path_;             // its thread only

  std::mutex mutex_;
  std::deque<FileBatch> waiting_;
  std::vector<FileBatch> done_;
};

}  // namespace hivepulse
