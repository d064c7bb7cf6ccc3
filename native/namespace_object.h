#pragma once

#include <napi.h>

#include <memory>

#include "namespace_connector.h"
#include "notifier.h"

namespace hivepulse {

/// `NamespaceConnector` in JavaScript: `new NamespaceConnector(onDone)`; `connect` gives a connection's id, `take` the
/// finished ones.
class NamespaceObject : public Napi::ObjectWrap<NamespaceObject> {
 public:
  static Napi::Function Class(Napi::Env env);
  explicit NamespaceObject(const Napi::CallbackInfo& info);
  ~NamespaceObject() override;

 private:
  Napi::Value Connect(const Napi::CallbackInfo& info);
  void Cancel(const Napi::CallbackInfo& info);
  Napi::Value Take(const Napi::CallbackInfo& info);
  void KeepAlive(const Napi::CallbackInfo& info);
  void Close(const Napi::CallbackInfo& info);
  void Shut();

  std::shared_ptr<Notifier> notifier_;
  std::shared_ptr<NamespaceConnector> connector_;
};

}  // namespace hivepulse
