#pragma once

#include <napi.h>

#include <cstdint>
#include <string>
#include <vector>

#include "blocking_files.h"
#include "cgroup_reader.h"
#include "gpu_loop.h"
#include "namespace_connector.h"
#include "raw_pass.h"

/// The only place that knows how things are called in JavaScript.
namespace hivepulse {

/// A pass as one ArrayBuffer of the caller's: the doubles sequence, startedMs, durationMs, number of worker cells and
/// of process cells; then the cells themselves; then the error table as 16-bit numbers. lib/cgroup/native.ts unpacks
/// it.
Napi::Value PassToJs(Napi::Env env, const RawPass& pass);

/// `RawReaderOptions` of lib/native/layout.ts. What is missing keeps its default.
ReaderOptions ReaderOptionsFromJs(const Napi::Object& options);

/// `NativeGpuOptions` of lib/native/binding.ts. What is missing keeps its default.
nvml::LoopOptions LoopOptionsFromJs(const Napi::Object& options);

/// By its name of `fileWorks` (lib/native/layout.ts). False: there is none of that name.
bool FileWorkFromJs(const Napi::Value& name, FileWork* work);

/// A path given as a string, or as a Buffer where it is not UTF-8.
std::string PathFromJs(const Napi::Value& path);

/// For each block device, in any order: its number, how many devices are on top of it, and their numbers.
IoStacks IoStacksFromJs(const Napi::Float64Array& table);

/// A batch is so many values in a row: its number, its answers, and what is text of them.
constexpr std::uint32_t kBatchValues = 3;

/// `NativeBatch` of lib/native/binding.ts, from place `at` on. Answers: a Buffer or an errno for each path, or rows.
void BatchToJs(const FileBatch& batch, std::uint32_t at, Napi::Array* values);

/// `{ id, fd, error }`: the descriptor is JavaScript's now, and -1 where `error`, an errno, is not 0.
Napi::Value ConnectionsToJs(Napi::Env env, std::vector<NamespaceConnection>* connections);

/// Adds `workerColumns`, `processColumns`, `workerFiles`, `fileWorks` and `rowFlags`, by which the loader recognizes an
/// addon of another version.
void ExportNames(Napi::Env env, Napi::Object exports);

}  // namespace hivepulse
