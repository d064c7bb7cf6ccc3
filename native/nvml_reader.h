// Reads every GPU through a table of NVML functions. Knows which call to prefer on which driver, and what none
// of them answers; does not know what a value means for the health of a GPU (lib/gpu/assemble.ts does, for both
// readers).
#pragma once

#include <array>
#include <bitset>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "nvml_library.h"

namespace nvml {

/// What is asked of one GPU. The names in kFieldNames are those of the JSON report.
enum Field : size_t {
  kMemoryTotalBytes,
  kMemoryUsedBytes,
  kMemoryReservedBytes,
  kUtilizationPercent,
  kMemoryBusPercent,
  kTemperatureCelsius,
  kPowerWatts,
  kPowerLimitWatts,
  kSmClockMhz,
  kFanPercent,
  kThrottleBits,
  kEccUncorrectedErrors,
  kRemapPending,
  kRemapFailed,
  kNvlinksUp,
  kNvlinksTotal,
  kMigEnabled,
  kRecoveryAction,
  kProcesses,
  kProcessUtilization,
  kXidEvents,
  kFieldCount,
};
extern const std::array<const char*, kFieldCount> kFieldNames;

/// An answer: a value where `code` is kSuccess, else why there is none. kNotAsked: neither.
struct Cell {
  static constexpr int kNotAsked = -1;
  int code = kNotAsked;
  double value = 0;
};

struct DeviceReport {
  uint32_t index = 0;
  /// Why there is no handle; kSuccess where there is one.
  int handle_code = kSuccess;
  std::string uuid;
  std::string parent_uuid;  ///< of a MIG device
  std::string name;
  std::string busId;
  std::string compute_capability;
  std::array<Cell, kFieldCount> fields{};
};

struct ProcessReport {
  size_t device;  ///< position in Report::devices
  uint32_t pid;
  uint64_t bytes;  ///< kValueNotAvailable where the driver does not know it
  bool has_utilization;
  uint32_t utilization;
};

struct XidReport {
  std::string uuid;
  uint64_t xid;
};

struct Report {
  std::string driver_version;
  std::vector<DeviceReport> devices;
  std::vector<ProcessReport> processes;
  std::vector<XidReport> xids;
  /// Why the driver does not list its GPUs; those of before stand in `devices` then.
  int count_code = kSuccess;
  /// Not kSuccess: the driver has gone as a whole, and only a new nvmlInit can find it again.
  int lifecycle_code = kSuccess;
  /// Some GPU is lost or wants a reset: if it does not come back by itself, a new nvmlInit may find it.
  bool sick = false;
};

class NvmlReader {
 public:
  /// `alive` is called as GPUs are done with, by which a slow pass differs from a stuck one.
  NvmlReader(const Symbols& symbols, std::function<void()> alive);

  /// nvmlInit, and what is known of the GPUs forgotten.
  int Init();
  void Shutdown();

  /// One pass. `slow` also enumerates GPUs and asks what is expensive or seldom changes.
  Report Pass(bool slow);

 private:
  struct Process {
    uint32_t pid;
    uint64_t bytes;
    uint32_t gpuInstanceId;
  };
  struct State {
    Device handle = nullptr;
    DeviceReport report;
    /// Answered NOT_SUPPORTED: not asked again until the next Init, or a change of MIG mode.
    std::bitset<kFieldCount> unsupported;
    bool memory_v2_broken = false;
    int graphics_code = kSuccess;  ///< of its last answer, as `mps_code`
    int mps_code = kSuccess;
    bool new_utilization_broken = false;
    bool hears_xids = false;  ///< its events are in the set
    bool was_gone = false;    ///< in its last pass
    bool is_mig = false;
    size_t parent = 0;
    uint64_t utilization_seen = 0;  ///< newest time stamp of a utilization sample, microseconds
    std::vector<Process> graphics;
  };

  void Enumerate();
  void EnumerateMig(size_t parent, std::vector<State>& found);
  void Describe(State& state);
  State Adopt(Device handle, const std::string& uuid, bool is_mig);
  void RegisterEvents();
  int RegisterXids(const State& state);

  /// Of one that was gone, each field says so: all are asked anew, also those that it did not have.
  void Forget(State& state);
  /// False where the GPU no longer answers: the rest of its pass is skipped.
  bool SampleFast(State& state);
  void SampleSlow(State& state);
  void SampleMemory(State& state);
  void SampleNvlinks(State& state);
  std::vector<Process> SampleProcesses(State& state, bool slow);
  void SampleProcessUtilization(State& state, size_t device, Report& report);
  int ListProcesses(Device device, int (*v3)(Device, uint32_t*, void*), int (*v2)(Device, uint32_t*, void*),
                    int (*v1)(Device, uint32_t*, void*), std::vector<Process>& found) const;
  void TakeEvents(Report& report);

  /// Runs `call`, which fills a value, unless the field is known to be unsupported; keeps its code.
  template <typename Call>
  void Ask(State& state, Field field, bool available, Call call);
  void Set(State& state, Field field, int code, double value = 0);

  const Symbols& nvml_;
  std::function<void()> alive_;
  std::string driver_version_;
  int count_code_ = kSuccess;  ///< of the last Enumerate
  std::vector<State> states_;
  EventSet events_ = nullptr;
};

}  // namespace nvml
