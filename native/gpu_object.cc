#include "gpu_object.h"

#include <string>
#include <utility>
#include <vector>

#include "to_js.h"

namespace hivepulse {

Napi::Function GpuObject::Class(Napi::Env env) {
  return DefineClass(env, "GpuThread",
                     {
                         InstanceMethod<&GpuObject::Take>("take"),
                         InstanceMethod<&GpuObject::Ended>("ended"),
                         InstanceMethod<&GpuObject::Close>("close"),
                     });
}

GpuObject::GpuObject(const Napi::CallbackInfo& info) : Napi::ObjectWrap<GpuObject>(info) {
  if (!info[0].IsObject()) {
    Napi::TypeError::New(info.Env(), "GpuThread(options)").ThrowAsJavaScriptException();
    return;
  }
  auto thread = std::make_shared<GpuThread>(LoopOptionsFromJs(info[0].As<Napi::Object>()));
  if (!thread->Start()) {
    Napi::Error::New(info.Env(), "the system gives no thread for reading GPUs").ThrowAsJavaScriptException();
    return;
  }
  thread_ = std::move(thread);
}

GpuObject::~GpuObject() {
  if (thread_ != nullptr) thread_->Close();
}

Napi::Value GpuObject::Take(const Napi::CallbackInfo& info) {
  const std::vector<std::string> lines = thread_->Take();
  Napi::Array result = Napi::Array::New(info.Env(), lines.size());
  for (std::uint32_t i = 0; i < lines.size(); ++i) result.Set(i, Napi::String::New(info.Env(), lines[i]));
  return result;
}

Napi::Value GpuObject::Ended(const Napi::CallbackInfo& info) {
  return Napi::Boolean::New(info.Env(), thread_->ended());
}

void GpuObject::Close(const Napi::CallbackInfo&) { thread_->Close(); }

}  // namespace hivepulse
