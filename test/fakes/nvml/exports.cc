// The symbols that a driver generation exports. GENERATION is the release: 440, 470, 510, 53554 (535.54), 53598
// (535.98), 550, 590. What a generation lacks is not compiled, so that a lookup fails as it does there.
#include <cstdio>

#include "library.h"

#define EXPORT extern "C" __attribute__((visibility("default")))

EXPORT int nvmlInit_v2() { return fake::Init(GENERATION); }
EXPORT int nvmlSystemGetNVMLVersion(char* text, uint32_t size) {
  return std::snprintf(text, size, "12.%d", GENERATION) > 0 ? 0 : 7;
}
EXPORT int nvmlShutdown() { return fake::Shutdown(); }
EXPORT int nvmlSystemGetDriverVersion(char* text, uint32_t size) { return fake::DriverVersion(text, size); }
EXPORT int nvmlDeviceGetCount_v2(uint32_t* count) { return fake::Count(count); }
EXPORT int nvmlDeviceGetHandleByIndex_v2(uint32_t index, void** device) { return fake::HandleByIndex(index, device); }
EXPORT int nvmlDeviceGetUUID(void* d, char* text, uint32_t size) { return fake::Uuid(d, text, size); }
EXPORT int nvmlDeviceGetName(void* d, char* text, uint32_t size) { return fake::Name(d, text, size); }
EXPORT int nvmlDeviceGetPciInfo(void* d, void* info) { return fake::PciInfo(d, info, false); }
EXPORT int nvmlDeviceGetPciInfo_v3(void* d, void* info) { return fake::PciInfo(d, info, true); }
EXPORT int nvmlDeviceGetCudaComputeCapability(void* d, int* major, int* minor) {
  return fake::ComputeCapability(d, major, minor);
}
EXPORT int nvmlDeviceGetMemoryInfo(void* d, void* memory) { return fake::MemoryV1(d, memory); }
EXPORT int nvmlDeviceGetUtilizationRates(void* d, void* utilization) { return fake::Utilization(d, utilization); }
EXPORT int nvmlDeviceGetTemperature(void* d, int sensor, uint32_t* value) {
  return fake::Temperature(d, sensor, value);
}
EXPORT int nvmlDeviceGetPowerUsage(void* d, uint32_t* value) { return fake::Power(d, value); }
EXPORT int nvmlDeviceGetEnforcedPowerLimit(void* d, uint32_t* value) { return fake::PowerLimit(d, value); }
EXPORT int nvmlDeviceGetClockInfo(void* d, int type, uint32_t* value) { return fake::Clock(d, type, value); }
EXPORT int nvmlDeviceGetFanSpeed(void* d, uint32_t* value) { return fake::Fan(d, value); }
EXPORT int nvmlDeviceGetCurrentClocksThrottleReasons(void* d, uint64_t* bits) { return fake::Throttle(d, bits); }
EXPORT int nvmlDeviceGetTotalEccErrors(void* d, int type, int counter, uint64_t* errors) {
  return fake::Ecc(d, type, counter, errors);
}
EXPORT int nvmlDeviceGetNvLinkState(void* d, uint32_t link, int* active) { return fake::NvLinkState(d, link, active); }
EXPORT int nvmlDeviceGetFieldValues(void* d, int count, void* values) {
  return fake::FieldValues(d, count, values, GENERATION == 590);
}
EXPORT int nvmlDeviceGetProcessUtilization(void* d, void* samples, uint32_t* count, uint64_t since) {
  return fake::ProcessUtilization(d, samples, count, since);
}
EXPORT int nvmlEventSetCreate(void** set) { return fake::EventCreate(set); }
EXPORT int nvmlEventSetFree(void* set) { return fake::EventFree(set); }
EXPORT int nvmlEventSetWait(void* set, void* data, uint32_t ms) { return fake::EventWait(set, data, ms, false); }
EXPORT int nvmlDeviceRegisterEvents(void* d, uint64_t mask, void* set) { return fake::RegisterEvents(d, mask, set); }
EXPORT int nvmlDeviceGetSupportedEventTypes(void* d, uint64_t* mask) { return fake::SupportedEvents(d, mask); }

#define PROCESS_LIST(NAME, KIND, STRIDE)                          \
  EXPORT int NAME(void* d, uint32_t* count, void* infos) {        \
    return fake::Processes(d, #NAME, KIND, STRIDE, count, infos); \
  }

PROCESS_LIST(nvmlDeviceGetComputeRunningProcesses, 'C', 16)
PROCESS_LIST(nvmlDeviceGetGraphicsRunningProcesses, 'G', 16)

#if GENERATION != 440
PROCESS_LIST(nvmlDeviceGetComputeRunningProcesses_v2, 'C', 24)
PROCESS_LIST(nvmlDeviceGetGraphicsRunningProcesses_v2, 'G', 24)
PROCESS_LIST(nvmlDeviceGetMPSComputeRunningProcesses, 'M', 16)
PROCESS_LIST(nvmlDeviceGetMPSComputeRunningProcesses_v2, 'M', 24)
EXPORT int nvmlDeviceGetMigMode(void* d, uint32_t* now, uint32_t* then) { return fake::MigMode(d, now, then); }
EXPORT int nvmlDeviceGetMaxMigDeviceCount(void* d, uint32_t* count) { return fake::MaxMig(d, count); }
EXPORT int nvmlDeviceGetMigDeviceHandleByIndex(void* d, uint32_t slot, void** mig) {
  return fake::MigHandle(d, slot, mig);
}
EXPORT int nvmlDeviceGetRemappedRows(void* d, uint32_t* c, uint32_t* u, uint32_t* pending, uint32_t* failed) {
  return fake::Remapped(d, c, u, pending, failed);
}
EXPORT int nvmlEventSetWait_v2(void* set, void* data, uint32_t ms) { return fake::EventWait(set, data, ms, true); }
#endif

#if GENERATION != 440 && GENERATION != 470
EXPORT int nvmlDeviceGetMemoryInfo_v2(void* d, void* memory) { return fake::MemoryV2(d, memory); }
#if GENERATION != 53598
#if GENERATION == 53554
#define STRIDE_V3 32
#else
#define STRIDE_V3 24
#endif
PROCESS_LIST(nvmlDeviceGetComputeRunningProcesses_v3, 'C', STRIDE_V3)
PROCESS_LIST(nvmlDeviceGetGraphicsRunningProcesses_v3, 'G', STRIDE_V3)
PROCESS_LIST(nvmlDeviceGetMPSComputeRunningProcesses_v3, 'M', STRIDE_V3)
#endif
#endif

#if GENERATION != 440 && GENERATION != 470 && GENERATION != 510
EXPORT int nvmlDeviceGetCurrentClocksEventReasons(void* d, uint64_t* bits) { return fake::Throttle(d, bits); }
EXPORT int nvmlDeviceGetConfComputeMemSizeInfo(void*, void*) { return 3; }
#if GENERATION != 53554
EXPORT int nvmlDeviceGetRunningProcessDetailList(void*, void*) { return 3; }
#endif
#endif

#if GENERATION == 550 || GENERATION == 590
EXPORT int nvmlDeviceGetProcessesUtilizationInfo(void* d, void* info) { return fake::ProcessesUtilization(d, info); }
#endif

#if GENERATION == 590
EXPORT int nvmlDeviceGetTemperatureV(void* d, void* temperature) { return fake::TemperatureV(d, temperature); }
#endif
