#include "resident_memory.h"

#include <malloc.h>
#include <sys/mman.h>

#include <cinttypes>
#include <cstdint>
#include <cstdio>
#include <memory>

#include "detached_thread.h"

namespace hivepulse {

namespace {

struct FileCloser {
  void operator()(std::FILE* file) const { std::fclose(file); }
};

struct Mapping {
  std::uintptr_t start = 0;
  std::uintptr_t end = 0;
  /// Of a file, and nothing can have been written to it.
  bool is_of_file = false;
};

/// The first line of a mapping in smaps (proc(5)); its other lines begin with a name and a colon.
bool ParseMapping(const char* line, Mapping* mapping) {
  std::uintptr_t start;
  std::uintptr_t end;
  char rights[5];
  unsigned long inode;
  char name;
  const int found =
      std::sscanf(line, "%" SCNxPTR "-%" SCNxPTR " %4s %*x %*x:%*x %lu %c", &start, &end, rights, &inode, &name);
  if (found < 4) return false;
  *mapping = {start, end, found == 5 && name == '/' && inode != 0 && rights[1] == '-'};
  return true;
}

/// Pages of files without a copy of their own. A mapping that has one (a breakpoint, a program that was moved to huge
/// pages) is left alone, for what is in its place in the file is not the same.
void ReleaseFilePages() {
  const std::unique_ptr<std::FILE, FileCloser> smaps(std::fopen("/proc/self/smaps", "re"));
  if (smaps == nullptr) return;
  Mapping mapping;
  char line[4096 + 128];
  while (std::fgets(line, sizeof line, smaps.get()) != nullptr) {
    if (ParseMapping(line, &mapping)) continue;
    unsigned long kib;
    if (std::sscanf(line, "Anonymous: %lu kB", &kib) != 1) continue;
    if (mapping.is_of_file && kib == 0)
      madvise(reinterpret_cast<void*>(mapping.start), mapping.end - mapping.start, MADV_DONTNEED);
    mapping.is_of_file = false;
  }
}

}  // namespace

bool ReleaseUnusedPages() {
  return StartDetached("hive-memory", [] {
#ifdef __GLIBC__
    malloc_trim(0);
#endif
    ReleaseFilePages();
  });
}

}  // namespace hivepulse
