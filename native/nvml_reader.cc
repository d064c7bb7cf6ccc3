#include "nvml_reader.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <map>
#include <utility>

#include "nvml_lists.h"

namespace nvml {

const std::array<const char*, kFieldCount> kFieldNames = {
    "memoryTotalBytes",   "memoryUsedBytes", "memoryReservedBytes", "utilizationPercent", "memoryBusPercent",
    "temperatureCelsius", "powerWatts",      "powerLimitWatts",     "smClockMhz",         "fanPercent",
    "throttleBits",       "eccUncorrected",  "remapPending",        "remapFailed",        "nvlinksUp",
    "nvlinksTotal",       "migEnabled",      "recoveryAction",      "processes",          "processUtilization",
    "xidEvents",
};

namespace {

/// Codes after which the whole library has to be initialized again.
bool IsLifecycle(int code) { return code == kUninitialized || code == kDriverNotLoaded || code == kVersionMismatch; }

/// Codes of a GPU that can't be used until it is reset.
bool IsGone(int code) { return code == kGpuIsLost || code == kResetRequired; }

/// Asked where GPUs are enumerated, whatever a pass finds of them.
bool IsOfEnumeration(size_t field) { return field == kMigEnabled || field == kXidEvents; }

std::string BusId(const PciInfo& info) {
  char text[32];
  std::snprintf(text, sizeof(text), "%08X:%02X:%02X.0", info.domain, info.bus, info.device);
  return text;
}

uint64_t NowMicroseconds() {
  return static_cast<uint64_t>(
      std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::system_clock::now().time_since_epoch())
          .count());
}

/// The text that a call of the form f(device, buffer, size) gives; empty where it fails.
template <typename Call>
std::string Text(Call call) {
  char text[kTextSize + 1] = {};
  if (call(text, kTextSize) != kSuccess) return "";
  return text;
}

}  // namespace

NvmlReader::NvmlReader(const Symbols& symbols, std::function<void()> alive)
    : nvml_(symbols), alive_(std::move(alive)) {}

int NvmlReader::Init() {
  states_.clear();
  events_ = nullptr;
  count_code_ = kSuccess;
  const int code = nvml_.init();
  if (code != kSuccess) return code;
  if (nvml_.systemGetDriverVersion != nullptr) {
    driver_version_ = Text([this](char* text, uint32_t size) { return nvml_.systemGetDriverVersion(text, size); });
  }
  return kSuccess;
}

void NvmlReader::Shutdown() {
  if (events_ != nullptr && nvml_.eventSetFree != nullptr) nvml_.eventSetFree(events_);
  events_ = nullptr;
  states_.clear();
  nvml_.shutdown();
}

Report NvmlReader::Pass(bool slow) {
  if (slow) Enumerate();
  Report report;
  report.driver_version = driver_version_;
  report.count_code = count_code_;
  // Without a list of GPUs nobody else can say that the driver does not work.
  if (count_code_ != kSuccess && (states_.empty() || IsLifecycle(count_code_))) report.lifecycle_code = count_code_;
  std::map<std::pair<size_t, uint32_t>, size_t> in_mig;  // (parent, pid): already counted on a MIG device
  std::vector<std::vector<Process>> lists(states_.size());

  size_t silent = 0;
  for (size_t i = 0; i < states_.size(); i++) {
    State& state = states_[i];
    if (state.report.handle_code == kSuccess) {
      const bool anew = state.was_gone;
      if (anew) Forget(state);
      state.was_gone = !SampleFast(state);
      if (!state.was_gone) {
        if (slow || anew) SampleSlow(state);
        lists[i] = SampleProcesses(state, slow || anew);
      }
      alive_();
    }
    const int memory = state.report.fields[kMemoryTotalBytes].code;
    const int handle = state.report.handle_code;
    if (IsLifecycle(handle)) report.lifecycle_code = handle;
    if (IsLifecycle(memory)) report.lifecycle_code = memory;
    if (handle == kUnknown || IsGone(handle) || IsGone(memory)) report.sick = true;
    if (memory == kUnknown) silent++;
  }
  // Live handles that all answer "unknown error": the container has lost its device cgroup, or the driver was swapped.
  if (!states_.empty() && silent == states_.size()) report.lifecycle_code = kUnknown;

  // MIG devices stand after their GPU, and the GPU's own list repeats theirs where the caller is privileged.
  for (size_t i = states_.size(); i-- > 0;) {
    const State& state = states_[i];
    for (const Process& process : lists[i]) {
      if (state.is_mig) in_mig[{state.parent, process.pid}] = i;
      if (!state.is_mig && in_mig.count({i, process.pid}) > 0) continue;
      report.processes.push_back({i, process.pid, process.bytes, false, 0});
    }
  }
  std::sort(report.processes.begin(), report.processes.end(), [](const ProcessReport& a, const ProcessReport& b) {
    return a.device != b.device ? a.device < b.device : a.pid < b.pid;
  });

  for (size_t i = 0; i < states_.size(); i++) {
    SampleProcessUtilization(states_[i], i, report);
    report.devices.push_back(states_[i].report);
  }
  TakeEvents(report);
  return report;
}

