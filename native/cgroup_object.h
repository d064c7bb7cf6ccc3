#pragma once

#include <napi.h>

#include <memory>

#include "notifier.h"
#include "sample_thread.h"

namespace hivepulse {

/// `CgroupReader` in JavaScript: `new CgroupReader(options, onPass)`; `onPass` is called after each pass of the thread.
class CgroupObject : public Napi::ObjectWrap<CgroupObject> {
 public:
  static Napi::Function Class(Napi::Env env);
  explicit CgroupObject(const Napi::CallbackInfo& info);
  ~CgroupObject() override;

 private:
  Napi::Value Add(const Napi::CallbackInfo& info);
  void Remove(const Napi::CallbackInfo& info);
  void SetBlockDevices(const Napi::CallbackInfo& info);
  Napi::Value PassSync(const Napi::CallbackInfo& info);
  void Start(const Napi::CallbackInfo& info);
  void Request(const Napi::CallbackInfo& info);
  Napi::Value Latest(const Napi::CallbackInfo& info);
  Napi::Value Begun(const Napi::CallbackInfo& info);
  Napi::Value Reading(const Napi::CallbackInfo& info);
  Napi::Value RunningMs(const Napi::CallbackInfo& info);
  void KeepAlive(const Napi::CallbackInfo& info);
  void Close(const Napi::CallbackInfo& info);
  void Shut();

  std::shared_ptr<Notifier> notifier_;
  std::shared_ptr<SampleThread> thread_;
};

}  // namespace hivepulse
