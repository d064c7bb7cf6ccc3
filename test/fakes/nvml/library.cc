#include "library.h"

#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <thread>

#include "layout.h"
#include "machine.h"

namespace fake {
namespace {

constexpr int kSuccess = 0, kUninitialized = 1, kInvalidArgument = 2, kNotSupported = 3, kNotFound = 6,
              kInsufficientSize = 7, kTimeout = 10, kVersionMismatch = 18, kUnknown = 999,
              kArgumentVersionMismatch = 25;

/// Handles are numbers: 1 + index of a GPU, 4096 + 64 * index + slot of a MIG device.
constexpr uintptr_t kMigBase = 4096, kMigStride = 64;

/// What lasts over a process's life. Never destroyed, like the machine.
struct Library {
  std::mutex mutex;
  int initialized = 0;
  int generation = 0;  ///< of the library, once it is initialized
  std::map<std::string, unsigned> calls;
  size_t xidsTold = 0;
};

Library& State() {
  static Library* state = new Library;
  return *state;
}

void Sleep(unsigned milliseconds) { std::this_thread::sleep_for(std::chrono::milliseconds(milliseconds)); }

/// Does what the scenario says of a function before it answers. Returns its code.
int Enter(const std::string& function) {
  Scenario now = TheMachine().Now();
  unsigned number = 0;
  {
    const std::lock_guard<std::mutex> lock(State().mutex);
    number = ++State().calls[function];
  }
  const auto found = now.calls.find(function);
  if (found == now.calls.end()) return kSuccess;
  const Rule rule = found->second;
  if (rule.dieAt == number) {
    signal(SIGSEGV, SIG_DFL);
    raise(SIGSEGV);
  }
  if (rule.delayMs > 0) Sleep(rule.delayMs);
  while (rule.hang) {  // for ever, or until the scenario no longer says so
    Sleep(20);
    now = TheMachine().Now();
    const auto still = now.calls.find(function);
    if (still == now.calls.end() || !still->second.hang) break;
  }
  if (rule.codes.empty()) return kSuccess;
  return rule.codes[std::min<size_t>(number, rule.codes.size()) - 1];
}

struct Target {
  Scenario scenario;
  Gpu* gpu = nullptr;
  Mig* mig = nullptr;
};

/// Resolves a handle as the driver does, after Enter. A handle that was never given out is a crash, as in the driver.
int Resolve(void* device, const std::string& function, Target& target) {
  const int code = Enter(function);
  if (code != kSuccess) return code;
  {
    const std::lock_guard<std::mutex> lock(State().mutex);
    if (State().initialized == 0) return kUninitialized;
  }
  target.scenario = TheMachine().Now();
  if (target.scenario.module != 0 && target.scenario.module != State().generation) return kUnknown;
  const auto handle = reinterpret_cast<uintptr_t>(device);
  if (handle == 0) raise(SIGSEGV);
  const size_t index = handle >= kMigBase ? (handle - kMigBase) / kMigStride : handle - 1;
  if (index >= target.scenario.gpus.size()) return kInvalidArgument;
  target.gpu = &target.scenario.gpus[index];
  const auto own = target.gpu->codes.find(function);
  if (own != target.gpu->codes.end() && own->second != kSuccess) return own->second;
  if (handle >= kMigBase) {
    const uint32_t slot = static_cast<uint32_t>((handle - kMigBase) % kMigStride);
    for (Mig& mig : target.gpu->migs) {
      if (mig.slot == slot) target.mig = &mig;
    }
    if (target.mig == nullptr) return kInvalidArgument;  // a stale handle
  }
  return kSuccess;
}

int PutText(const std::string& value, char* text, uint32_t size) {
  if (value.size() + 1 > size) return kInsufficientSize;
  std::memcpy(text, value.c_str(), value.size() + 1);
  return kSuccess;
}

/// A plain number of a whole GPU; MIG devices don't have it.
template <typename T>
int Plain(void* device, const char* function, Amount Gpu::*member, T* value, bool hiddenByMig = false) {
  Target target;
  const int code = Resolve(device, function, target);
  if (code != kSuccess) return code;
  const Amount& amount = target.gpu->*member;
  if (target.mig != nullptr || !amount || (hiddenByMig && target.gpu->mig.value_or(0) != 0)) return kNotSupported;
  *value = static_cast<T>(*amount);
  return kSuccess;
}

uint64_t NowMicroseconds() {
  return static_cast<uint64_t>(
      std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::system_clock::now().time_since_epoch())
          .count());
}

bool InList(const Process& process, char kind) { return process.kind.find(kind) != std::string::npos; }

}  // namespace