void NvmlReader::Enumerate() {
  uint32_t count = 0;
  count_code_ = nvml_.deviceGetCount(&count);
  std::vector<State> found;
  if (count_code_ != kSuccess) {
    // Those that are known are still asked for: each says for itself what is wrong with it.
    count = 0;
    for (const State& state : states_) count = std::max(count, state.report.index + 1);
  }
  count = std::min(count, kMaxDevices);
  for (uint32_t index = 0; index < count; index++) {
    Device handle = nullptr;
    const int handle_code = nvml_.deviceGetHandleByIndex(index, &handle);
    alive_();
    if (handle_code != kSuccess) {
      // The handle is not set and must not be used. The entry stays, so that the GPUs after it keep their index.
      State lost;
      for (const State& known : states_) {
        if (known.is_mig || known.report.index != index) continue;
        lost.report.uuid = known.report.uuid;
        lost.report.name = known.report.name;
        lost.report.busId = known.report.busId;
        lost.report.compute_capability = known.report.compute_capability;
      }
      lost.report.index = index;
      lost.report.handle_code = handle_code;
      found.push_back(std::move(lost));
      continue;
    }
    const std::string uuid = Text([&](char* text, uint32_t size) { return nvml_.deviceGetUuid(handle, text, size); });
    State state = Adopt(handle, uuid, false);
    state.report.index = index;
    const size_t position = found.size();

    const double before = state.report.fields[kMigEnabled].value;
    Ask(state, kMigEnabled, nvml_.deviceGetMigMode != nullptr, [&](double& value) {
      uint32_t current = 0;
      uint32_t pending = 0;
      const int result = nvml_.deviceGetMigMode(handle, &current, &pending);
      value = current;
      return result;
    });
    const Cell mig = state.report.fields[kMigEnabled];
    // A change of MIG mode changes which fields are supported: all are asked again.
    if (mig.code == kSuccess && mig.value != before) state.unsupported.reset();
    found.push_back(std::move(state));
    if (mig.code == kSuccess && mig.value == 1) EnumerateMig(position, found);
  }
  states_ = std::move(found);
  RegisterEvents();
}

void NvmlReader::EnumerateMig(size_t parent, std::vector<State>& found) {
  if (nvml_.deviceGetMaxMigDeviceCount == nullptr || nvml_.deviceGetMigDeviceHandleByIndex == nullptr) return;
  const Device handle = found[parent].handle;
  uint32_t slots = 0;
  if (nvml_.deviceGetMaxMigDeviceCount(handle, &slots) != kSuccess) return;
  slots = std::min(slots, kMaxMigSlots);
  for (uint32_t slot = 0; slot < slots && found.size() < kMaxDevices; slot++) {
    Device mig = nullptr;
    // Slots are sparse: an empty one (NOT_FOUND, or INVALID_ARGUMENT) does not end the list.
    if (nvml_.deviceGetMigDeviceHandleByIndex(handle, slot, &mig) != kSuccess) continue;
    const std::string uuid = Text([&](char* text, uint32_t size) { return nvml_.deviceGetUuid(mig, text, size); });
    if (uuid.empty()) continue;
    State state = Adopt(mig, uuid, true);
    state.parent = parent;
    state.report.index = found[parent].report.index;
    state.report.parent_uuid = found[parent].report.uuid;
    state.report.busId = found[parent].report.busId;
    state.report.compute_capability = found[parent].report.compute_capability;
    found.push_back(std::move(state));
  }
}

NvmlReader::State NvmlReader::Adopt(Device handle, const std::string& uuid, bool is_mig) {
  for (State& known : states_) {
    if (uuid.empty() || known.report.uuid != uuid || known.report.handle_code != kSuccess) continue;
    State state = known;
    state.handle = handle;
    return state;
  }
  State state;
  state.handle = handle;
  state.is_mig = is_mig;
  state.report.uuid = uuid;
  Describe(state);
  return state;
}

