#pragma once

#include <napi.h>

#include <memory>

#include "blocking_files.h"
#include "notifier.h"

namespace hivepulse {

/// `BlockingFiles` in JavaScript: `new BlockingFiles(onDone)`; `submit(work, paths, argument)` gives a batch's id,
/// `take` three values for each finished batch (native/to_js.h).
class FilesObject : public Napi::ObjectWrap<FilesObject> {
 public:
  static Napi::Function Class(Napi::Env env);
  explicit FilesObject(const Napi::CallbackInfo& info);
  ~FilesObject() override;

 private:
  Napi::Value Submit(const Napi::CallbackInfo& info);
  Napi::Value Take(const Napi::CallbackInfo& info);
  Napi::Value RunningMs(const Napi::CallbackInfo& info);
  Napi::Value RunningAt(const Napi::CallbackInfo& info);
  void KeepAlive(const Napi::CallbackInfo& info);
  void Close(const Napi::CallbackInfo& info);
  void Shut();

  std::uint32_t last_id_ = 0;
  std::shared_ptr<Notifier> notifier_;
  std::shared_ptr<BlockingFiles> files_;
};

}  // namespace hivepulse