int Init(int generation) {
  const int code = Enter("nvmlInit_v2");
  if (code != kSuccess) return code;
  const int module = TheMachine().Now().module;
  if (module != 0 && module != generation) return kVersionMismatch;
  const std::lock_guard<std::mutex> lock(State().mutex);
  State().initialized++;
  State().generation = generation;
  return kSuccess;
}

int Shutdown() {
  const int code = Enter("nvmlShutdown");
  const std::lock_guard<std::mutex> lock(State().mutex);
  if (State().initialized > 0) State().initialized--;
  return code;
}

int DriverVersion(char* text, uint32_t size) {
  const int code = Enter("nvmlSystemGetDriverVersion");
  return code != kSuccess ? code : PutText(TheMachine().Now().driver, text, size);
}

int Count(uint32_t* count) {
  const int code = Enter("nvmlDeviceGetCount_v2");
  if (code != kSuccess) return code;
  *count = static_cast<uint32_t>(TheMachine().Now().gpus.size());
  return kSuccess;
}

int HandleByIndex(uint32_t index, void** device) {
  const int code = Enter("nvmlDeviceGetHandleByIndex_v2");
  if (code != kSuccess) return code;
  const Scenario now = TheMachine().Now();
  if (index >= now.gpus.size()) return kInvalidArgument;
  const auto own = now.gpus[index].codes.find("nvmlDeviceGetHandleByIndex_v2");
  if (own != now.gpus[index].codes.end() && own->second != kSuccess) return own->second;
  *device = reinterpret_cast<void*>(uintptr_t{index} + 1);
  return kSuccess;
}

int Uuid(void* device, char* text, uint32_t size) {
  Target target;
  const int code = Resolve(device, "nvmlDeviceGetUUID", target);
  return code != kSuccess ? code : PutText(target.mig != nullptr ? target.mig->uuid : target.gpu->uuid, text, size);
}

int Name(void* device, char* text, uint32_t size) {
  Target target;
  const int code = Resolve(device, "nvmlDeviceGetName", target);
  if (code != kSuccess) return code;
  return PutText(target.mig != nullptr ? target.gpu->name + " MIG" : target.gpu->name, text, size);
}

int PciInfo(void* device, void* info, bool extended) {
  Target target;
  const int code = Resolve(device, "nvmlDeviceGetPciInfo_v3", target);
  if (code != kSuccess) return code;
  unsigned domain = 0, bus = 0, slot = 0;
  std::sscanf(target.gpu->bus.c_str(), "%x:%x:%x", &domain, &bus, &slot);
  std::memset(info, 0, extended ? 68 : 52);
  std::snprintf(static_cast<char*>(info), 16, "%04X:%02X:%02X.0", domain, bus, slot);
  Put<uint32_t>(info, 16, domain);
  Put<uint32_t>(info, 20, bus);
  Put<uint32_t>(info, 24, slot);
  if (extended) std::snprintf(static_cast<char*>(info) + 36, 32, "%08X:%02X:%02X.0", domain, bus, slot);
  return kSuccess;
}

int ComputeCapability(void* device, int* major, int* minor) {
  Target target;
  const int code = Resolve(device, "nvmlDeviceGetCudaComputeCapability", target);
  if (code != kSuccess) return code;
  if (std::sscanf(target.gpu->computeCapability.c_str(), "%d.%d", major, minor) != 2) return kNotSupported;
  return kSuccess;
}

