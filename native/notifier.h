#pragma once

#include <napi.h>

#include <memory>
#include <mutex>

namespace hivepulse {

/// Lets a thread wake its environment: `Notify` makes the JS thread call a function without arguments, soon.
///
/// The thread may outlive the environment (it may be stuck in the kernel while a worker is terminated), so it holds the
/// notifier by shared_ptr, and the threadsafe function is touched only under the mutex and only until `Close`.
/// An environment that ends closes it by its cleanup hook.
class Notifier : public std::enable_shared_from_this<Notifier> {
 public:
  /// JS thread. `resource` names the async resource. The event loop is not kept alive until `Ref`.
  static std::shared_ptr<Notifier> Create(Napi::Env env, Napi::Function callback, const char* resource);

  Notifier(const Notifier&) = delete;
  Notifier& operator=(const Notifier&) = delete;

  /// Any thread; never blocks. Several calls may end in one call of the function.
  void Notify();

  /// JS thread: whether an outstanding answer keeps the event loop alive.
  void Ref();
  void Unref();

  /// JS thread; may be called twice.
  void Close();

 private:
  explicit Notifier(napi_env env) : env_(env) {}
  static void OnTeardown(void* raw);

  napi_env env_;
  std::mutex mutex_;
  napi_threadsafe_function function_ = nullptr;
};

}  // namespace hivepulse
