#include "notifier.h"

namespace hivepulse {

namespace {

void CallJs(napi_env env, napi_value callback, void*, void*) {
  if (env == nullptr || callback == nullptr) return;  // the environment is ending
  napi_value receiver;
  if (napi_get_undefined(env, &receiver) != napi_ok) return;
  napi_call_function(env, receiver, callback, 0, nullptr, nullptr);
}

}  // namespace

std::shared_ptr<Notifier> Notifier::Create(Napi::Env env, Napi::Function callback, const char* resource) {
  std::shared_ptr<Notifier> self(new Notifier(env));
  const Napi::String name = Napi::String::New(env, resource);
  // A queue of 1: what is pending stands for all that happened until it is taken.
  const napi_status created = napi_create_threadsafe_function(env, callback, nullptr, name, 1, 1, nullptr, nullptr,
                                                              nullptr, CallJs, &self->function_);
  if (created != napi_ok) {
    Napi::Error::New(env).ThrowAsJavaScriptException();
    return nullptr;
  }
  napi_unref_threadsafe_function(env, self->function_);
  // Hooks run last in, first out: this one comes before the threadsafe function's own.
  napi_add_env_cleanup_hook(env, OnTeardown, self.get());
  return self;
}

void Notifier::OnTeardown(void* raw) { static_cast<Notifier*>(raw)->Close(); }

void Notifier::Notify() {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (function_ == nullptr) return;
  napi_call_threadsafe_function(function_, nullptr, napi_tsfn_nonblocking);
}

void Notifier::Ref() {
  if (function_ != nullptr) napi_ref_threadsafe_function(env_, function_);
}

void Notifier::Unref() {
  if (function_ != nullptr) napi_unref_threadsafe_function(env_, function_);
}

void Notifier::Close() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (function_ == nullptr) return;
    napi_release_threadsafe_function(function_, napi_tsfn_abort);
    function_ = nullptr;
  }
  napi_remove_env_cleanup_hook(env_, OnTeardown, this);
}

}  // namespace hivepulse
