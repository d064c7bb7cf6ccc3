// Exports of the addon, and nothing else. There is no state but that of the objects handed out: each environment
// (a worker thread is one) has its own.
#include <napi.h>
#include <unistd.h>

#include "cgroup_object.h"
#include "descriptor_limit.h"
#include "files_object.h"
#include "gpu_object.h"
#include "to_js.h"

namespace {

using namespace hivepulse;

Napi::Value RaiseLimit(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), static_cast<double>(RaiseDescriptorLimit()));
}

Napi::Value OriginalLimit(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), static_cast<double>(OriginalDescriptorLimit()));
}

Napi::Object Init(Napi::Env env, Napi::Object exports) {
  OriginalDescriptorLimit();
  ExportNames(env, exports);
  exports.Set("CgroupReader", CgroupObject::Class(env));
  exports.Set("BlockingFiles", FilesObject::Class(env));
  exports.Set("GpuThread", GpuObject::Class(env));
  exports.Set("raiseDescriptorLimit", Napi::Function::New(env, RaiseLimit));
  exports.Set("originalDescriptorLimit", Napi::Function::New(env, OriginalLimit));
  exports.Set("clockTicksPerSecond", static_cast<double>(sysconf(_SC_CLK_TCK)));
  exports.Set("pageSize", static_cast<double>(sysconf(_SC_PAGESIZE)));
  return exports;
}

}  // namespace

NODE_API_MODULE(hivepulse, Init)
