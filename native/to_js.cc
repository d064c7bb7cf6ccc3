#include "to_js.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <iterator>

namespace hivepulse {

namespace {

constexpr const char* kWorkerColumnNames[] = {
    "flags",
    "monotonicMs",
    "inode",
    "usageUsec",
    "userUsec",
    "systemUsec",
    "nrPeriods",
    "nrThrottled",
    "throttledUsec",
    "cpuQuotaUsec",
    "cpuPeriodUsec",
    "memoryCurrentBytes",
    "memoryPeakBytes",
    "memoryMaxBytes",
    "anonBytes",
    "inactiveFileBytes",
    "oom",
    "oomKill",
    "ioReadBytes",
    "ioWriteBytes",
    "ioReads",
    "ioWrites",
    "ioDevices",
    "ioUnknownDevice",
    "pidsCurrent",
    "populated",
    "cpuSomeAvg10",
    "cpuSomeTotalUsec",
    "memorySomeAvg10",
    "memorySomeTotalUsec",
    "ioSomeAvg10",
    "ioSomeTotalUsec",
    "processOffset",
    "processCount",
};
static_assert(std::size(kWorkerColumnNames) == kWorkerColumns, "a worker column has no name");

constexpr const char* kProcessColumnNames[] = {"pid", "startTicks", "residentBytes", "ioReadBytes", "ioWriteBytes"};
static_assert(std::size(kProcessColumnNames) == kProcessColumns, "a process column has no name");

constexpr const char* kUsageColumnNames[] = {"error",          "parentPid",     "state",     "startTicks", "cpuTicks",
                                             "waitedCpuTicks", "residentPages", "readBytes", "writeBytes"};
static_assert(std::size(kUsageColumnNames) == kUsageColumns, "a column of what processes use has no name");

/// In the order of `FileWork`.
constexpr const char* kFileWorkNames[] = {"read",      "readKept", "readAwake", "list",       "pids",    "links",
                                          "linkNames", "sockets",  "usage",     "drmClients", "statuses"};
static_assert(std::size(kFileWorkNames) == static_cast<std::size_t>(FileWork::kStatuses) + 1,
              "a work of files has no name");

template <std::size_t N>
Napi::Array NamesToJs(Napi::Env env, const char* const (&names)[N]) {
  Napi::Array array = Napi::Array::New(env, N);
  for (std::size_t i = 0; i < N; ++i) array.Set(static_cast<std::uint32_t>(i), Napi::String::New(env, names[i]));
  return array;
}

bool Flag(const Napi::Object& options, const char* name) { return options.Get(name).ToBoolean().Value(); }

}  // namespace

Napi::Value PassToJs(Napi::Env env, const RawPass& pass) {
  const double head[] = {static_cast<double>(pass.sequence), pass.started_ms, pass.duration_ms,
                         static_cast<double>(pass.workers.size()), static_cast<double>(pass.processes.size())};
  const std::size_t workers = pass.workers.size() * sizeof(double);
  const std::size_t processes = pass.processes.size() * sizeof(double);
  const std::size_t errors = pass.errors.size() * sizeof(std::int16_t);
  Napi::ArrayBuffer buffer = Napi::ArrayBuffer::New(env, sizeof head + workers + processes + errors);
  if (buffer.IsEmpty()) return env.Undefined();
  auto* to = static_cast<std::uint8_t*>(buffer.Data());
  const auto append = [&to](const void* from, std::size_t size) {
    if (size > 0) std::memcpy(to, from, size);
    to += size;
  };
  append(head, sizeof head);
  append(pass.workers.data(), workers);
  append(pass.processes.data(), processes);
  append(pass.errors.data(), errors);
  return buffer;
}

ReaderOptions ReaderOptionsFromJs(const Napi::Object& options) {
  ReaderOptions result;
  const Napi::Value proc_root = options.Get("procRoot");
  if (proc_root.IsString()) result.proc_root = proc_root.As<Napi::String>().Utf8Value();
  result.process_memory = Flag(options, "processMemory");
  result.process_io = Flag(options, "processIo");
  const Napi::Value every = options.Get("memoryStatEvery");
  if (every.IsNumber()) result.memory_stat_every = every.As<Napi::Number>().Uint32Value();
  const Napi::Value descriptors = options.Get("maxDescriptors");
  if (descriptors.IsNumber()) {
    const double most = descriptors.As<Napi::Number>().DoubleValue();
    result.max_descriptors = std::isfinite(most) ? most : -1;
  }
  return result;
}

nvml::LoopOptions LoopOptionsFromJs(const Napi::Object& options) {
  nvml::LoopOptions result;
  const Napi::Value paths = options.Get("libraryPaths");
  if (paths.IsArray()) {
    const Napi::Array list = paths.As<Napi::Array>();
    result.library_paths.clear();
    for (std::uint32_t i = 0; i < list.Length(); ++i) {
      result.library_paths.push_back(list.Get(i).ToString().Utf8Value());
    }
  }
  const auto milliseconds = [&options](const char* name, std::chrono::milliseconds& into) {
    const Napi::Value value = options.Get(name);
    if (value.IsNumber()) into = std::chrono::milliseconds(value.As<Napi::Number>().Int64Value());
  };
  milliseconds("intervalMs", result.interval);
  milliseconds("slowIntervalMs", result.slow_interval);
  milliseconds("retryMs", result.retry_first);
  return result;
}

bool FileWorkFromJs(const Napi::Value& name, FileWork* work) {
  const std::string asked = name.IsString() ? name.As<Napi::String>().Utf8Value() : "";
  const auto* const found = std::find(std::begin(kFileWorkNames), std::end(kFileWorkNames), asked);
  if (found == std::end(kFileWorkNames)) return false;
  *work = static_cast<FileWork>(found - std::begin(kFileWorkNames));
  return true;
}

std::string PathFromJs(const Napi::Value& path) {
  if (!path.IsBuffer()) return path.ToString().Utf8Value();
  const auto bytes = path.As<Napi::Buffer<char>>();
  return {bytes.Data(), bytes.Length()};
}

IoStacks IoStacksFromJs(const Napi::Float64Array& table) {
  IoStacks stacks;
  const std::size_t length = table.ElementLength();
  for (std::size_t at = 0; at + 1 < length;) {
    const auto number = static_cast<std::uint64_t>(table[at]);
    const std::size_t count = std::min(static_cast<std::size_t>(table[at + 1]), length - at - 2);
    const std::size_t begin = stacks.above.size();
    for (std::size_t i = 0; i < count; ++i) stacks.above.push_back(static_cast<std::uint64_t>(table[at + 2 + i]));
    stacks.devices.push_back({number, begin, begin + count});
    at += 2 + count;
  }
  std::sort(stacks.devices.begin(), stacks.devices.end(),
            [](const IoStacks::Device& a, const IoStacks::Device& b) { return a.number < b.number; });
  return stacks;
}

namespace {

/// All rows in one array: a number each would cost more than reading them.
Napi::Value UsagesToJs(Napi::Env env, const std::vector<ProcessUsage>& usages) {
  static_assert(sizeof(ProcessUsage) == kUsageColumns * sizeof(double), "a row is doubles alone");
  Napi::Float64Array rows = Napi::Float64Array::New(env, usages.size() * kUsageColumns);
  if (!usages.empty()) std::memcpy(rows.Data(), usages.data(), usages.size() * sizeof(ProcessUsage));
  return rows;
}

Napi::Value RowsToJs(Napi::Env env, const std::vector<double>& values) {
  Napi::Float64Array rows = Napi::Float64Array::New(env, values.size());
  if (!values.empty()) std::memcpy(rows.Data(), values.data(), values.size() * sizeof(double));
  return rows;
}

Napi::Value FilesToJs(Napi::Env env, const std::vector<FileAnswer>& files) {
  Napi::Array results = Napi::Array::New(env, files.size());
  for (std::uint32_t i = 0; i < files.size(); ++i) {
    const FileAnswer& answer = files[i];
    if (answer.error != 0) {
      results.Set(i, Napi::Number::New(env, answer.error));
    } else {
      results.Set(i, Napi::Buffer<char>::Copy(env, answer.bytes.data(), answer.bytes.size()));
    }
  }
  return results;
}

}  // namespace

void BatchToJs(const FileBatch& batch, std::uint32_t at, Napi::Array* values) {
  const Napi::Env env = values->Env();
  values->Set(at, Napi::Number::New(env, batch.id));
  if (batch.work == FileWork::kUsage) {
    values->Set(at + 1, UsagesToJs(env, batch.usages));
  } else if (batch.work == FileWork::kRead || batch.work == FileWork::kSockets) {
    values->Set(at + 1, FilesToJs(env, batch.files));
  } else {
    values->Set(at + 1, RowsToJs(env, batch.packed.rows));
    // As lib/gpu/drm/fdinfo.ts reads a file: a character for each byte.
    napi_value text = nullptr;
    const std::string& bytes = batch.packed.text;
    if (napi_create_string_latin1(env, bytes.data(), bytes.size(), &text) == napi_ok) values->Set(at + 2, text);
  }
}

Napi::Value ConnectionsToJs(Napi::Env env, std::vector<NamespaceConnection>* connections) {
  Napi::Array result = Napi::Array::New(env, connections->size());
  for (std::uint32_t i = 0; i < connections->size(); ++i) {
    NamespaceConnection& connection = (*connections)[i];
    Napi::Object made = Napi::Object::New(env);
    made.Set("id", connection.id);
    made.Set("fd", connection.socket.Release());
    made.Set("error", connection.error);
    result.Set(i, made);
  }
  return result;
}

void ExportNames(Napi::Env env, Napi::Object exports) {
  exports.Set("workerColumns", NamesToJs(env, kWorkerColumnNames));
  exports.Set("processColumns", NamesToJs(env, kProcessColumnNames));
  exports.Set("usageColumns", NamesToJs(env, kUsageColumnNames));
  exports.Set("workerFiles", NamesToJs(env, kWorkerFileNames));
  exports.Set("fileWorks", NamesToJs(env, kFileWorkNames));
  Napi::Object flags = Napi::Object::New(env);
  flags.Set("removed", static_cast<double>(kRemoved));
  flags.Set("partial", static_cast<double>(kPartial));
  flags.Set("threaded", static_cast<double>(kThreaded));
  flags.Set("uncached", static_cast<double>(kUncached));
  exports.Set("rowFlags", flags);
}

}  // namespace hivepulse
