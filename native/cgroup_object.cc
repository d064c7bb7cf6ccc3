#include "cgroup_object.h"

#include <utility>

#include "to_js.h"

namespace hivepulse {

Napi::Function CgroupObject::Class(Napi::Env env) {
  return DefineClass(env, "CgroupReader",
                     {
                         InstanceMethod<&CgroupObject::Add>("add"),
                         InstanceMethod<&CgroupObject::Remove>("remove"),
                         InstanceMethod<&CgroupObject::SetBlockDevices>("setBlockDevices"),
                         InstanceMethod<&CgroupObject::PassSync>("passSync"),
                         InstanceMethod<&CgroupObject::Start>("start"),
                         InstanceMethod<&CgroupObject::Request>("request"),
                         InstanceMethod<&CgroupObject::Latest>("latest"),
                         InstanceMethod<&CgroupObject::Begun>("begun"),
                         InstanceMethod<&CgroupObject::RunningMs>("runningMs"),
                         InstanceMethod<&CgroupObject::Reading>("reading"),
                         InstanceMethod<&CgroupObject::KeepAlive>("keepAlive"),
                         InstanceMethod<&CgroupObject::Close>("close"),
                     });
}

CgroupObject::CgroupObject(const Napi::CallbackInfo& info) : Napi::ObjectWrap<CgroupObject>(info) {
  if (!info[0].IsObject() || !info[1].IsFunction()) {
    Napi::TypeError::New(info.Env(), "CgroupReader(options, onPass)").ThrowAsJavaScriptException();
    return;
  }
  notifier_ = Notifier::Create(info.Env(), info[1].As<Napi::Function>(), "hivepulse.cgroups");
  if (notifier_ == nullptr) return;
  thread_ = SampleThread::Create(ReaderOptionsFromJs(info[0].As<Napi::Object>()),
                                 [notifier = notifier_] { notifier->Notify(); });
}

CgroupObject::~CgroupObject() { Shut(); }

void CgroupObject::Shut() {
  if (notifier_ != nullptr) notifier_->Close();
  if (thread_ != nullptr) thread_->Close();
}

Napi::Value CgroupObject::Add(const Napi::CallbackInfo& info) {
  const std::size_t slot = thread_->Add(PathFromJs(info[0]));
  return Napi::Number::New(info.Env(), static_cast<double>(slot));
}

void CgroupObject::Remove(const Napi::CallbackInfo& info) {
  thread_->Remove(static_cast<std::size_t>(info[0].ToNumber().Uint32Value()));
}

void CgroupObject::SetBlockDevices(const Napi::CallbackInfo& info) {
  if (!info[0].IsTypedArray() || info[0].As<Napi::TypedArray>().TypedArrayType() != napi_float64_array) {
    Napi::TypeError::New(info.Env(), "setBlockDevices(Float64Array)").ThrowAsJavaScriptException();
    return;
  }
  thread_->SetStacks(IoStacksFromJs(info[0].As<Napi::Float64Array>()));
}

Napi::Value CgroupObject::PassSync(const Napi::CallbackInfo& info) {
  Napi::Value result = info.Env().Undefined();
  thread_->PassSync([&](const RawPass& pass) { result = PassToJs(info.Env(), pass); });
  return result;
}

void CgroupObject::Start(const Napi::CallbackInfo& info) {
  if (!thread_->Start(info[0].ToNumber().DoubleValue())) {
    Napi::Error::New(info.Env(), "the system gives no thread for reading cgroups").ThrowAsJavaScriptException();
  }
}

void CgroupObject::Request(const Napi::CallbackInfo& info) {
  if (!thread_->Request()) {
    Napi::Error::New(info.Env(), "the system gives no thread for reading cgroups").ThrowAsJavaScriptException();
  }
}

Napi::Value CgroupObject::Latest(const Napi::CallbackInfo& info) {
  Napi::Value result = info.Env().Null();
  thread_->Latest([&](const RawPass& pass) { result = PassToJs(info.Env(), pass); });
  return result;
}

Napi::Value CgroupObject::Begun(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), static_cast<double>(thread_->begun()));
}

Napi::Value CgroupObject::RunningMs(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), thread_->RunningMs());
}

Napi::Value CgroupObject::Reading(const Napi::CallbackInfo& info) {
  const std::int64_t slot = thread_->Reading();
  return slot < 0 ? info.Env().Null() : Napi::Number::New(info.Env(), static_cast<double>(slot));
}

void CgroupObject::KeepAlive(const Napi::CallbackInfo& info) {
  if (info[0].ToBoolean().Value()) {
    notifier_->Ref();
  } else {
    notifier_->Unref();
  }
}

void CgroupObject::Close(const Napi::CallbackInfo&) { Shut(); }

}  // namespace hivepulse