namespace {

struct Memory {
  uint64_t total = 0, reserved = 0, used = 0;
};

int MemoryOf(void* device, const char* function, Memory& memory) {
  Target target;
  const int code = Resolve(device, function, target);
  if (code != kSuccess) return code;
  if (target.mig != nullptr) memory = {target.mig->total, target.mig->reserved, target.mig->used};
  if (target.mig != nullptr) return kSuccess;
  if (!target.gpu->total) return kNotSupported;
  memory = {*target.gpu->total, target.gpu->reserved.value_or(0), target.gpu->used.value_or(0)};
  return kSuccess;
}

}  // namespace

int MemoryV1(void* device, void* memory) {
  Memory now;
  const int code = MemoryOf(device, "nvmlDeviceGetMemoryInfo", now);
  if (code != kSuccess) return code;
  const uint64_t held = now.used + now.reserved;  // what is reserved counts as used
  Put<uint64_t>(memory, 0, now.total);
  Put<uint64_t>(memory, 8, now.total - held);
  Put<uint64_t>(memory, 16, held);
  return kSuccess;
}

int MemoryV2(void* device, void* memory) {
  Memory now;
  const int code = MemoryOf(device, "nvmlDeviceGetMemoryInfo_v2", now);
  if (code != kSuccess) return code;
  if (Get<uint32_t>(memory, 0) != 0x02000028) return 13;
  Put<uint64_t>(memory, 8, now.total);
  Put<uint64_t>(memory, 16, now.reserved);
  Put<uint64_t>(memory, 24, now.total - now.reserved - now.used);
  Put<uint64_t>(memory, 32, now.used);
  return kSuccess;
}

int Utilization(void* device, void* utilization) {
  uint32_t gpu = 0, memory = 0;
  const int code = Plain(device, "nvmlDeviceGetUtilizationRates", &Gpu::utilization, &gpu, true);
  if (code != kSuccess) return code;
  Target target;
  if (Resolve(device, "nvmlDeviceGetUtilizationRates", target) == kSuccess) {
    memory = static_cast<uint32_t>(target.gpu->memoryBus.value_or(0));
  }
  Put<uint32_t>(utilization, 0, gpu);
  Put<uint32_t>(utilization, 4, memory);
  return kSuccess;
}

int Temperature(void* device, int sensor, uint32_t* celsius) {
  if (sensor != 0) return kInvalidArgument;
  return Plain(device, "nvmlDeviceGetTemperature", &Gpu::temperature, celsius);
}

int TemperatureV(void* device, void* temperature) {
  if (Get<uint32_t>(temperature, 0) != 0x0100000C) return kArgumentVersionMismatch;
  int celsius = 0;
  const int code = Plain(device, "nvmlDeviceGetTemperature", &Gpu::temperature, &celsius);
  if (code == kSuccess) Put<int>(temperature, 8, celsius);
  return code;
}

int Power(void* device, uint32_t* milliwatts) {
  return Plain(device, "nvmlDeviceGetPowerUsage", &Gpu::powerMilliwatts, milliwatts);
}

int PowerLimit(void* device, uint32_t* milliwatts) {
  return Plain(device, "nvmlDeviceGetEnforcedPowerLimit", &Gpu::limitMilliwatts, milliwatts);
}

int Clock(void* device, int type, uint32_t* megahertz) {
  if (type != 1) return kInvalidArgument;
  return Plain(device, "nvmlDeviceGetClockInfo", &Gpu::smClock, megahertz);
}

int Fan(void* device, uint32_t* percent) { return Plain(device, "nvmlDeviceGetFanSpeed", &Gpu::fan, percent); }

int Throttle(void* device, uint64_t* bits) {
  return Plain(device, "nvmlDeviceGetCurrentClocksThrottleReasons", &Gpu::throttle, bits);
}

int Ecc(void* device, int type, int counter, uint64_t* errors) {
  if (type != 1 || counter != 0) return kInvalidArgument;
  return Plain(device, "nvmlDeviceGetTotalEccErrors", &Gpu::ecc, errors);
}

int Remapped(void* device, uint32_t* corrected, uint32_t* uncorrected, uint32_t* pending, uint32_t* failed) {
  *corrected = *uncorrected = 0;
  const int code = Plain(device, "nvmlDeviceGetRemappedRows", &Gpu::remapPending, pending, true);
  if (code != kSuccess) return code;
  return Plain(device, "nvmlDeviceGetRemappedRows", &Gpu::remapFailed, failed, true);
}