void NvmlReader::Describe(State& state) {
  DeviceReport& report = state.report;
  const Device handle = state.handle;
  if (nvml_.deviceGetName != nullptr) {
    report.name = Text([&](char* text, uint32_t size) { return nvml_.deviceGetName(handle, text, size); });
  }
  if (state.is_mig) return;  // the rest is its parent's
  PciInfo info{};
  if (nvml_.deviceGetPciInfoV3 != nullptr) {
    if (nvml_.deviceGetPciInfoV3(handle, &info) == kSuccess) {
      report.busId.assign(info.busId, strnlen(info.busId, sizeof(info.busId)));
    }
  } else if (nvml_.deviceGetPciInfoOld != nullptr) {
    if (nvml_.deviceGetPciInfoOld(handle, &info) == kSuccess) report.busId = BusId(info);
  }
  int major = 0;
  int minor = 0;
  if (nvml_.deviceGetCudaComputeCapability != nullptr &&
      nvml_.deviceGetCudaComputeCapability(handle, &major, &minor) == kSuccess) {
    report.compute_capability = std::to_string(major) + "." + std::to_string(minor);
  }
}

void NvmlReader::Forget(State& state) {
  for (size_t field = 0; field < kFieldCount; field++) {
    if (IsOfEnumeration(field)) continue;
    state.report.fields[field] = {};
    state.unsupported.reset(field);
  }
}

void NvmlReader::Set(State& state, Field field, int code, double value) {
  state.report.fields[field] = {code, code == kSuccess ? value : 0};
  if (code == kNotSupported) state.unsupported.set(field);
}

template <typename Call>
void NvmlReader::Ask(State& state, Field field, bool available, Call call) {
  if (state.unsupported.test(field)) {
    state.report.fields[field] = {kNotSupported, 0};
    return;
  }
  if (!available) {
    state.report.fields[field] = {kFunctionNotFound, 0};
    return;
  }
  double value = 0;
  const int code = call(value);
  Set(state, field, code, value);
}

void NvmlReader::SampleMemory(State& state) {
  constexpr Field kFields[] = {kMemoryTotalBytes, kMemoryUsedBytes, kMemoryReservedBytes};
  if (state.unsupported.test(kMemoryTotalBytes)) return;
  if (nvml_.deviceGetMemoryInfoV2 != nullptr && !state.memory_v2_broken) {
    MemoryV2 memory{};
    memory.version = StructVersion<MemoryV2>(2);
    const int code = nvml_.deviceGetMemoryInfoV2(state.handle, &memory);
    if (code == kSuccess && memory.total > 0) {
      Set(state, kMemoryTotalBytes, code, static_cast<double>(memory.total));
      Set(state, kMemoryUsedBytes, code, static_cast<double>(memory.used));
      Set(state, kMemoryReservedBytes, code, static_cast<double>(memory.reserved));
      return;
    }
    if (IsGone(code) || IsLifecycle(code) || code == kNoPermission) {
      for (const Field field : kFields) Set(state, field, code);
      return;
    }
  }
  Memory memory{};
  int code = nvml_.deviceGetMemoryInfo(state.handle, &memory);
  // Success with nothing in it is how some unified-memory drivers say that there is no memory of its own.
  if (code == kSuccess && memory.total == 0) code = kNotSupported;
  if (code == kSuccess) state.memory_v2_broken = true;  // WSL exports _v2 and fails in it
  Set(state, kMemoryTotalBytes, code, static_cast<double>(memory.total));
  Set(state, kMemoryUsedBytes, code, static_cast<double>(memory.used));
  // The first layout counts it as used; its size is unknown.
  state.report.fields[kMemoryReservedBytes] = {code == kSuccess ? static_cast<int>(kFunctionNotFound) : code, 0};
}

