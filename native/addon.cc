// Exports of the addon, and nothing else. Each part brings its own exports under its own names.
#include <napi.h>

#include "descriptor_limit.h"

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
  exports.Set("raiseDescriptorLimit", Napi::Function::New(env, RaiseLimit));
  exports.Set("originalDescriptorLimit", Napi::Function::New(env, OriginalLimit));
  return exports;
}

}  // namespace

NODE_API_MODULE(hivepulse, Init)
