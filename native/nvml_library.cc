#include "nvml_library.h"

#include <dlfcn.h>
#include <link.h>

#include <climits>
#include <cstdlib>
#include <cstring>
#include <initializer_list>

namespace nvml {
namespace {

/// Puts the first of `names` (newest first) into `slot`; false where the library has none of them.
template <typename Function>
bool Find(void* handle, Function& slot, std::initializer_list<const char*> names) {
  for (const char* name : names) {
    void* symbol = dlsym(handle, name);
    if (symbol == nullptr) continue;
    static_assert(sizeof(symbol) == sizeof(slot), "a function pointer is a pointer");
    std::memcpy(&slot, &symbol, sizeof(symbol));
    return true;
  }
  return false;
}

/// Fills the table; returns the name of a required function that is missing, or null.
/// Names in one list share one signature; where a release changed the layout, each layout has a slot of its own.
const char* FindAll(void* handle, Symbols& s) {
  if (!Find(handle, s.init, {"nvmlInit_v2", "nvmlInit"})) return "nvmlInit_v2";
  if (!Find(handle, s.shutdown, {"nvmlShutdown"})) return "nvmlShutdown";
  if (!Find(handle, s.deviceGetCount, {"nvmlDeviceGetCount_v2", "nvmlDeviceGetCount"})) return "nvmlDeviceGetCount_v2";
  if (!Find(handle, s.deviceGetHandleByIndex, {"nvmlDeviceGetHandleByIndex_v2", "nvmlDeviceGetHandleByIndex"})) {
    return "nvmlDeviceGetHandleByIndex_v2";
  }
  if (!Find(handle, s.deviceGetUuid, {"nvmlDeviceGetUUID"})) return "nvmlDeviceGetUUID";
  if (!Find(handle, s.deviceGetMemoryInfo, {"nvmlDeviceGetMemoryInfo"})) return "nvmlDeviceGetMemoryInfo";

  Find(handle, s.systemGetDriverVersion, {"nvmlSystemGetDriverVersion"});
  Find(handle, s.deviceGetName, {"nvmlDeviceGetName"});
  Find(handle, s.deviceGetPciInfoV3, {"nvmlDeviceGetPciInfo_v3"});  // 415
  Find(handle, s.deviceGetPciInfoOld, {"nvmlDeviceGetPciInfo_v2", "nvmlDeviceGetPciInfo"});
  Find(handle, s.deviceGetCudaComputeCapability, {"nvmlDeviceGetCudaComputeCapability"});
  Find(handle, s.deviceGetMemoryInfoV2, {"nvmlDeviceGetMemoryInfo_v2"});  // 510.39
  Find(handle, s.deviceGetUtilizationRates, {"nvmlDeviceGetUtilizationRates"});
  Find(handle, s.deviceGetTemperatureV, {"nvmlDeviceGetTemperatureV"});  // 565.57
  Find(handle, s.deviceGetTemperature, {"nvmlDeviceGetTemperature"});
  Find(handle, s.deviceGetPowerUsage, {"nvmlDeviceGetPowerUsage"});
  Find(handle, s.deviceGetEnforcedPowerLimit, {"nvmlDeviceGetEnforcedPowerLimit"});
  Find(handle, s.deviceGetClockInfo, {"nvmlDeviceGetClockInfo"});
  Find(handle, s.deviceGetFanSpeed, {"nvmlDeviceGetFanSpeed"});
  Find(handle, s.deviceGetThrottleReasons,  // 535.43 renamed it
       {"nvmlDeviceGetCurrentClocksEventReasons", "nvmlDeviceGetCurrentClocksThrottleReasons"});
  Find(handle, s.deviceGetTotalEccErrors, {"nvmlDeviceGetTotalEccErrors"});
  Find(handle, s.deviceGetRemappedRows, {"nvmlDeviceGetRemappedRows"});  // 450.51
  Find(handle, s.deviceGetNvLinkState, {"nvmlDeviceGetNvLinkState"});
  Find(handle, s.deviceGetFieldValues, {"nvmlDeviceGetFieldValues"});
  Find(handle, s.deviceGetMigMode, {"nvmlDeviceGetMigMode"});                                // 450.51
  Find(handle, s.deviceGetMaxMigDeviceCount, {"nvmlDeviceGetMaxMigDeviceCount"});            // 450.51
  Find(handle, s.deviceGetMigDeviceHandleByIndex, {"nvmlDeviceGetMigDeviceHandleByIndex"});  // 450.51
  Find(handle, s.computeProcessesV3, {"nvmlDeviceGetComputeRunningProcesses_v3"});           // 510.39, not in 535.98
  Find(handle, s.computeProcessesV2, {"nvmlDeviceGetComputeRunningProcesses_v2"});           // 450.66
  Find(handle, s.computeProcessesV1, {"nvmlDeviceGetComputeRunningProcesses"});
  Find(handle, s.graphicsProcessesV3, {"nvmlDeviceGetGraphicsRunningProcesses_v3"});
  Find(handle, s.graphicsProcessesV2, {"nvmlDeviceGetGraphicsRunningProcesses_v2"});
  Find(handle, s.graphicsProcessesV1, {"nvmlDeviceGetGraphicsRunningProcesses"});
  Find(handle, s.mpsProcessesV3, {"nvmlDeviceGetMPSComputeRunningProcesses_v3"});
  Find(handle, s.mpsProcessesV2, {"nvmlDeviceGetMPSComputeRunningProcesses_v2"});                // 470.42
  Find(handle, s.mpsProcessesV1, {"nvmlDeviceGetMPSComputeRunningProcesses"});                   // 470.42
  Find(handle, s.confComputeMemSizeInfo, {"nvmlDeviceGetConfComputeMemSizeInfo"});               // 535.43
  Find(handle, s.runningProcessDetailList, {"nvmlDeviceGetRunningProcessDetailList"});           // 535.98
  Find(handle, s.deviceGetProcessesUtilizationInfo, {"nvmlDeviceGetProcessesUtilizationInfo"});  // 550.40
  Find(handle, s.deviceGetProcessUtilization, {"nvmlDeviceGetProcessUtilization"});              // 384
  Find(handle, s.eventSetCreate, {"nvmlEventSetCreate"});
  Find(handle, s.eventSetFree, {"nvmlEventSetFree"});
  Find(handle, s.eventSetWait, {"nvmlEventSetWait_v2", "nvmlEventSetWait"});  // 450.51
  Find(handle, s.deviceRegisterEvents, {"nvmlDeviceRegisterEvents"});
  Find(handle, s.deviceGetSupportedEventTypes, {"nvmlDeviceGetSupportedEventTypes"});
  return nullptr;
}

/// The file behind a handle, links resolved.
std::string FileOf(void* handle, const std::string& asked) {
  struct link_map* map = nullptr;
  if (dlinfo(handle, RTLD_DI_LINKMAP, &map) != 0 || map == nullptr || map->l_name == nullptr) return asked;
  char resolved[PATH_MAX];
  return realpath(map->l_name, resolved) != nullptr ? resolved : map->l_name;
}

}  // namespace

std::vector<std::string> DefaultLibraryPaths() {
  return {
      "libnvidia-ml.so.1",  // the loader's own search: the driver's package, LD_LIBRARY_PATH, the container toolkit
      "/usr/lib/wsl/lib/libnvidia-ml.so.1",
      "/run/opengl-driver/lib/libnvidia-ml.so.1",     // NixOS
      "/usr/local/nvidia/lib64/libnvidia-ml.so.1",    // GKE's driver installer
      "/usr/lib/x86_64-linux-gnu/libnvidia-ml.so.1",  // where CUDA's stub came first on the search path
      "/usr/lib/aarch64-linux-gnu/libnvidia-ml.so.1",
      "/usr/lib64/libnvidia-ml.so.1",
  };
}

Library OpenLibrary(const std::vector<std::string>& paths) {
  Library library;
  std::string not_found;
  auto refuse = [&library](const std::string& reason) {
    library.failure += (library.failure.empty() ? "" : "; ") + reason;
  };
  for (const std::string& path : paths) {
    void* handle = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (handle == nullptr) {
      const char* error = dlerror();
      const std::string reason = error != nullptr ? error : path + " can't be opened";
      // "No such file" is the normal answer of every place but one; anything else is worth telling.
      if (reason.find("No such file") == std::string::npos) refuse(reason);
      if (not_found.empty()) not_found = reason;
      continue;
    }
    const std::string file = FileOf(handle, path);
    if (file.find("/stubs/") != std::string::npos) {
      // CUDA's stub, for linking only: it prints a banner and answers nothing. Not used, so it may be closed; as long
      // as it is open, the loader would hand it out again under the name of the real one.
      refuse(file + " is CUDA's stub, not the driver's library");
      dlclose(handle);
      continue;
    }
    Symbols symbols{};
    const char* missing = FindAll(handle, symbols);
    if (missing != nullptr) {
      refuse(file + " has no " + missing);
      continue;
    }
    library.loaded = true;
    library.path = file;
    library.failure.clear();
    library.symbols = symbols;
    return library;
  }
  if (library.failure.empty()) library.failure = not_found;
  return library;
}

}  // namespace nvml
