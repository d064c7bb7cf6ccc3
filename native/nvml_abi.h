// The binary interface of libnvidia-ml on LP64 (x86-64, aarch64), declared by hand so that no CUDA toolkit is needed.
// Sizes and offsets are those of NVIDIA's nvml.h, 440 to 590; a structure is named for the version that it has there.
#pragma once

#include <cstddef>
#include <cstdint>

namespace nvml {

using Device = void*;
using EventSet = void*;

/// nvmlReturn_t. Libraries may return numbers that are newer than this list.
enum Return : int {
  kSuccess = 0,
  kUninitialized = 1,
  kInvalidArgument = 2,
  kNotSupported = 3,
  kNoPermission = 4,
  kNotFound = 6,
  kInsufficientSize = 7,
  kInsufficientPower = 8,
  kDriverNotLoaded = 9,
  kTimeout = 10,
  kIrqIssue = 11,
  kLibraryNotFound = 12,
  kFunctionNotFound = 13,
  kCorruptedInforom = 14,
  kGpuIsLost = 15,
  kResetRequired = 16,
  kOperatingSystem = 17,
  kVersionMismatch = 18,
  kInUse = 19,
  kMemory = 20,
  kNoData = 21,
  kArgumentVersionMismatch = 25,
  kDeprecated = 26,
  kNotReady = 27,
  kGpuNotFound = 28,
  kUnknown = 999,
};

/// Buffers are larger than any release asks for (UUID 96, name 96, version 80).
constexpr uint32_t kTextSize = 128;
/// usedGpuMemory where the driver does not know it (WDDM, WSL).
constexpr uint64_t kValueNotAvailable = UINT64_MAX;
/// gpuInstanceId and computeInstanceId of a process outside MIG.
constexpr uint32_t kNoInstance = UINT32_MAX;
constexpr uint64_t kEventXid = 0x8;
constexpr int kClockSm = 1;
constexpr int kTemperatureGpu = 0;
constexpr int kEccUncorrected = 1;
constexpr int kEccVolatile = 0;
/// NVLINK_MAX_LINKS of the newest header; older drivers answer INVALID_ARGUMENT or NOT_SUPPORTED past their own end.
constexpr uint32_t kMaxLinks = 36;
/// More GPUs than any host has, and as many as a heartbeat carries: bounds what a broken driver can cost.
constexpr uint32_t kMaxDevices = 256;
/// MIG slots of one GPU; 7 on all that exist.
constexpr uint32_t kMaxMigSlots = 64;
/// NVML_FI_DEV_GET_GPU_RECOVERY_ACTION, since 565: 0 none, 1 reset, 2 reboot, 3 drain P2P, 4 drain and reset.
constexpr uint32_t kFieldRecoveryAction = 230;

/// nvmlPciInfo_t as nvmlDeviceGetPciInfo_v3 writes it; older calls write the first 52 bytes and leave busId.
struct PciInfo {
  char busIdLegacy[16];
  uint32_t domain;
  uint32_t bus;
  uint32_t device;
  uint32_t pciDeviceId;
  uint32_t pciSubSystemId;
  char busId[32];
};
static_assert(sizeof(PciInfo) == 68, "nvmlPciInfo_t");
static_assert(offsetof(PciInfo, domain) == 16, "nvmlPciInfo_t.domain");
static_assert(offsetof(PciInfo, pciSubSystemId) == 32, "nvmlPciInfo_t.pciSubSystemId");
static_assert(offsetof(PciInfo, busId) == 36, "nvmlPciInfo_t.busId");

/// nvmlMemory_t: `used` contains what the driver reserves.
struct Memory {
  uint64_t total;
  uint64_t free;
  uint64_t used;
};
static_assert(sizeof(Memory) == 24, "nvmlMemory_t");
static_assert(offsetof(Memory, free) == 8 && offsetof(Memory, used) == 16, "nvmlMemory_t");

/// nvmlMemory_v2_t: `used` does not contain what the driver reserves.
struct MemoryV2 {
  uint32_t version;
  uint64_t total;
  uint64_t reserved;
  uint64_t free;
  uint64_t used;
};
static_assert(sizeof(MemoryV2) == 40, "nvmlMemory_v2_t");
static_assert(offsetof(MemoryV2, total) == 8 && offsetof(MemoryV2, reserved) == 16, "nvmlMemory_v2_t");
static_assert(offsetof(MemoryV2, free) == 24 && offsetof(MemoryV2, used) == 32, "nvmlMemory_v2_t");

struct Utilization {
  uint32_t gpu;
  uint32_t memory;
};
static_assert(sizeof(Utilization) == 8, "nvmlUtilization_t");

/// nvmlProcessInfo_v1_t: the unversioned calls, every driver.
struct ProcessInfoV1 {
  uint32_t pid;
  uint64_t usedGpuMemory;
};
static_assert(sizeof(ProcessInfoV1) == 16 && offsetof(ProcessInfoV1, usedGpuMemory) == 8, "nvmlProcessInfo_v1_t");

/// nvmlProcessInfo_v2_t: the _v2 calls since 450.66, and _v3 of all drivers but 535.43 to 535.86.
struct ProcessInfoV2 {
  uint32_t pid;
  uint64_t usedGpuMemory;
  uint32_t gpuInstanceId;
  uint32_t computeInstanceId;
};
static_assert(sizeof(ProcessInfoV2) == 24, "nvmlProcessInfo_v2_t");
static_assert(offsetof(ProcessInfoV2, gpuInstanceId) == 16, "nvmlProcessInfo_v2_t");
static_assert(offsetof(ProcessInfoV2, computeInstanceId) == 20, "nvmlProcessInfo_v2_t");

/// What the _v3 calls of 535.43 to 535.86 write, under an unchanged symbol: a field more.
struct ProcessInfoCc {
  uint32_t pid;
  uint64_t usedGpuMemory;
  uint32_t gpuInstanceId;
  uint32_t computeInstanceId;
  uint64_t usedGpuCcProtectedMemory;
};
static_assert(sizeof(ProcessInfoCc) == 32, "nvmlProcessInfo_t of 535.43");
static_assert(offsetof(ProcessInfoCc, usedGpuCcProtectedMemory) == 24, "nvmlProcessInfo_t of 535.43");

struct ProcessUtilizationSample {
  uint32_t pid;
  uint64_t timeStamp;  ///< microseconds since the epoch, CPU time
  uint32_t smUtil;
  uint32_t memUtil;
  uint32_t encUtil;
  uint32_t decUtil;
};
static_assert(sizeof(ProcessUtilizationSample) == 32, "nvmlProcessUtilizationSample_t");
static_assert(offsetof(ProcessUtilizationSample, timeStamp) == 8, "nvmlProcessUtilizationSample_t");
static_assert(offsetof(ProcessUtilizationSample, smUtil) == 16, "nvmlProcessUtilizationSample_t");

struct ProcessUtilizationInfo {
  uint64_t timeStamp;
  uint32_t pid;
  uint32_t smUtil;
  uint32_t memUtil;
  uint32_t encUtil;
  uint32_t decUtil;
  uint32_t jpgUtil;
  uint32_t ofaUtil;
};
static_assert(sizeof(ProcessUtilizationInfo) == 40, "nvmlProcessUtilizationInfo_v1_t");
static_assert(offsetof(ProcessUtilizationInfo, pid) == 8, "nvmlProcessUtilizationInfo_v1_t");
static_assert(offsetof(ProcessUtilizationInfo, smUtil) == 12, "nvmlProcessUtilizationInfo_v1_t");

struct ProcessesUtilizationInfo {
  uint32_t version;
  uint32_t processSamplesCount;
  uint64_t lastSeenTimeStamp;
  ProcessUtilizationInfo* procUtilArray;
};
static_assert(sizeof(ProcessesUtilizationInfo) == 24, "nvmlProcessesUtilizationInfo_t");
static_assert(offsetof(ProcessesUtilizationInfo, procUtilArray) == 16, "nvmlProcessesUtilizationInfo_t");

struct Temperature {
  uint32_t version;
  int sensorType;
  int temperature;
};
static_assert(sizeof(Temperature) == 12, "nvmlTemperature_t");

/// nvmlEventData_t; the first event call writes only the first 24 bytes.
struct EventData {
  Device device;
  uint64_t eventType;
  uint64_t eventData;
  uint32_t gpuInstanceId;
  uint32_t computeInstanceId;
};
static_assert(sizeof(EventData) == 32, "nvmlEventData_t");
static_assert(offsetof(EventData, eventData) == 16 && offsetof(EventData, gpuInstanceId) == 24, "nvmlEventData_t");

enum ValueType : int {
  kDouble = 0,
  kUnsignedInt = 1,
  kUnsignedLong = 2,
  kUnsignedLongLong = 3,
  kSignedLongLong = 4,
  kSignedInt = 5,
  kUnsignedShort = 6,
};

union Value {
  double d;
  int si;
  uint32_t ui;
  uint64_t ull;
  int64_t sll;
  uint16_t us;
};

struct FieldValue {
  uint32_t fieldId;
  uint32_t scopeId;
  int64_t timestamp;
  int64_t latencyUsec;
  int valueType;
  int nvmlReturn;
  Value value;
};
static_assert(sizeof(FieldValue) == 40, "nvmlFieldValue_t");
static_assert(offsetof(FieldValue, timestamp) == 8 && offsetof(FieldValue, valueType) == 24, "nvmlFieldValue_t");
static_assert(offsetof(FieldValue, nvmlReturn) == 28 && offsetof(FieldValue, value) == 32, "nvmlFieldValue_t");

/// NVML_STRUCT_VERSION: the size in the low bits, the version above. Another value is refused.
template <typename T>
constexpr uint32_t StructVersion(uint32_t version) {
  return static_cast<uint32_t>(sizeof(T)) | version << 24;
}
static_assert(StructVersion<MemoryV2>(2) == 0x02000028, "NVML_STRUCT_VERSION");
static_assert(StructVersion<ProcessesUtilizationInfo>(1) == 0x01000018, "NVML_STRUCT_VERSION");
static_assert(StructVersion<Temperature>(1) == 0x0100000C, "NVML_STRUCT_VERSION");

}  // namespace nvml
