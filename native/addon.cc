// Exports of the addon, and nothing else. There is no state but that of the objects handed out: each environment
// (a worker thread is one) has its own.
#include <napi.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>

#include "cgroup_object.h"
#include "descriptor_limit.h"
#include "files_object.h"
#include "gpu_object.h"
#include "namespace_object.h"
#include "resident_memory.h"
#include "socket_object.h"
#include "to_js.h"

namespace {

using namespace hivepulse;

Napi::Value RaiseLimit(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), static_cast<double>(RaiseDescriptorLimit()));
}

Napi::Value OriginalLimit(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), static_cast<double>(OriginalDescriptorLimit()));
}

/// TCP_USER_TIMEOUT (tcp(7)) of a socket by its descriptor; those that a listening one accepts inherit it. Gives 0 or
/// errno.
Napi::Value SetTcpUserTimeout(const Napi::CallbackInfo& info) {
  if (info.Length() < 2 || !info[0].IsNumber() || !info[1].IsNumber()) {
    Napi::TypeError::New(info.Env(), "setTcpUserTimeout takes a descriptor and milliseconds")
        .ThrowAsJavaScriptException();
    return info.Env().Undefined();
  }
  const int descriptor = info[0].As<Napi::Number>().Int32Value();
  const unsigned milliseconds = info[1].As<Napi::Number>().Uint32Value();
  const int failed = setsockopt(descriptor, IPPROTO_TCP, TCP_USER_TIMEOUT, &milliseconds, sizeof milliseconds);
  return Napi::Number::New(info.Env(), failed == 0 ? 0 : errno);
}

Napi::Value ReleaseUnusedPagesFromJs(const Napi::CallbackInfo& info) {
  return Napi::Boolean::New(info.Env(), ReleaseUnusedPages());
}

Napi::Object Init(Napi::Env env, Napi::Object exports) {
  OriginalDescriptorLimit();
  ExportNames(env, exports);
  exports.Set("CgroupReader", CgroupObject::Class(env));
  exports.Set("BlockingFiles", FilesObject::Class(env));
  exports.Set("GpuThread", GpuObject::Class(env));
  exports.Set("NamespaceConnector", NamespaceObject::Class(env));
  exports.Set("SocketReader", SocketObject::Class(env));
  exports.Set("raiseDescriptorLimit", Napi::Function::New(env, RaiseLimit));
  exports.Set("originalDescriptorLimit", Napi::Function::New(env, OriginalLimit));
  exports.Set("setTcpUserTimeout", Napi::Function::New(env, SetTcpUserTimeout));
  exports.Set("releaseUnusedPages", Napi::Function::New(env, ReleaseUnusedPagesFromJs));
  exports.Set("clockTicksPerSecond", static_cast<double>(sysconf(_SC_CLK_TCK)));
  exports.Set("pageSize", static_cast<double>(sysconf(_SC_PAGESIZE)));
  return exports;
}

}  // namespace

NODE_API_MODULE(hivepulse, Init)
