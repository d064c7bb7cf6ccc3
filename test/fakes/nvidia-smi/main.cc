// A fake nvidia-smi: the real tool's text, tokens and exit codes, over the scenario that the fake libnvidia-ml reads.
#include <cctype>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "machine.h"

namespace {

using fake::Amount;
using fake::Gpu;
using fake::Scenario;

constexpr int kNotSupported = 3;

std::string PlainToken(const Scenario& scenario, int code) {
  switch (code) {
    case 3:
      return scenario.generation == 440 ? "[Not Supported]" : "[N/A]";
    case 4:
      return "[Insufficient Permissions]";
    case 13:
      return "[Function Not Found]";
    case 15:
      return "[GPU is lost]";
    case 16:
      return "[GPU requires reset]";
    case 26:
      return "[Requested functionality has been deprecated]";
    default:
      return "[Unknown Error]";
  }
}

int CodeOf(const Gpu& gpu, const char* function) {
  const auto found = gpu.codes.find(function);
  return found == gpu.codes.end() ? 0 : found->second;
}

std::string Mebibytes(uint64_t bytes) {
  return std::to_string((bytes >> 20) + ((bytes & ((1 << 20) - 1)) != 0 ? 1 : 0));
}

/// A value, or the token of why there is none.

std::string Token(const Scenario& scenario, int code) {
  std::string token = PlainToken(scenario, code);
  if (scenario.smiLowerCase) {
    for (char& c : token) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  }
  return token;
}

std::string Cell(const Scenario& scenario, const Gpu& gpu, const char* function, const Amount& amount,
                 std::string (*format)(uint64_t), bool hiddenByMig = false) {
  const int code = CodeOf(gpu, function);
  if (code != 0) return Token(scenario, code);
  if (!amount || (hiddenByMig && gpu.mig.value_or(0) != 0)) return Token(scenario, kNotSupported);
  return format(*amount);
}

std::string Plain(uint64_t value) { return std::to_string(value); }

std::string Watts(uint64_t milliwatts) {
  char text[32];
  std::snprintf(text, sizeof(text), "%.2f", static_cast<double>(milliwatts) / 1000);
  return text;
}

std::string Bits(uint64_t bits) {
  char text[32];
  std::snprintf(text, sizeof(text), "0x%016llx", static_cast<unsigned long long>(bits));
  return text;
}

std::string YesNo(uint64_t value) { return value != 0 ? "Yes" : "No"; }
std::string Enabled(uint64_t value) { return value != 0 ? "Enabled" : "Disabled"; }

std::string Recovery(uint64_t action) {
  const char* names[] = {"None", "Reset", "Reboot", "Drain P2P", "Drain and Reset"};
  return action < 5 ? names[action] : "[Unknown Error]";
}

std::string MemoryCell(const Scenario& scenario, const Gpu& gpu, const std::string& field) {
  const bool v2 = scenario.generation != 440 && scenario.generation != 470 &&
                  (CodeOf(gpu, "nvmlDeviceGetMemoryInfo_v2") == 0 || CodeOf(gpu, "nvmlDeviceGetMemoryInfo_v2") == 15 ||
                   CodeOf(gpu, "nvmlDeviceGetMemoryInfo_v2") == 16 || CodeOf(gpu, "nvmlDeviceGetMemoryInfo_v2") == 4);
  const char* function = v2 ? "nvmlDeviceGetMemoryInfo_v2" : "nvmlDeviceGetMemoryInfo";
  Amount amount = gpu.total;
  if (field == "memory.reserved") {
    if (!v2 && CodeOf(gpu, function) == 0) return Token(scenario, gpu.total ? 13 : kNotSupported);
    amount = gpu.total ? Amount(gpu.reserved.value_or(0)) : std::nullopt;
  }
  if (field == "memory.used" && gpu.total) amount = gpu.used.value_or(0) + (v2 ? 0 : gpu.reserved.value_or(0));
  return Cell(scenario, gpu, function, amount, Mebibytes);
}

/// Fields that came with a release; every other known field is in all of them.
bool Knows(int generation, const std::string& field) {
  const std::set<std::string> since450 = {"mig.mode.current", "remapped_rows.pending", "remapped_rows.failure"};
  const std::set<std::string> since510 = {"memory.reserved", "compute_cap"};
  if (generation == 440 && since450.count(field) > 0) return false;
  if ((generation == 440 || generation == 470) && since510.count(field) > 0) return false;
  if (field == "clocks_event_reasons.active") return generation == 550 || generation == 590 || generation > 53500;
  if (field == "gpu_recovery_action") return generation == 590;
  const std::set<std::string> always = {
      "index",
      "uuid",
      "name",
      "pci.bus_id",
      "driver_version",
      "memory.total",
      "memory.used",
      "utilization.gpu",
      "utilization.memory",
      "temperature.gpu",
      "power.draw",
      "enforced.power.limit",
      "power.limit",
      "clocks.current.sm",
      "fan.speed",
      "clocks_throttle_reasons.active",
      "ecc.errors.uncorrected.volatile.total",
  };
  return since450.count(field) > 0 || since510.count(field) > 0 || always.count(field) > 0;
}

std::string FieldOf(const Scenario& s, const Gpu& gpu, size_t index, const std::string& field) {
  if (field == "index") return std::to_string(index);
  if (field == "uuid") return gpu.uuid;
  if (field == "name") return gpu.name;
  if (field == "pci.bus_id") return gpu.bus;
  if (field == "driver_version") return s.driver;
  if (field == "compute_cap") return gpu.computeCapability.empty() ? Token(s, kNotSupported) : gpu.computeCapability;
  if (field.rfind("memory.", 0) == 0) return MemoryCell(s, gpu, field);
  if (field == "mig.mode.current") return Cell(s, gpu, "nvmlDeviceGetMigMode", gpu.mig, Enabled);
  if (field == "utilization.gpu") {
    return Cell(s, gpu, "nvmlDeviceGetUtilizationRates", gpu.utilization, Plain, true);
  }
  if (field == "utilization.memory") {
    const Amount memoryBus = gpu.utilization ? Amount(gpu.memoryBus.value_or(0)) : std::nullopt;
    return Cell(s, gpu, "nvmlDeviceGetUtilizationRates", memoryBus, Plain, true);
  }
  if (field == "temperature.gpu") return Cell(s, gpu, "nvmlDeviceGetTemperature", gpu.temperature, Plain);
  if (field == "power.draw") return Cell(s, gpu, "nvmlDeviceGetPowerUsage", gpu.powerMilliwatts, Watts);
  if (field == "enforced.power.limit" || field == "power.limit") {
    return Cell(s, gpu, "nvmlDeviceGetEnforcedPowerLimit", gpu.limitMilliwatts, Watts);
  }
  if (field == "clocks.current.sm") return Cell(s, gpu, "nvmlDeviceGetClockInfo", gpu.smClock, Plain);
  if (field == "fan.speed") return Cell(s, gpu, "nvmlDeviceGetFanSpeed", gpu.fan, Plain);
  if (field == "clocks_event_reasons.active" || field == "clocks_throttle_reasons.active") {
    return Cell(s, gpu, "nvmlDeviceGetCurrentClocksThrottleReasons", gpu.throttle, Bits);
  }
  if (field == "ecc.errors.uncorrected.volatile.total") {
    return Cell(s, gpu, "nvmlDeviceGetTotalEccErrors", gpu.ecc, Plain);
  }
  if (field == "remapped_rows.pending") {
    return Cell(s, gpu, "nvmlDeviceGetRemappedRows", gpu.remapPending, YesNo, true);
  }
  if (field == "remapped_rows.failure") {
    const Amount failed = gpu.remapPending ? gpu.remapFailed : std::nullopt;
    return Cell(s, gpu, "nvmlDeviceGetRemappedRows", failed, YesNo, true);
  }
  return Cell(s, gpu, "nvmlDeviceGetFieldValues", gpu.recovery, Recovery);  // gpu_recovery_action
}

std::vector<std::string> Split(const std::string& text, char separator) {
  std::vector<std::string> parts;
  size_t start = 0;
  for (;;) {
    const size_t end = text.find(separator, start);
    parts.push_back(text.substr(start, end - start));
    if (end == std::string::npos) return parts;
    start = end + 1;
  }
}

/// What the real tool says of a GPU whose handle can't be had, and how it then ends.
int TellLost(const Gpu& gpu, int code) {
  const std::string bus = gpu.bus.size() > 12 ? gpu.bus.substr(gpu.bus.size() - 12) : gpu.bus;
  const char* reason = code == 15   ? "GPU is lost.  Reboot the system to recover this GPU"
                       : code == 16 ? "GPU requires reset"
                       : code == 4  ? "Insufficient Permissions"
                                    : "Unknown Error";
  std::printf("Unable to determine the device handle for GPU%s: %s\n", bus.c_str(), reason);
  return code == 15 ? 15 : 255;
}

struct Arguments {
  std::string query;
  std::string apps;
  bool pmon = false;
  std::set<std::string> only;  ///< -i
};

/// Bus ids are taken in any spelling: 0000:1b:00.0 as well as 00000000:1B:00.0.
std::string PlainBus(const std::string& bus) {
  std::string plain;
  for (const char c : bus) {
    if (plain.empty() && c == '0') continue;
    plain += static_cast<char>(c >= 'A' && c <= 'F' ? c - 'A' + 'a' : c);
  }
  return plain;
}

/// The GPUs that are shown, with their index; sets `status` where one can't be.
std::vector<size_t> Shown(const Scenario& scenario, const Arguments& arguments, int& status) {
  std::vector<size_t> shown;
  for (size_t i = 0; i < scenario.gpus.size(); i++) {
    const Gpu& gpu = scenario.gpus[i];
    if (!arguments.only.empty() && arguments.only.count(PlainBus(gpu.bus)) == 0 && arguments.only.count(gpu.uuid) == 0)
      continue;
    const int code = CodeOf(gpu, "nvmlDeviceGetHandleByIndex_v2");
    if (code == 0) {
      shown.push_back(i);
      continue;
    }
    status = TellLost(gpu, code);
    // Tools before 590 stop at the first GPU that they can't open, and show nothing of the others.
    if (scenario.generation != 590) return {};
  }
  return shown;
}

int QueryGpu(const Scenario& scenario, const Arguments& arguments) {
  const std::vector<std::string> fields = Split(arguments.query, ',');
  for (const std::string& field : fields) {
    if (Knows(scenario.generation, field)) continue;
    std::printf("Field \"%s\" is not a valid field to query.\n\n", field.c_str());
    return 2;
  }
  int status = 0;
  for (const size_t i : Shown(scenario, arguments, status)) {
    for (size_t f = 0; f < fields.size(); f++) {
      std::printf("%s%s", f == 0 ? "" : ", ", FieldOf(scenario, scenario.gpus[i], i, fields[f]).c_str());
    }
    std::printf("\n");
  }
  return status;
}

bool AnswersProcesses(const Gpu& gpu) {
  for (const char* function : {"nvmlDeviceGetComputeRunningProcesses", "nvmlDeviceGetComputeRunningProcesses_v2",
                               "nvmlDeviceGetComputeRunningProcesses_v3"}) {
    if (CodeOf(gpu, function) != 0) return false;
  }
  const int memory = CodeOf(gpu, "nvmlDeviceGetMemoryInfo");
  const int memory2 = CodeOf(gpu, "nvmlDeviceGetMemoryInfo_v2");
  return memory != 15 && memory != 16 && memory2 != 15 && memory2 != 16;
}

/// One row of the fields that were asked for, in that order.
void PrintApp(const Arguments& arguments, const std::string& uuid, const std::string& pid, const std::string& name,
              const std::string& memory) {
  std::string row;
  for (const std::string& field : Split(arguments.apps, ',')) {
    if (!row.empty()) row += ", ";
    row += field == "gpu_uuid" ? uuid : field == "pid" ? pid : field == "process_name" ? name : memory;
  }
  std::printf("%s\n", row.c_str());
}

int QueryApps(const Scenario& scenario, const Arguments& arguments) {
  int status = 0;
  for (const size_t i : Shown(scenario, arguments, status)) {
    const Gpu& gpu = scenario.gpus[i];
    if (!AnswersProcesses(gpu)) {
      for (const char* function : {"nvmlDeviceGetComputeRunningProcesses", "nvmlDeviceGetComputeRunningProcesses_v2",
                                   "nvmlDeviceGetComputeRunningProcesses_v3"}) {
        if (CodeOf(gpu, function) == 0) continue;
        const std::string token = Token(scenario, CodeOf(gpu, function));
        PrintApp(arguments, gpu.uuid, token, token, token);
        break;
      }
      continue;
    }
    for (const fake::Process& process : gpu.processes) {
      if (process.kind.find('C') == std::string::npos) continue;
      const std::string memory = process.bytes ? Mebibytes(*process.bytes) : Token(scenario, kNotSupported);
      PrintApp(arguments, gpu.uuid, std::to_string(process.pid), process.name, memory);
    }
  }
  return status;
}

int Pmon(const Scenario& scenario, const Arguments& arguments) {
  const bool wide = scenario.generation == 550 || scenario.generation == 590;
  if (wide) {
    std::printf("# gpu         pid   type     sm    mem    enc    dec    jpg    ofa     fb   ccpm    command \n");
    std::printf("# Idx           #    C/G      %%      %%      %%      %%      %%      %%     MB     MB    name \n");
  } else {
    std::printf("# gpu        pid  type    sm   mem   enc   dec    fb   command\n");
    std::printf("# Idx          #   C/G     %%     %%     %%     %%    MB   name\n");
  }
  int status = 0;
  unsigned shown = 0;
  for (const size_t i : Shown(scenario, arguments, status)) {
    const Gpu& gpu = scenario.gpus[i];
    if (CodeOf(gpu, "pmon") == kNotSupported) std::printf("Not supported on the device(s)\n");
    if (CodeOf(gpu, "pmon") != 0) continue;
    if (scenario.smiPmonLimit > 0 && shown++ == scenario.smiPmonLimit) break;
    bool any = false;
    for (const fake::Process& process : gpu.processes) {
      if (!AnswersProcesses(gpu) || gpu.mig.value_or(0) != 0) break;
      if (scenario.generation == 440 && process.kind == "M") continue;  // lists of MPS clients came with 470.42
      any = true;
      const bool busy = process.utilization.has_value() && CodeOf(gpu, "nvmlDeviceGetProcessUtilization") != 3;
      const std::string sm = busy ? std::to_string(*process.utilization) : "-";
      const std::string type = process.kind == "M" ? "M+C" : process.kind;
      const std::string fb = process.bytes ? Mebibytes(*process.bytes) : "-";
      if (wide) {
        std::printf("%5zu %10u %5s %6s %6s      -      -      -      - %6s      0    %-15s\n", i, process.pid,
                    type.c_str(), sm.c_str(), sm.c_str(), fb.c_str(), process.name.c_str());
      } else {
        std::printf("%5zu %10u %5s %5s %5s     -     - %5s   %-15s\n", i, process.pid, type.c_str(), sm.c_str(),
                    sm.c_str(), fb.c_str(), process.name.c_str());
      }
    }
    if (!any)
      std::printf(
          wide ? "%5zu          -     -      -      -      -      -      -      -      -      -    -              \n"
               : "%5zu          -     -     -     -     -     -     -   -\n",
          i);
  }
  return status;
}

/// The whole tool fails, as it does without a driver.
int Fail(int code) {
  switch (code) {
    case 6:
      std::printf("No devices were found\n");
      break;
    case 9:
      std::printf(
          "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver. Make sure that the latest "
          "NVIDIA driver is installed and running.\n\n");
      break;
    case 12:
      std::printf(
          "NVIDIA-SMI couldn't find libnvidia-ml.so library in your system. Please make sure that the NVIDIA "
          "Display Driver is properly installed and present in your system.\n");
      break;
    case 18:
      std::printf("Failed to initialize NVML: Driver/library version mismatch\nNVML library version: 535.161\n");
      break;
    default:
      std::printf("Failed to initialize NVML: Unknown Error\n");
  }
  return code;
}

}  // namespace

