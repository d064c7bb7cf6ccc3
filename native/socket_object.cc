#include "socket_object.h"

#include <cerrno>
#include <cstring>
#include <string>

namespace hivepulse {

namespace {

constexpr std::size_t kReadNumbers = sizeof(SocketRead) / sizeof(std::int32_t);

bool IsArrayOf(const Napi::Value& value, napi_typedarray_type type) {
  return value.IsTypedArray() && value.As<Napi::TypedArray>().TypedArrayType() == type;
}

}  // namespace

Napi::Function SocketObject::Class(Napi::Env env) {
  return DefineClass(env, "SocketReader",
                     {
                         InstanceMethod<&SocketObject::Add>("add"),
                         InstanceMethod<&SocketObject::Remove>("remove"),
                         InstanceMethod<&SocketObject::Read>("read"),
                         InstanceMethod<&SocketObject::Close>("close"),
                     });
}

SocketObject::SocketObject(const Napi::CallbackInfo& info) : Napi::ObjectWrap<SocketObject>(info) {
  if (!IsArrayOf(info[0], napi_uint8_array) || !IsArrayOf(info[1], napi_int32_array)) {
    Napi::TypeError::New(info.Env(), "SocketReader(bytes: Uint8Array, reads: Int32Array)").ThrowAsJavaScriptException();
    return;
  }
  bytes_ = Napi::Persistent(info[0].As<Napi::Uint8Array>());
  reads_ = Napi::Persistent(info[1].As<Napi::Int32Array>());
  reader_ = SocketReader::Create();
  if (reader_ == nullptr)
    Napi::Error::New(info.Env(), std::string("epoll_create1: ") + std::strerror(errno)).ThrowAsJavaScriptException();
}

/// add(descriptor, id): 0 or an errno
Napi::Value SocketObject::Add(const Napi::CallbackInfo& info) {
  if (!info[0].IsNumber() || !info[1].IsNumber()) {
    Napi::TypeError::New(info.Env(), "add(descriptor, id)").ThrowAsJavaScriptException();
    return info.Env().Undefined();
  }
  const int descriptor = info[0].As<Napi::Number>().Int32Value();
  const std::int32_t id = info[1].As<Napi::Number>().Int32Value();
  return Napi::Number::New(info.Env(), reader_ == nullptr ? EBADF : reader_->Add(descriptor, id));
}

void SocketObject::Remove(const Napi::CallbackInfo& info) {
  if (reader_ != nullptr && info[0].IsNumber()) reader_->Remove(info[0].As<Napi::Number>().Int32Value());
}

/// read(): how many sockets were read
Napi::Value SocketObject::Read(const Napi::CallbackInfo& info) {
  if (reader_ == nullptr) return Napi::Number::New(info.Env(), 0);
  Napi::Uint8Array bytes = bytes_.Value();
  Napi::Int32Array reads = reads_.Value();
  const std::size_t count = reader_->Read(bytes.Data(), bytes.ByteLength(), reinterpret_cast<SocketRead*>(reads.Data()),
                                          reads.ElementLength() / kReadNumbers);
  return Napi::Number::New(info.Env(), static_cast<double>(count));
}

void SocketObject::Close(const Napi::CallbackInfo&) { reader_ = nullptr; }

}  // namespace hivepulse
