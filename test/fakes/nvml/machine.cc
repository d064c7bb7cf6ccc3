#include "machine.h"

#include <sys/stat.h>

#include <cstdlib>
#include <fstream>
#include <sstream>

namespace fake {
namespace {

Amount ReadAmount(std::istringstream& words) {
  std::string word;
  if (!(words >> word) || word == "-") return std::nullopt;
  return std::stoull(word, nullptr, 0);
}

std::string Rest(std::istringstream& words) {
  std::string rest;
  std::getline(words >> std::ws, rest);
  return rest;
}

uint32_t ReadInstance(std::istringstream& words) {
  const Amount value = ReadAmount(words);
  return value ? static_cast<uint32_t>(*value) : UINT32_MAX;
}

void ReadGpuLine(const std::string& key, std::istringstream& words, Gpu& gpu) {
  if (key == "uuid") words >> gpu.uuid;
  if (key == "name") gpu.name = Rest(words);
  if (key == "bus") words >> gpu.bus;
  if (key == "cc") words >> gpu.computeCapability;
  if (key == "memory") {
    gpu.total = ReadAmount(words);
    gpu.reserved = ReadAmount(words);
    gpu.used = ReadAmount(words);
  }
  if (key == "utilization") {
    gpu.utilization = ReadAmount(words);
    gpu.memoryBus = ReadAmount(words);
  }
  if (key == "temperature") gpu.temperature = ReadAmount(words);
  if (key == "power") {
    gpu.powerMilliwatts = ReadAmount(words);
    gpu.limitMilliwatts = ReadAmount(words);
  }
  if (key == "smClock") gpu.smClock = ReadAmount(words);
  if (key == "fan") gpu.fan = ReadAmount(words);
  if (key == "throttle") gpu.throttle = ReadAmount(words);
  if (key == "ecc") gpu.ecc = ReadAmount(words);
  if (key == "remap") {
    gpu.remapPending = ReadAmount(words);
    gpu.remapFailed = ReadAmount(words);
  }
  if (key == "nvlinks") {
    gpu.linksUp = ReadAmount(words);
    gpu.linksTotal = ReadAmount(words);
    gpu.linkState = ReadAmount(words);
  }
  if (key == "recovery") gpu.recovery = ReadAmount(words);
  if (key == "mig") {
    gpu.mig = ReadAmount(words);
    gpu.migSlots = static_cast<uint32_t>(ReadAmount(words).value_or(7));
  }
  if (key == "migdevice") {
    Mig mig;
    words >> mig.slot >> mig.uuid >> mig.gpuInstance >> mig.computeInstance >> mig.total >> mig.reserved >> mig.used;
    gpu.migs.push_back(mig);
  }
  if (key == "process") {
    Process process;
    words >> process.pid >> process.kind;
    process.bytes = ReadAmount(words);
    process.utilization = ReadAmount(words);
    process.gpuInstance = ReadInstance(words);
    process.computeInstance = ReadInstance(words);
    process.name = Rest(words);
    gpu.processes.push_back(process);
  }
  if (key == "code") {
    std::string function;
    int code = 0;
    words >> function >> code;
    gpu.codes[function] = code;
  }
}

}  // namespace

Scenario Parse(const std::string& text) {
  Scenario scenario;
  std::istringstream lines(text);
  std::string line;
  while (std::getline(lines, line)) {
    std::istringstream words(line);
    std::string key;
    if (!(words >> key)) continue;
    if (key == "gpu") {
      scenario.gpus.emplace_back();
    } else if (key == "generation") {
      words >> scenario.generation;
    } else if (key == "driver") {
      words >> scenario.driver;
    } else if (key == "module") {
      words >> scenario.module;
    } else if (key == "stride") {
      words >> scenario.stride;
    } else if (key == "ringGarbage") {
      scenario.ringGarbage = true;
    } else if (key == "xid") {
      Xid xid;
      words >> xid.gpu >> xid.number;
      scenario.xids.push_back(xid);
    } else if (key == "call") {
      std::string function;
      std::string what;
      words >> function >> what;
      Rule& rule = scenario.calls[function];
      if (what == "codes") {
        for (int code; words >> code;) rule.codes.push_back(code);
      }
      if (what == "delay") words >> rule.delayMs;
      if (what == "hang") rule.hang = true;
      if (what == "die") words >> rule.dieAt;
    } else if (key == "smi") {
      std::string what;
      words >> what;
      if (what == "delay") words >> scenario.smiDelayMs;
      if (what == "exit") words >> scenario.smiExit;
      if (what == "appsExit") words >> scenario.smiAppsExit;
      if (what == "exitCode") words >> scenario.smiExitCode;
      if (what == "pmonLimit") words >> scenario.smiPmonLimit;
      if (what == "lowerCase") scenario.smiLowerCase = true;
      if (what == "warning") scenario.smiWarning = Rest(words);
    } else if (!scenario.gpus.empty()) {
      ReadGpuLine(key, words, scenario.gpus.back());
    }
  }
  return scenario;
}

Scenario Machine::Now() {
  const std::lock_guard<std::mutex> lock(mutex_);
  const char* path = std::getenv("HIVEPULSE_FAKE_GPU");
  if (path == nullptr) return scenario_;
  struct stat status {};
  if (stat(path, &status) != 0) return scenario_;
  // Scenarios are replaced by rename, so a new one has a new inode even within the clock's grain.
  const std::string signature = std::to_string(status.st_ino) + " " + std::to_string(status.st_mtim.tv_sec) + "." +
                                std::to_string(status.st_mtim.tv_nsec) + " " + std::to_string(status.st_size);
  if (signature != signature_) {
    std::ifstream file(path);
    std::stringstream text;
    text << file.rdbuf();
    scenario_ = Parse(text.str());
    signature_ = signature;
  }
  return scenario_;
}

Machine& TheMachine() {
  static Machine* machine = new Machine;
  return *machine;
}

}  // namespace fake