bool NvmlReader::SampleFast(State& state) {
  const Device handle = state.handle;
  SampleMemory(state);
  const int memory = state.report.fields[kMemoryTotalBytes].code;
  if (IsGone(memory) || IsLifecycle(memory)) {
    for (size_t field = 0; field < kFieldCount; field++) {
      if (!IsOfEnumeration(field)) state.report.fields[field] = {memory, 0};
    }
    return false;
  }
  if (state.is_mig) {
    // A MIG device reports only memory and processes.
    for (const Field field :
         {kUtilizationPercent, kMemoryBusPercent, kTemperatureCelsius, kPowerWatts, kPowerLimitWatts, kSmClockMhz,
          kFanPercent, kThrottleBits, kEccUncorrectedErrors, kRemapPending, kRemapFailed, kNvlinksUp, kNvlinksTotal}) {
      state.report.fields[field] = {kNotSupported, 0};
    }
    return true;
  }
  Utilization utilization{};
  Ask(state, kUtilizationPercent, nvml_.deviceGetUtilizationRates != nullptr, [&](double& value) {
    const int code = nvml_.deviceGetUtilizationRates(handle, &utilization);
    value = utilization.gpu;
    return code;
  });
  Set(state, kMemoryBusPercent, state.report.fields[kUtilizationPercent].code, utilization.memory);

  Ask(state, kTemperatureCelsius, nvml_.deviceGetTemperatureV != nullptr || nvml_.deviceGetTemperature != nullptr,
      [&](double& value) {
        if (nvml_.deviceGetTemperatureV != nullptr) {
          Temperature temperature{StructVersion<Temperature>(1), kTemperatureGpu, 0};
          const int code = nvml_.deviceGetTemperatureV(handle, &temperature);
          value = temperature.temperature;
          if (code == kSuccess || nvml_.deviceGetTemperature == nullptr) return code;
        }
        uint32_t celsius = 0;
        const int code = nvml_.deviceGetTemperature(handle, kTemperatureGpu, &celsius);
        value = celsius;
        return code;
      });
  Ask(state, kPowerWatts, nvml_.deviceGetPowerUsage != nullptr, [&](double& value) {
    uint32_t milliwatts = 0;
    const int code = nvml_.deviceGetPowerUsage(handle, &milliwatts);
    value = milliwatts / 1000.0;
    return code;
  });
  Ask(state, kSmClockMhz, nvml_.deviceGetClockInfo != nullptr, [&](double& value) {
    uint32_t megahertz = 0;
    const int code = nvml_.deviceGetClockInfo(handle, kClockSm, &megahertz);
    value = megahertz;
    return code;
  });
  Ask(state, kThrottleBits, nvml_.deviceGetThrottleReasons != nullptr, [&](double& value) {
    uint64_t bits = 0;
    const int code = nvml_.deviceGetThrottleReasons(handle, &bits);
    value = static_cast<double>(bits);
    return code;
  });
  return true;
}

void NvmlReader::SampleSlow(State& state) {
  if (state.is_mig) return;
  const Device handle = state.handle;
  Ask(state, kPowerLimitWatts, nvml_.deviceGetEnforcedPowerLimit != nullptr, [&](double& value) {
    uint32_t milliwatts = 0;
    const int code = nvml_.deviceGetEnforcedPowerLimit(handle, &milliwatts);
    value = milliwatts / 1000.0;
    return code;
  });
  Ask(state, kFanPercent, nvml_.deviceGetFanSpeed != nullptr, [&](double& value) {
    uint32_t percent = 0;
    const int code = nvml_.deviceGetFanSpeed(handle, &percent);
    value = percent;
    return code;
  });
  Ask(state, kEccUncorrectedErrors, nvml_.deviceGetTotalEccErrors != nullptr, [&](double& value) {
    uint64_t errors = 0;
    const int code = nvml_.deviceGetTotalEccErrors(handle, kEccUncorrected, kEccVolatile, &errors);
    value = static_cast<double>(errors);
    return code;
  });
  uint32_t pending = 0, failed = 0;
  Ask(state, kRemapPending, nvml_.deviceGetRemappedRows != nullptr, [&](double& value) {
    uint32_t corrected = 0, uncorrected = 0;
    const int code = nvml_.deviceGetRemappedRows(handle, &corrected, &uncorrected, &pending, &failed);
    value = pending;
    return code;
  });
  state.report.fields[kRemapFailed] = {state.report.fields[kRemapPending].code, static_cast<double>(failed)};
  SampleNvlinks(state);
  Ask(state, kRecoveryAction, nvml_.deviceGetFieldValues != nullptr, [&](double& value) {
    FieldValue field{};
    field.fieldId = kFieldRecoveryAction;
    const int code = nvml_.deviceGetFieldValues(handle, 1, &field);
    if (code != kSuccess) return code;
    if (field.nvmlReturn != kSuccess) return field.nvmlReturn;
    value =
        field.valueType == kUnsignedInt ? static_cast<double>(field.value.ui) : static_cast<double>(field.value.ull);
    return static_cast<int>(kSuccess);
  });
  // Drivers before 565 don't know the number: INVALID_ARGUMENT, for good.
  if (state.report.fields[kRecoveryAction].code == kInvalidArgument) Set(state, kRecoveryAction, kNotSupported);
}

