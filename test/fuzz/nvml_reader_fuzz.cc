// libFuzzer target for what comes back from the driver: a table of NVML functions whose codes, counts and bytes are the
// input's, read by the real reader and written as the line of JSON that Node gets. Run by test/fuzz/main.js.
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

// The loop and the loader are here for ToJson and for the symbols; neither opens a library in this program.
#include "../../native/detached_thread.cc"
#include "../../native/gpu_loop.cc"
#include "../../native/library_probe.cc"
#include "../../native/nvml_events.cc"
#include "../../native/nvml_library.cc"
#include "../../native/nvml_reader.cc"

namespace {

using namespace nvml;

/// The input, read from the front; at its end everything is 0, that is success with nothing in it.
struct Source {
  const std::uint8_t* data = nullptr;
  std::size_t left = 0;

  std::uint8_t Byte() {
    if (left == 0) return 0;
    left--;
    return *data++;
  }
  void Fill(void* into, std::size_t size) {
    auto* bytes = static_cast<unsigned char*>(into);
    for (std::size_t i = 0; i < size; i++) bytes[i] = Byte();
  }
  std::uint32_t Number() {
    std::uint32_t value = 0;
    // Mostly small: a table of four billion GPUs is told by one byte in sixteen.
    const std::uint8_t shape = Byte();
    if ((shape & 0x0f) == 0x0f) Fill(&value, sizeof(value));
    return (shape & 0x0f) == 0x0f ? value : shape & 0x07U;
  }
};

Source source;
std::uint64_t calls = 0;

/// A code: success half of the time, else one that the driver knows, else any.
int Code() {
  // A driver that answers for ever would be a finding of its own; a bound makes it one.
  if (++calls > 2'000'000) abort();
  const std::uint8_t byte = source.Byte();
  if (byte < 128) return kSuccess;
  if (byte < 250) return byte % 31;
  return byte == 250 ? kUnknown : -static_cast<int>(byte);
}

/// Fills a value whatever the code: what a failed call left behind must not be used.
template <typename T>
int Give(T* value) {
  const int code = Code();
  source.Fill(value, sizeof(T));
  return code;
}

int GiveText(char* text, std::uint32_t size) {
  const int code = Code();
  const std::uint32_t length = source.Byte();
  // Not always ended by a zero.
  for (std::uint32_t i = 0; i < size && i <= length; i++) text[i] = static_cast<char>(source.Byte());
  return code;
}

int GiveCount(std::uint32_t* count) {
  const int code = Code();
  *count = source.Number();
  return code;
}

/// Handles are numbers; one that was never given must never come back.
int GiveDevice(Device* device) {
  const int code = Code();
  *device = reinterpret_cast<Device>(static_cast<std::uintptr_t>(source.Byte()) + 1);
  return code;
}

void Check(Device device) {
  const auto number = reinterpret_cast<std::uintptr_t>(device);
  if (number == 0 || number > 256) abort();
}

/// A list as the driver writes it: at most `*count` entries of 16, 24 or 32 bytes; the count may claim more.
int GiveProcesses(Device device, std::uint32_t* count, void* list) {
  Check(device);
  const int code = Code();
  const std::uint32_t room = *count;
  const std::uint32_t claimed = source.Number();
  if (list != nullptr) {
    static constexpr std::size_t kStrides[] = {16, 24, 32};
    const std::size_t stride = kStrides[source.Byte() % 3];
    const std::uint32_t written = claimed < room ? claimed : room;
    source.Fill(list, written * stride < source.left ? written * stride : source.left);
  }
  *count = claimed;
  return code;
}

Symbols Table(std::uint8_t missing) {
  Symbols s{};
  s.init = [] { return Code(); };
  s.shutdown = [] { return Code(); };
  s.systemGetDriverVersion = [](char* text, std::uint32_t size) { return GiveText(text, size); };
  s.deviceGetCount = [](std::uint32_t* count) { return GiveCount(count); };
  s.deviceGetHandleByIndex = [](std::uint32_t, Device* device) { return GiveDevice(device); };
  s.deviceGetUuid = [](Device device, char* text, std::uint32_t size) {
    Check(device);
    return GiveText(text, size);
  };
  s.deviceGetName = [](Device device, char* text, std::uint32_t size) {
    Check(device);
    return GiveText(text, size);
  };
  s.deviceGetPciInfoV3 = [](Device, PciInfo* info) { return Give(info); };
  s.deviceGetPciInfoOld = s.deviceGetPciInfoV3;
  s.deviceGetCudaComputeCapability = [](Device, int* major, int* minor) {
    Give(major);
    return Give(minor);
  };
  s.deviceGetMemoryInfoV2 = [](Device device, MemoryV2* memory) {
    Check(device);
    if (memory->version != StructVersion<MemoryV2>(2)) abort();
    return Give(memory);
  };
  s.deviceGetMemoryInfo = [](Device device, Memory* memory) {
    Check(device);
    return Give(memory);
  };
  s.deviceGetUtilizationRates = [](Device, Utilization* value) { return Give(value); };
  s.deviceGetTemperatureV = [](Device, Temperature* value) { return Give(value); };
  s.deviceGetTemperature = [](Device, int, std::uint32_t* value) { return Give(value); };
  s.deviceGetPowerUsage = [](Device, std::uint32_t* value) { return Give(value); };
  s.deviceGetEnforcedPowerLimit = [](Device, std::uint32_t* value) { return Give(value); };
  s.deviceGetClockInfo = [](Device, int, std::uint32_t* value) { return Give(value); };
  s.deviceGetFanSpeed = [](Device, std::uint32_t* value) { return Give(value); };
  s.deviceGetThrottleReasons = [](Device, std::uint64_t* value) { return Give(value); };
  s.deviceGetTotalEccErrors = [](Device, int, int, std::uint64_t* value) { return Give(value); };
  s.deviceGetRemappedRows = [](Device, std::uint32_t* corrected, std::uint32_t* uncorrected, std::uint32_t* pending,
                               std::uint32_t* failed) {
    Give(corrected);
    Give(uncorrected);
    Give(pending);
    return Give(failed);
  };
  s.deviceGetNvLinkState = [](Device, std::uint32_t, int* active) { return Give(active); };
  s.deviceGetFieldValues = [](Device, int count, FieldValue* values) {
    if (count != 1) abort();
    return Give(values);
  };
  s.deviceGetMigMode = [](Device, std::uint32_t* current, std::uint32_t* pending) {
    Give(pending);
    return Give(current);
  };
  s.deviceGetMaxMigDeviceCount = [](Device, std::uint32_t* count) { return GiveCount(count); };
  s.deviceGetMigDeviceHandleByIndex = [](Device device, std::uint32_t, Device* mig) {
    Check(device);
    return GiveDevice(mig);
  };
  s.computeProcessesV3 = s.computeProcessesV2 = s.computeProcessesV1 = GiveProcesses;
  s.graphicsProcessesV3 = s.graphicsProcessesV2 = s.graphicsProcessesV1 = GiveProcesses;
  s.mpsProcessesV3 = s.mpsProcessesV2 = s.mpsProcessesV1 = GiveProcesses;
  s.deviceGetProcessesUtilizationInfo = [](Device device, ProcessesUtilizationInfo* info) {
    Check(device);
    const int code = Code();
    const std::uint32_t room = info->procUtilArray == nullptr ? 0 : info->processSamplesCount;
    info->processSamplesCount = source.Number();
    const std::uint32_t written = info->processSamplesCount < room ? info->processSamplesCount : room;
    for (std::uint32_t i = 0; i < written && source.left > 0; i++) source.Fill(info->procUtilArray + i, 40);
    return code;
  };
  s.deviceGetProcessUtilization = [](Device device, ProcessUtilizationSample* samples, std::uint32_t* count,
                                     std::uint64_t) {
    Check(device);
    const int code = Code();
    const std::uint32_t room = samples == nullptr ? 0 : *count;
    *count = source.Number();
    const std::uint32_t written = *count < room ? *count : room;
    for (std::uint32_t i = 0; i < written && source.left > 0; i++) source.Fill(samples + i, 32);
    return code;
  };
  s.eventSetCreate = [](EventSet* set) {
    *set = reinterpret_cast<EventSet>(1);
    return Code();
  };
  s.eventSetFree = [](EventSet) { return Code(); };
  s.eventSetWait = [](EventSet, EventData* data, std::uint32_t) {
    const int code = Code();
    source.Fill(data, sizeof(*data));
    return code;
  };
  s.deviceRegisterEvents = [](Device, std::uint64_t, EventSet) { return Code(); };
  s.deviceGetSupportedEventTypes = [](Device, std::uint64_t* types) { return Give(types); };

  // Older drivers: what came later is missing.
  if ((missing & 1U) != 0) {
    s.computeProcessesV3 = s.graphicsProcessesV3 = s.mpsProcessesV3 = nullptr;
    s.deviceGetMemoryInfoV2 = nullptr;
    s.deviceGetProcessesUtilizationInfo = nullptr;
  }
  if ((missing & 2U) != 0) {
    s.computeProcessesV2 = s.graphicsProcessesV2 = s.mpsProcessesV2 = nullptr;
    s.deviceGetTemperatureV = nullptr;
  }
  if ((missing & 4U) != 0) {
    s.deviceGetPciInfoV3 = nullptr;
    s.deviceGetMigMode = nullptr;
    s.mpsProcessesV1 = nullptr;
  }
  static char present = 0;
  if ((missing & 8U) != 0) s.confComputeMemSizeInfo = &present;
  if ((missing & 16U) != 0) s.runningProcessDetailList = &present;
  return s;
}

/// A report is finite, refers only to what it holds, and is one line of printable JSON without a number that JSON
/// lacks.
void Check(const Report& report) {
  if (report.devices.size() > 2 * kMaxDevices || report.xids.size() > 64 * report.devices.size()) abort();
  for (const ProcessReport& process : report.processes) {
    if (process.device >= report.devices.size() || process.pid == 0) abort();
    if (process.has_utilization && process.utilization > 100) abort();
  }
  for (const DeviceReport& device : report.devices) {
    for (const Cell& cell : device.fields) {
      if (!std::isfinite(cell.value) || cell.value < -1e10) abort();
    }
  }
  const std::string line = ToJson(report, "library", 1.5);
  for (const char c : line) {
    if (c < 0x20 || c > 0x7e) abort();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2) return 0;
  const Symbols table = Table(data[0]);
  const unsigned passes = 1 + data[1] % 4;
  source = {data + 2, size - 2};
  calls = 0;
  NvmlReader reader(table, [] {});
  if (reader.Init() != kSuccess) return 0;
  for (unsigned i = 0; i < passes; i++) Check(reader.Pass(i % 2 == 0));
  reader.Shutdown();
  if (reader.Init() == kSuccess) Check(reader.Pass(true));
  return 0;
}