int NvLinkState(void* device, uint32_t link, int* active) {
  uint32_t total = 0, up = 0;
  int code = Plain(device, "nvmlDeviceGetNvLinkState", &Gpu::linksTotal, &total);
  if (code == kSuccess) code = Plain(device, "nvmlDeviceGetNvLinkState", &Gpu::linksUp, &up);
  if (code != kSuccess) return code;
  if (link >= total) return kInvalidArgument;
  *active = link < up ? 1 : 0;
  if (link == 0) Plain(device, "nvmlDeviceGetNvLinkState", &Gpu::linkState, active);
  return kSuccess;
}

int FieldValues(void* device, int count, void* values, bool knowsRecovery) {
  Target target;
  const int code = Resolve(device, "nvmlDeviceGetFieldValues", target);
  if (code != kSuccess) return code;
  for (int i = 0; i < count; i++) {
    char* field = static_cast<char*>(values) + 40 * i;
    int result = kInvalidArgument;
    if (Get<uint32_t>(field, 0) == 230 && knowsRecovery) {
      result = target.gpu->recovery ? kSuccess : kNotSupported;
      Put<int>(field, 24, 1);
      Put<uint32_t>(field, 32, static_cast<uint32_t>(target.gpu->recovery.value_or(0)));
    }
    Put<int>(field, 28, result);
  }
  return kSuccess;
}

int MigMode(void* device, uint32_t* current, uint32_t* pending) {
  const int code = Plain(device, "nvmlDeviceGetMigMode", &Gpu::mig, current);
  if (code == kSuccess) *pending = *current;
  return code;
}

int MaxMig(void* device, uint32_t* count) {
  Target target;
  const int code = Resolve(device, "nvmlDeviceGetMaxMigDeviceCount", target);
  if (code == kSuccess) *count = target.gpu->mig ? target.gpu->migSlots : 0;
  return code;
}

int MigHandle(void* device, uint32_t slot, void** mig) {
  Target target;
  const int code = Resolve(device, "nvmlDeviceGetMigDeviceHandleByIndex", target);
  if (code != kSuccess) return code;
  for (const Mig& candidate : target.gpu->migs) {
    if (candidate.slot != slot) continue;
    *mig = reinterpret_cast<void*>(kMigBase + (reinterpret_cast<uintptr_t>(device) - 1) * kMigStride + slot);
    return kSuccess;
  }
  return kNotFound;
}

int Processes(void* device, const char* function, char kind, unsigned stride, uint32_t* count, void* infos) {
  Target target;
  const int code = Resolve(device, function, target);
  if (code != kSuccess) return code;
  if (target.scenario.stride != 0) stride = target.scenario.stride;
  std::vector<const Process*> listed;
  for (const Process& process : target.gpu->processes) {
    if (!InList(process, kind)) continue;
    if (target.mig != nullptr && process.gpuInstance != target.mig->gpuInstance) continue;
    listed.push_back(&process);
  }
  const uint32_t room = infos == nullptr ? 0 : *count;
  *count = static_cast<uint32_t>(listed.size());
  if (listed.empty()) return kSuccess;
  if (room < listed.size()) return kInsufficientSize;
  for (size_t i = 0; i < listed.size(); i++) {
    char* info = static_cast<char*>(infos) + i * stride;
    Put<uint32_t>(info, 0, listed[i]->pid);
    Put<uint64_t>(info, 8, listed[i]->bytes.value_or(UINT64_MAX));
    if (stride >= 24) {
      Put<uint32_t>(info, 16, listed[i]->gpuInstance);
      Put<uint32_t>(info, 20, listed[i]->computeInstance);
    }
    if (stride >= 32) Put<uint64_t>(info, 24, 0);
  }
  return kSuccess;
}

namespace {

/// Processes that had something to do; their utilization goes into the ring.
std::vector<const Process*> Busy(const Target& target) {
  std::vector<const Process*> busy;
  for (const Process& process : target.gpu->processes) {
    if (process.utilization) busy.push_back(&process);
  }
  return busy;
}

}  // namespace

