#pragma once

#include <napi.h>

#include <memory>

#include "socket_reader.h"

namespace hivepulse {

/// `SocketReader` in JavaScript: `new SocketReader(bytes, reads)`; `read` fills the two.
class SocketObject : public Napi::ObjectWrap<SocketObject> {
 public:
  static Napi::Function Class(Napi::Env env);
  explicit SocketObject(const Napi::CallbackInfo& info);

 private:
  Napi::Value Add(const Napi::CallbackInfo& info);
  void Remove(const Napi::CallbackInfo& info);
  Napi::Value Read(const Napi::CallbackInfo& info);
  void Close(const Napi::CallbackInfo& info);

  /// Kept as long as this object, which writes into them.
  Napi::Reference<Napi::Uint8Array> bytes_;
  Napi::Reference<Napi::Int32Array> reads_;
  std::unique_ptr<SocketReader> reader_;
};

}  // namespace hivepulse
