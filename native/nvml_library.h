// Finds libnvidia-ml, and in it each function by name: what an older driver lacks is null, and the reader asks first.
#pragma once

#include <sys/stat.h>

#include <ctime>
#include <string>
#include <vector>

#include "nvml_abi.h"

namespace nvml {

/// The functions used, null where the driver lacks them (nvml_library.cc says which may be missing).
struct Symbols {
  int (*init)();
  int (*shutdown)();
  int (*systemGetNvmlVersion)(char*, uint32_t);
  int (*systemGetDriverVersion)(char*, uint32_t);
  int (*deviceGetCount)(uint32_t*);
  int (*deviceGetHandleByIndex)(uint32_t, Device*);
  int (*deviceGetUuid)(Device, char*, uint32_t);
  int (*deviceGetName)(Device, char*, uint32_t);
  int (*deviceGetPciInfoV3)(Device, PciInfo*);
  int (*deviceGetPciInfoOld)(Device, PciInfo*);
  int (*deviceGetCudaComputeCapability)(Device, int*, int*);
  int (*deviceGetMemoryInfoV2)(Device, MemoryV2*);
  int (*deviceGetMemoryInfo)(Device, Memory*);
  int (*deviceGetUtilizationRates)(Device, Utilization*);
  int (*deviceGetTemperatureV)(Device, Temperature*);
  int (*deviceGetTemperature)(Device, int, uint32_t*);
  int (*deviceGetPowerUsage)(Device, uint32_t*);
  int (*deviceGetEnforcedPowerLimit)(Device, uint32_t*);
  int (*deviceGetClockInfo)(Device, int, uint32_t*);
  int (*deviceGetFanSpeed)(Device, uint32_t*);
  int (*deviceGetThrottleReasons)(Device, uint64_t*);
  int (*deviceGetTotalEccErrors)(Device, int, int, uint64_t*);
  int (*deviceGetRemappedRows)(Device, uint32_t*, uint32_t*, uint32_t*, uint32_t*);
  int (*deviceGetNvLinkState)(Device, uint32_t, int*);
  int (*deviceGetFieldValues)(Device, int, FieldValue*);
  int (*deviceGetMigMode)(Device, uint32_t*, uint32_t*);
  int (*deviceGetMaxMigDeviceCount)(Device, uint32_t*);
  int (*deviceGetMigDeviceHandleByIndex)(Device, uint32_t, Device*);
  int (*computeProcessesV3)(Device, uint32_t*, void*);
  int (*computeProcessesV2)(Device, uint32_t*, void*);
  int (*computeProcessesV1)(Device, uint32_t*, void*);
  int (*graphicsProcessesV3)(Device, uint32_t*, void*);
  int (*graphicsProcessesV2)(Device, uint32_t*, void*);
  int (*graphicsProcessesV1)(Device, uint32_t*, void*);
  int (*mpsProcessesV3)(Device, uint32_t*, void*);
  int (*mpsProcessesV2)(Device, uint32_t*, void*);
  int (*mpsProcessesV1)(Device, uint32_t*, void*);
  /// Never called: their presence identifies the 535 releases whose _v3 lists have another stride.
  void* confComputeMemSizeInfo;
  void* runningProcessDetailList;
  int (*deviceGetProcessesUtilizationInfo)(Device, ProcessesUtilizationInfo*);
  int (*deviceGetProcessUtilization)(Device, ProcessUtilizationSample*, uint32_t*, uint64_t);
  int (*eventSetCreate)(EventSet*);
  int (*eventSetFree)(EventSet);
  int (*eventSetWait)(EventSet, EventData*, uint32_t);
  int (*deviceRegisterEvents)(Device, uint64_t, EventSet);
  int (*deviceGetSupportedEventTypes)(Device, uint64_t*);
};

/// Which file a path leads to, and which version of it.
struct FileIdentity {
  dev_t device = 0;
  ino_t inode = 0;
  off_t size = 0;
  timespec changed{};

  bool operator==(const FileIdentity& other) const {
    return device == other.device && inode == other.inode && size == other.size &&
           changed.tv_sec == other.changed.tv_sec && changed.tv_nsec == other.changed.tv_nsec;
  }
};

struct Library {
  bool loaded = false;
  /// Where it was found, links resolved; empty where it was not.
  std::string path;
  /// Where the loader found it.
  std::string link;
  /// What stood there when this process mapped it.
  FileIdentity mapped;
  /// Why there is none: one clause for each place that held something unusable, else where it was looked for.
  std::string failure;
  Symbols symbols{};
};

/// Opens the first usable library of `paths`. It is never closed again: threads of the driver may still run in it.
Library OpenLibrary(const std::vector<std::string>& paths);

/// Another file stands in its place by now: the driver was upgraded. A process can't open that one, since the loader
/// gives it the mapped one again by its name.
bool WasReplaced(const Library& library);

}  // namespace nvml
