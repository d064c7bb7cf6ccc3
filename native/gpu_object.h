#pragma once

#include <napi.h>

#include <memory>

#include "gpu_thread.h"

namespace hivepulse {

/// `GpuThread` in JavaScript (lib/native/binding.ts: NativeGpuThread).
class GpuObject : public Napi::ObjectWrap<GpuObject> {
 public:
  static Napi::Function Class(Napi::Env env);
  explicit GpuObject(const Napi::CallbackInfo& info);
  /// Also at the end of the environment, with a call stuck in the driver: the thread is asked to end, not waited for.
  ~GpuObject() override;

 private:
  Napi::Value Take(const Napi::CallbackInfo& info);
  Napi::Value Ended(const Napi::CallbackInfo& info);
  void Close(const Napi::CallbackInfo& info);

  std::shared_ptr<GpuThread> thread_;
};

}  // namespace hivepulse
