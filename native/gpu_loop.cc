#include "gpu_loop.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <utility>

#include "nvml_library.h"
#include "nvml_reader.h"

namespace nvml {
namespace {

using Clock = std::chrono::steady_clock;

/// `text` as a JSON string. Bytes outside ASCII are not expected from a driver and become `?`.
std::string Quote(const std::string& text) {
  std::string out = "\"";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (byte < 0x20 || byte > 0x7e) {
      out += '?';
    } else {
      out += c;
    }
  }
  return out + "\"";
}

std::string Number(double value) {
  char text[64];
  std::snprintf(text, sizeof(text), value == std::floor(value) ? "%.0f" : "%.3f", value);
  return text;
}

std::string ToJson(const DeviceReport& device) {
  std::string out = "{\"index\":" + std::to_string(device.index);
  out += ",\"handleCode\":" + std::to_string(device.handle_code);
  out += ",\"uuid\":" + Quote(device.uuid) + ",\"parentUuid\":" + Quote(device.parent_uuid);
  out += ",\"name\":" + Quote(device.name) + ",\"busId\":" + Quote(device.busId);
  out += ",\"computeCapability\":" + Quote(device.compute_capability);
  std::string values;
  std::string codes;
  for (size_t field = 0; field < kFieldCount; field++) {
    const Cell& cell = device.fields[field];
    if (cell.code == Cell::kNotAsked) continue;
    std::string& into = cell.code == kSuccess ? values : codes;
    into += into.empty() ? "" : ",";
    into += Quote(kFieldNames[field]) + ":";
    into += cell.code == kSuccess ? Number(cell.value) : std::to_string(cell.code);
  }
  return out + ",\"values\":{" + values + "},\"codes\":{" + codes + "}}";
}

std::string Failed(const char* call, int code, const Library& library) {
  return "{\"type\":\"failed\",\"call\":" + Quote(call) + ",\"code\":" + std::to_string(code) +
         ",\"replaced\":" + (WasReplaced(library) ? "true" : "false") + "}";
}

}  // namespace

std::string ToJson(const Report& report, const std::string& library_path, double duration_ms) {
  std::string out = "{\"type\":\"report\",\"driverVersion\":" + Quote(report.driver_version);
  if (report.count_code != kSuccess) out += ",\"countCode\":" + std::to_string(report.count_code);
  out += ",\"library\":" + Quote(library_path) + ",\"durationMs\":" + Number(duration_ms) + ",\"devices\":[";
  for (size_t i = 0; i < report.devices.size(); i++) out += (i == 0 ? "" : ",") + ToJson(report.devices[i]);
  out += "],\"processes\":[";
  for (size_t i = 0; i < report.processes.size(); i++) {
    const ProcessReport& process = report.processes[i];
    out += (i == 0 ? "{" : ",{");
    out += "\"device\":" + std::to_string(process.device) + ",\"pid\":" + std::to_string(process.pid) + ",\"bytes\":";
    out += process.bytes == kValueNotAvailable ? "null" : std::to_string(process.bytes);
    out += ",\"utilization\":";
    out += process.has_utilization ? std::to_string(process.utilization) : "null";
    out += "}";
  }
  return out + "]}";
}

GpuLoop::GpuLoop(LoopOptions options, Emit emit) : options_(std::move(options)), emit_(std::move(emit)) {}

void GpuLoop::Stop() {
  stopped_ = true;
  wake_.Signal();
}

bool GpuLoop::Wait(std::chrono::milliseconds time) {
  const Clock::time_point end = Clock::now() + time;
  // Without a descriptor for it (valid() is false) the wait still ends, only later.
  for (auto left = time; !stopped_ && left.count() > 0;
       left = std::chrono::duration_cast<std::chrono::milliseconds>(end - Clock::now())) {
    wake_.Wait(static_cast<double>(left.count()));
  }
  return !stopped_;
}

void GpuLoop::Run() {
  if (stopped_) return;
  const Library library = OpenLibrary(options_.library_paths);
  if (!library.loaded) {
    emit_("{\"type\":\"unavailable\",\"reason\":" + Quote(library.failure) + "}");
    return;
  }
  Clock::time_point last_word = Clock::now();
  NvmlReader reader(library.symbols, [&] {
    if (Clock::now() - last_word < std::chrono::milliseconds(500)) return;
    last_word = Clock::now();
    emit_("{\"type\":\"alive\"}");
  });

  auto retry = options_.retry_first;
  auto sick_retry = std::max(options_.retry_first, options_.slow_interval);
  while (!stopped_) {
    emit_("{\"type\":\"init\"}");
    const int code = reader.Init();
    if (code != kSuccess) {
      emit_(Failed("nvmlInit_v2", code, library));
      if (!Wait(retry)) return;
      retry = std::min(retry * 2, options_.retry_last);
      continue;
    }

    Clock::time_point slow_due = Clock::now();
    const Clock::time_point sick_until = Clock::now() + sick_retry;
    bool again = false;
    bool answered = false;
    while (!again) {
      const Clock::time_point start = Clock::now();
      last_word = start;
      const bool slow = start >= slow_due;
      const Report report = reader.Pass(slow);
      if (slow) slow_due = start + options_.slow_interval;
      for (const XidReport& event : report.xids) {
        emit_("{\"type\":\"xid\",\"uuid\":" + Quote(event.uuid) + ",\"xid\":" + std::to_string(event.xid) + "}");
      }
      if (report.lifecycle_code != kSuccess) {
        emit_(Failed("pass", report.lifecycle_code, library));
        again = true;
        break;
      }
      retry = options_.retry_first;
      answered = true;
      emit_(ToJson(report, library.path, std::chrono::duration<double, std::milli>(Clock::now() - start).count()));
      if (!report.sick) sick_retry = std::max(options_.retry_first, options_.slow_interval);
      // While the driver does not list its GPUs, those that still answer would be lost with a new nvmlInit.
      if (report.sick && report.count_code == kSuccess && Clock::now() >= sick_until) {
        // A GPU that was reset is only found by a new nvmlInit. The pause doubles: each one disturbs the other GPUs.
        sick_retry = std::min(sick_retry * 2, std::chrono::milliseconds(60000));
        again = true;
        break;
      }
      const auto spent = std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - start);
      if (!Wait(std::max(options_.interval - spent, std::chrono::milliseconds(1)))) break;
    }
    reader.Shutdown();
    if (!again) return;
    // The first attempt after an answer comes at once: a driver that was only replaced costs one pass.
    if (!Wait(answered ? std::chrono::milliseconds(10) : retry)) return;
    if (!answered) retry = std::min(retry * 2, options_.retry_last);
  }
}

}  // namespace nvml