int ProcessUtilization(void* device, void* samples, uint32_t* count, uint64_t since) {
  Target target;
  const int code = Resolve(device, "nvmlDeviceGetProcessUtilization", target);
  if (code != kSuccess) return code;
  if (target.mig != nullptr || target.gpu->mig.value_or(0) != 0) return kNotSupported;
  const uint32_t capacity = 100;
  if (samples == nullptr) {
    *count = capacity;
    return kInsufficientSize;
  }
  const uint64_t now = NowMicroseconds();
  const std::vector<const Process*> busy = Busy(target);
  if (busy.empty() || since > now) return kNotFound;
  if (*count < busy.size()) return kInsufficientSize;
  uint32_t written = 0;
  auto add = [&](uint32_t pid, uint64_t at, uint32_t percent) {
    if (written >= *count) return;
    char* sample = static_cast<char*>(samples) + 32 * size_t{written++};
    std::memset(sample, 0, 32);
    Put<uint32_t>(sample, 0, pid);
    Put<uint64_t>(sample, 8, at);
    Put<uint32_t>(sample, 16, percent);
  };
  for (const Process* process : busy) add(process->pid, now, static_cast<uint32_t>(*process->utilization));
  for (uint32_t i = 0; target.scenario.ringGarbage && i < capacity; i++) {
    add(i % 2 == 0 ? 0 : busy[0]->pid, now, 4294967000U - i);
  }
  *count = written;
  return kSuccess;
}

int ProcessesUtilization(void* device, void* info) {
  Target target;
  const int code = Resolve(device, "nvmlDeviceGetProcessesUtilizationInfo", target);
  if (code != kSuccess) return code;
  if (target.mig != nullptr || target.gpu->mig.value_or(0) != 0) return kNotSupported;
  if (Get<uint32_t>(info, 0) != 0x01000018) return kArgumentVersionMismatch;
  const uint32_t room = Get<uint32_t>(info, 4);
  void* array = Get<void*>(info, 16);
  const std::vector<const Process*> busy = Busy(target);
  if (busy.empty()) return kNotFound;
  Put<uint32_t>(info, 4, static_cast<uint32_t>(busy.size()));
  if (array == nullptr || room < busy.size()) return kInsufficientSize;
  const uint64_t now = NowMicroseconds();
  for (size_t i = 0; i < busy.size(); i++) {
    char* sample = static_cast<char*>(array) + 40 * i;
    std::memset(sample, 0, 40);
    Put<uint64_t>(sample, 0, now);
    Put<uint32_t>(sample, 8, busy[i]->pid);
    Put<uint32_t>(sample, 12, static_cast<uint32_t>(*busy[i]->utilization));
  }
  return kSuccess;
}

int EventCreate(void** set) {
  const int code = Enter("nvmlEventSetCreate");
  if (code != kSuccess) return code;
  const size_t told = TheMachine().Now().xids.size();
  const std::lock_guard<std::mutex> lock(State().mutex);
  State().xidsTold = told;
  *set = &State();
  return kSuccess;
}

int EventFree(void*) { return Enter("nvmlEventSetFree"); }

int RegisterEvents(void* device, uint64_t, void*) {
  Target target;
  return Resolve(device, "nvmlDeviceRegisterEvents", target);
}

int SupportedEvents(void* device, uint64_t* mask) {
  Target target;
  const int code = Resolve(device, "nvmlDeviceGetSupportedEventTypes", target);
  if (code == kSuccess) *mask = 0x1F;
  return code;
}

int EventWait(void*, void* data, uint32_t, bool extended) {
  const int code = Enter("nvmlEventSetWait_v2");
  if (code != kSuccess) return code;
  const Scenario now = TheMachine().Now();
  const std::lock_guard<std::mutex> lock(State().mutex);
  if (State().xidsTold >= now.xids.size()) return kTimeout;
  const Xid& xid = now.xids[State().xidsTold++];
  Put<void*>(data, 0, reinterpret_cast<void*>(uintptr_t{xid.gpu} + 1));
  Put<uint64_t>(data, 8, 0x8);
  Put<uint64_t>(data, 16, xid.number);
  if (extended) Put<uint64_t>(data, 24, UINT64_MAX);
  return kSuccess;
}

}  // namespace fake