void NvmlReader::SampleNvlinks(State& state) {
  if (state.unsupported.test(kNvlinksTotal)) return;
  int code = nvml_.deviceGetNvLinkState != nullptr ? kNotSupported : kFunctionNotFound;
  double up = 0;
  uint32_t total = 0;
  for (uint32_t link = 0; link < kMaxLinks && nvml_.deviceGetNvLinkState != nullptr; link++) {
    int active = 0;
    const int result = nvml_.deviceGetNvLinkState(state.handle, link, &active);
    if (result == kSuccess) {
      code = kSuccess;
      total++;
      const bool is_state = active == 0 || active == 1;
      up = is_state ? up + active : active;  // what is no state is judged where all numbers are
      if (!is_state) break;
    } else if (result == kNotSupported || result == kInvalidArgument) {
      if (total == 0) code = kNotSupported;
      break;  // links are numbered without gaps
    } else {
      code = result;
      break;
    }
  }
  Set(state, kNvlinksUp, code, up);
  Set(state, kNvlinksTotal, code, total);
}

int NvmlReader::ListProcesses(Device device, int (*v3)(Device, uint32_t*, void*), int (*v2)(Device, uint32_t*, void*),
                              int (*v1)(Device, uint32_t*, void*), std::vector<Process>& found) const {
  // _v2 has one layout on every driver that exports it. _v3 has two: 535.43 to 535.86 write 32 bytes for each process.
  auto call = v2 != nullptr ? v2 : v3 != nullptr ? v3 : v1;
  if (call == nullptr) return kFunctionNotFound;
  size_t stride = sizeof(ProcessInfoV2);
  if (v2 == nullptr && v3 == nullptr) stride = sizeof(ProcessInfoV1);
  if (call == v3 && nvml_.confComputeMemSizeInfo != nullptr && nvml_.runningProcessDetailList == nullptr) {
    stride = sizeof(ProcessInfoCc);
  }

  constexpr unsigned char kSentinel = 0xA5;
  std::vector<unsigned char> buffer;
  uint32_t count = 0;
  const int code = AskWithRoom(count, [&](uint32_t capacity, uint32_t& entries) {
    buffer.assign(size_t{capacity} * sizeof(ProcessInfoCc), kSentinel);
    return call(device, &entries, capacity == 0 ? nullptr : buffer.data());
  });
  if (code != kSuccess || count == 0) return code;
  // Strides have changed under unchanged names before, so what was written is measured: the last byte of each layout
  // is never the sentinel (a size below 2^56, an instance number, a counter).
  size_t written = buffer.size();
  while (written > 0 && buffer[written - 1] == kSentinel) written--;
  const size_t measured = written / count;
  if (written % count == 0 &&
      (measured == sizeof(ProcessInfoV1) || measured == sizeof(ProcessInfoV2) || measured == sizeof(ProcessInfoCc))) {
    stride = measured;
  }
  for (uint32_t i = 0; i < count; i++) {
    ProcessInfoV2 info{};
    info.gpuInstanceId = kNoInstance;
    std::memcpy(&info, buffer.data() + size_t{i} * stride, std::min(stride, sizeof(info)));
    if (IsPid(info.pid)) found.push_back({info.pid, info.usedGpuMemory, info.gpuInstanceId});
  }
  return kSuccess;
}

std::vector<NvmlReader::Process> NvmlReader::SampleProcesses(State& state, bool slow) {
  std::vector<Process> found;
  if (!state.unsupported.test(kProcesses)) {
    Set(state, kProcesses,
        ListProcesses(state.handle, nvml_.computeProcessesV3, nvml_.computeProcessesV2, nvml_.computeProcessesV1,
                      found));
  }
  if (!IsNever(state.mps_code))
    state.mps_code =
        ListProcesses(state.handle, nvml_.mpsProcessesV3, nvml_.mpsProcessesV2, nvml_.mpsProcessesV1, found);
  if (slow && !IsNever(state.graphics_code)) {
    state.graphics.clear();
    state.graphics_code = ListProcesses(state.handle, nvml_.graphicsProcessesV3, nvml_.graphicsProcessesV2,
                                        nvml_.graphicsProcessesV1, state.graphics);
  }
  // One list that fails leaves open which processes there are.
  for (const int code : {state.mps_code, state.graphics_code})
    if (!IsNever(code) && state.report.fields[kProcesses].code == kSuccess) Set(state, kProcesses, code);
  found.insert(found.end(), state.graphics.begin(), state.graphics.end());

  // A process may be in several lists, each time with all its memory: the largest counts, not the sum. Entries of
  // several compute instances would add up, but a MIG handle gets only those of its own instance.
  std::map<uint32_t, Process> merged;
  for (const Process& process : found) {
    auto [place, is_new] = merged.try_emplace(process.pid, process);
    if (is_new || process.bytes == kValueNotAvailable) continue;
    uint64_t& bytes = place->second.bytes;
    bytes = bytes == kValueNotAvailable ? process.bytes : std::max(bytes, process.bytes);
  }
  std::vector<Process> result;
  for (const auto& entry : merged) result.push_back(entry.second);
  if (state.report.fields[kProcesses].code == kSuccess) {
    state.report.fields[kProcesses].value = static_cast<double>(result.size());
  }
  return result;
}

