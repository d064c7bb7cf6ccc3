// The machine that a scenario file describes, for the fake libnvidia-ml and the fake nvidia-smi alike.
// scenario.ts writes such files; its types say what each line means. The file is read again whenever it has changed.
#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

namespace fake {

using Amount = std::optional<uint64_t>;  ///< without a value: the device can't tell

struct Process {
  uint32_t pid = 0;
  std::string kind;  ///< C compute, G graphics, C+G both, M a client of MPS
  Amount bytes;
  Amount utilization;
  uint32_t gpuInstance = UINT32_MAX;
  uint32_t computeInstance = UINT32_MAX;
  std::string name;
};

struct Mig {
  uint32_t slot = 0;
  std::string uuid;
  uint32_t gpuInstance = 0;
  uint32_t computeInstance = 0;
  uint64_t total = 0;
  uint64_t reserved = 0;
  uint64_t used = 0;
};

struct Gpu {
  std::string uuid;
  std::string name;
  std::string bus;
  std::string computeCapability;
  Amount total, reserved, used;
  Amount utilization, memoryBus, temperature, powerMilliwatts, limitMilliwatts, smClock, fan, throttle, ecc;
  Amount remapPending, remapFailed, linksUp, linksTotal, linkState, recovery;
  Amount mig;  ///< 1 enabled, 0 disabled; none: this GPU has no MIG
  uint32_t migSlots = 7;
  std::vector<Mig> migs;
  std::vector<Process> processes;
  std::map<std::string, int> codes;  ///< per function: what it returns for this GPU instead
};

struct Rule {
  std::vector<int> codes;  ///< one for each call; the last stays
  unsigned delayMs = 0;
  bool hang = false;
  unsigned dieAt = 0;  ///< the process dies in this call (1 = the first)
};

struct Xid {
  uint32_t gpu = 0;
  uint64_t number = 0;
};

struct Scenario {
  int generation = 550;  ///< of nvidia-smi; the library's is compiled in
  std::string driver = "550.54.15";
  int module = 0;            ///< generation of the loaded module; 0: that of each library which asks
  unsigned stride = 0;       ///< of process lists, instead of the generation's own
  bool ringGarbage = false;  ///< pad utilization rings with nonsense
  std::vector<Gpu> gpus;
  std::vector<Xid> xids;
  std::map<std::string, Rule> calls;  ///< library only
  unsigned smiDelayMs = 0;
  int smiExit = -1;           ///< nvidia-smi fails as a whole, with this code and the text that goes with it
  int smiAppsExit = -1;       ///< so its list of processes alone
  int smiExitCode = 0;        ///< how a query for GPUs ends that has given every row
  unsigned smiPmonLimit = 0;  ///< GPUs that one run of pmon shows at most; 0: all
  bool smiLowerCase = false;  ///< its tokens are written as `[n/a]`
  std::string smiWarning;
};

Scenario Parse(const std::string& text);

/// The scenario file of HIVEPULSE_FAKE_GPU. Without one, or without the file, a machine without GPUs.
class Machine {
 public:
  /// The newest scenario.
  Scenario Now();

 private:
  std::mutex mutex_;
  Scenario scenario_;
  std::string signature_;
};

/// The process's machine. Never destroyed: threads may stand in it while the process ends.
Machine& TheMachine();

}  // namespace fake
