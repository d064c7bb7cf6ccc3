#include "namespace_object.h"

#include <utility>

#include "to_js.h"

namespace hivepulse {

Napi::Function NamespaceObject::Class(Napi::Env env) {
  return DefineClass(env, "NamespaceConnector",
                     {
                         InstanceMethod<&NamespaceObject::Connect>("connect"),
                         InstanceMethod<&NamespaceObject::Cancel>("cancel"),
                         InstanceMethod<&NamespaceObject::Take>("take"),
                         InstanceMethod<&NamespaceObject::KeepAlive>("keepAlive"),
                         InstanceMethod<&NamespaceObject::Close>("close"),
                     });
}

NamespaceObject::NamespaceObject(const Napi::CallbackInfo& info) : Napi::ObjectWrap<NamespaceObject>(info) {
  if (!info[0].IsFunction()) {
    Napi::TypeError::New(info.Env(), "NamespaceConnector(onDone)").ThrowAsJavaScriptException();
    return;
  }
  notifier_ = Notifier::Create(info.Env(), info[0].As<Napi::Function>(), "hivepulse.namespaces");
  if (notifier_ == nullptr) return;
  connector_ = NamespaceConnector::Create([notifier = notifier_] { notifier->Notify(); });
}

NamespaceObject::~NamespaceObject() { Shut(); }

void NamespaceObject::Shut() {
  if (notifier_ != nullptr) notifier_->Close();
  if (connector_ != nullptr) connector_->Close();
}

/// connect(path, inode, host, port, timeoutMs)
Napi::Value NamespaceObject::Connect(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  if (!info[0].IsString() || !info[1].IsNumber() || !info[2].IsString() || !info[3].IsNumber() || !info[4].IsNumber()) {
    Napi::TypeError::New(env, "connect(path, inode, host, port, timeoutMs)").ThrowAsJavaScriptException();
    return env.Undefined();
  }
  NamespaceTarget target;
  target.path = PathFromJs(info[0]);
  target.inode = static_cast<std::uint64_t>(info[1].As<Napi::Number>().Int64Value());
  target.host = info[2].As<Napi::String>().Utf8Value();
  target.port = static_cast<std::uint16_t>(info[3].As<Napi::Number>().Uint32Value());
  target.timeout_ms = info[4].As<Napi::Number>().DoubleValue();
  return Napi::Number::New(env, connector_->Connect(std::move(target)));
}

void NamespaceObject::Cancel(const Napi::CallbackInfo& info) {
  if (info[0].IsNumber()) connector_->Cancel(info[0].As<Napi::Number>().Uint32Value());
}

Napi::Value NamespaceObject::Take(const Napi::CallbackInfo& info) {
  std::vector<NamespaceConnection> connections = connector_->Take();
  return ConnectionsToJs(info.Env(), &connections);
}

void NamespaceObject::KeepAlive(const Napi::CallbackInfo& info) {
  if (info[0].ToBoolean().Value()) {
    notifier_->Ref();
  } else {
    notifier_->Unref();
  }
}

void NamespaceObject::Close(const Napi::CallbackInfo&) { Shut(); }

}  // namespace hivepulse