void NvmlReader::SampleProcessUtilization(State& state, size_t device, Report& report) {
  auto first = std::find_if(report.processes.begin(), report.processes.end(),
                            [device](const ProcessReport& process) { return process.device == device; });
  if (first == report.processes.end() || state.report.handle_code != kSuccess) return;
  const Cell mig = state.report.fields[kMigEnabled];
  if (state.is_mig || (mig.code == kSuccess && mig.value == 1)) {
    state.report.fields[kProcessUtilization] = {kNotSupported, 0};
    return;
  }
  if (state.unsupported.test(kProcessUtilization)) return;

  // From 0 the driver averages its whole ring, which is load of long ago.
  if (state.utilization_seen == 0) state.utilization_seen = NowMicroseconds() - 1'000'000;
  const uint64_t since = state.utilization_seen;
  struct Seen {
    uint64_t at;
    uint32_t percent;
  };
  std::map<uint32_t, Seen> newest;
  auto add = [&](uint32_t pid, uint64_t at, uint32_t percent) {
    if (!IsPid(pid) || percent > 100) return;  // rings are padded with what was in memory
    state.utilization_seen = std::max(state.utilization_seen, at);
    auto [place, is_new] = newest.try_emplace(pid, Seen{at, percent});
    if (!is_new && place->second.at <= at) place->second = {at, percent};
  };

  int code = kFunctionNotFound;
  if (nvml_.deviceGetProcessesUtilizationInfo != nullptr && !state.new_utilization_broken) {
    std::vector<ProcessUtilizationInfo> ring;
    uint32_t count = 0;
    code = AskWithRoom(count, [&](uint32_t capacity, uint32_t& entries) {
      ring.assign(capacity, {});
      ProcessesUtilizationInfo info{};
      info.version = StructVersion<ProcessesUtilizationInfo>(1);
      info.processSamplesCount = entries;
      info.lastSeenTimeStamp = since;
      info.procUtilArray = capacity == 0 ? nullptr : ring.data();
      const int answer = nvml_.deviceGetProcessesUtilizationInfo(state.handle, &info);
      entries = info.processSamplesCount;
      return answer;
    });
    ring.resize(code == kSuccess ? count : 0);
    if (code == kSuccess) {
      for (const ProcessUtilizationInfo& sample : ring) add(sample.pid, sample.timeStamp, sample.smUtil);
    }
    state.new_utilization_broken =
        code == kNotSupported || code == kArgumentVersionMismatch || code == kFunctionNotFound;
  }
  if (code != kSuccess && code != kNotFound && nvml_.deviceGetProcessUtilization != nullptr) {
    std::vector<ProcessUtilizationSample> ring;
    uint32_t count = 0;
    code = AskWithRoom(count, [&](uint32_t capacity, uint32_t& entries) {
      ring.assign(capacity, {});
      return nvml_.deviceGetProcessUtilization(state.handle, capacity == 0 ? nullptr : ring.data(), &entries, since);
    });
    ring.resize(code == kSuccess ? count : 0);
    for (const ProcessUtilizationSample& sample : ring) add(sample.pid, sample.timeStamp, sample.smUtil);
  }
  if (code == kNotFound) code = kSuccess;  // no samples since: every process was idle
  Set(state, kProcessUtilization, code);
  if (code != kSuccess) return;
  for (auto process = first; process != report.processes.end() && process->device == device; ++process) {
    const auto sample = newest.find(process->pid);
    process->has_utilization = true;
    process->utilization = sample == newest.end() ? 0 : sample->second.percent;
  }
}

}  // namespace nvml