int main(int argc, char** argv) {
  Arguments arguments;
  for (int i = 1; i < argc; i++) {
    const std::string argument = argv[i];
    if (argument.rfind("--query-gpu=", 0) == 0) arguments.query = argument.substr(12);
    if (argument.rfind("--query-compute-apps=", 0) == 0) arguments.apps = argument.substr(21);
    if (argument == "pmon") arguments.pmon = true;
    if (argument == "-i" && i + 1 < argc) {
      for (const std::string& id : Split(argv[++i], ','))
        arguments.only.insert(id.rfind("GPU-", 0) == 0 ? id : PlainBus(id));
    }
  }
  const Scenario scenario = fake::TheMachine().Now();
  if (scenario.smiDelayMs > 0) std::this_thread::sleep_for(std::chrono::milliseconds(scenario.smiDelayMs));
  if (scenario.smiAppsExit > 0 && !arguments.apps.empty()) return Fail(scenario.smiAppsExit);
  if (scenario.smiExit > 0 && scenario.smiExit != 14) return Fail(scenario.smiExit);
  if (scenario.gpus.empty()) return Fail(6);
  if (!scenario.smiWarning.empty()) std::printf("%s\n", scenario.smiWarning.c_str());
  int status = 2;
  if (!arguments.query.empty())
    status = QueryGpu(scenario, arguments);
  else if (!arguments.apps.empty())
    status = QueryApps(scenario, arguments);
  else if (arguments.pmon)
    status = Pmon(scenario, arguments);
  if (status == 0 && !arguments.query.empty()) status = scenario.smiExitCode;
  return status == 0 && scenario.smiExit == 14 ? 14 : status;
}
