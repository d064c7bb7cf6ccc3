#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace hivepulse {

/// Columns of the worker table, in the order of `workerColumns` in lib/native/layout.ts. Their names are in to_js.cc.
enum WorkerColumn : std::size_t {
  kFlags,
  kMonotonicMs,
  kInode,
  kUsageUsec,
  kUserUsec,
  kSystemUsec,
  kNrPeriods,
  kNrThrottled,
  kThrottledUsec,
  kCpuQuotaUsec,
  kCpuPeriodUsec,
  kMemoryCurrent,
  kMemoryPeak,
  kMemoryMax,
  kAnon,
  kInactiveFile,
  kOom,
  kOomKill,
  kIoReadBytes,
  kIoWriteBytes,
  kIoReads,
  kIoWrites,
  kIoDevices,
  kIoUnknownDevice,
  kPidsCurrent,
  kPopulated,
  kCpuSomeAvg10,
  kCpuSomeTotal,
  kMemorySomeAvg10,
  kMemorySomeTotal,
  kIoSomeAvg10,
  kIoSomeTotal,
  kProcessOffset,
  kProcessCount,
  kWorkerColumns,
};

enum ProcessColumn : std::size_t {
  kPid,
  kStartTicks,
  kResidentBytes,
  kProcessReadBytes,
  kProcessWriteBytes,
  kProcessColumns,
};

/// The files of a worker, in the order of the error table.
enum WorkerFile : std::size_t {
  kCpuStat,
  kMemoryCurrentFile,
  kMemoryStat,
  kMemoryPeakFile,
  kMemoryEvents,
  kIoStat,
  kPidsCurrentFile,
  kCgroupProcs,
  kCpuMax,
  kMemoryMaxFile,
  kCpuPressure,
  kMemoryPressure,
  kIoPressure,
  kCgroupEvents,
  kWorkerFiles,
};

constexpr const char* kWorkerFileNames[] = {
    "cpu.stat",     "memory.current", "memory.stat", "memory.peak",  "memory.events",   "io.stat",     "pids.current",
    "cgroup.procs", "cpu.max",        "memory.max",  "cpu.pressure", "memory.pressure", "io.pressure", "cgroup.events",
};
static_assert(sizeof(kWorkerFileNames) / sizeof(*kWorkerFileNames) == kWorkerFiles, "a worker file has no name");

enum RowFlag : unsigned { kRemoved = 1, kPartial = 2, kThreaded = 4, kUncached = 8 };

/// In the error table: the file was read, but there was no number where one must stand.
constexpr std::int16_t kNotANumber = -1;

/// One pass over all slots. The vectors keep their capacity from pass to pass.
struct RawPass {
  std::uint64_t sequence = 0;
  double started_ms = 0;
  double duration_ms = 0;
  std::vector<double> workers;
  std::vector<double> processes;
  std::vector<std::int16_t> errors;
};

}  // namespace hivepulse
