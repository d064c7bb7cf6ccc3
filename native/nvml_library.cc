#include "nvml_library.h"

#include <dlfcn.h>
#include <link.h>

#include <climits>
#include <cstdlib>
#include <cstring>
#include <initializer_list>
#include <map>
#include <mutex>
#include <optional>

#include "library_probe.h"

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

  Find(handle, s.systemGetNvmlVersion, {"nvmlSystemGetNVMLVersion"});
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

/// Where the loader found a library.
std::string LinkOf(void* handle, const std::string& asked) {
  struct link_map* map = nullptr;
  if (dlinfo(handle, RTLD_DI_LINKMAP, &map) != 0 || map == nullptr || map->l_name == nullptr) return asked;
  return map->l_name;
}

std::string Resolved(const std::string& path) {
  char resolved[PATH_MAX];
  return realpath(path.c_str(), resolved) != nullptr ? resolved : path;
}

std::optional<FileIdentity> IdentityOf(const std::string& path) {
  struct stat status {};
  if (stat(path.c_str(), &status) != 0) return std::nullopt;
  return FileIdentity{status.st_dev, status.st_ino, status.st_size, status.st_mtim};
}

/// What stood in a library's place when this process mapped it first. Never destroyed, like the libraries.
FileIdentity FirstMapped(void* handle, const std::string& link) {
  static auto* mutex = new std::mutex;
  static auto* first = new std::map<void*, FileIdentity>;
  const std::lock_guard<std::mutex> lock(*mutex);
  return first->try_emplace(handle, IdentityOf(link).value_or(FileIdentity{})).first->second;
}

/// Names the directories.
std::string NowhereIn(const std::vector<std::string>& paths) {
  std::string places;
  for (const std::string& path : paths) {
    const size_t slash = path.rfind('/');
    places += places.empty() ? "" : ", ";
    places += slash == std::string::npos ? "the loader's path" : path.substr(0, slash);
  }
  return "libnvidia-ml.so.1 is nowhere; looked for in " + places;
}

}  // namespace

bool WasReplaced(const Library& library) {
  const std::optional<FileIdentity> now = IdentityOf(library.link);
  // With no file there the upgrade is still at work.
  return now.has_value() && !(*now == library.mapped);
}

Library OpenLibrary(const std::vector<std::string>& paths) {
  Library library;
  auto refuse = [&library](const std::string& reason) {
    library.failure += (library.failure.empty() ? "" : "; ") + reason;
  };
  for (const std::string& path : paths) {
    void* handle = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (handle == nullptr) {
      const char* error = dlerror();
      const std::string reason = error != nullptr ? error : path + " can't be opened";
      // "No such file" is the normal answer of every place but one.
      if (reason.find("No such file") == std::string::npos) refuse(reason);
      continue;
    }
    const std::string link = LinkOf(handle, path);
    const std::string file = Resolved(link);
    Symbols symbols{};
    const char* missing = FindAll(handle, symbols);
    if (missing != nullptr) {
      refuse(file + " has no " + missing);
      continue;
    }
    if (symbols.systemGetNvmlVersion != nullptr && !KnowsItsVersion(symbols.systemGetNvmlVersion)) {
      // As long as it is open, the loader would hand it out again under the name of the real one.
      dlclose(handle);
      refuse(file + " is a stub for linking, not the driver's library: it does not even give its version");
      continue;
    }
    library.loaded = true;
    library.path = file;
    library.link = link;
    library.mapped = FirstMapped(handle, link);
    library.failure.clear();
    library.symbols = symbols;
    return library;
  }
  if (library.failure.empty()) library.failure = NowhereIn(paths);
  return library;
}

}  // namespace nvml
